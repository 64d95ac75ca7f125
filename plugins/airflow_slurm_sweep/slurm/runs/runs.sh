# shellcheck shell=sh
# The names of a sweep's runs, BASE, BASE_run2, BASE_run3 ..., each of which one Dag run has. Behind record.sh.
#
# A reservation is a file FOLDER/NAME that holds the line `run AIRFLOW DAG_ID RUN_ID`. There is no lock: a complete file
# is linked into place, so that of several Dag runs one gets the name, also on NFS. Where NFS loses the answer, the file
# tells who has the name. reservation.py sets the variables, and defines
#
#   at_run_dirs FUNCTION NAME   call a function with NAME and the paths, existing or not, of the name's run directories
#
folder='' base='' run='' only_base='' stop_name=''

read_owner() { # FILE: set `owner` to the Dag run that a reservation names; empty if the file is missing or incomplete
  owner=
  { read -r key owner < "$1"; } 2> /dev/null
  [ "$key" = run ] || owner=
}

find_owner() { # NAME RUN_DIR ...: set `owner` to this Dag run if one directory is its own, else to any owner
  shift
  owner=
  for place in "$@"; do
    [ -e "$place" ] || [ -L "$place" ] || continue
    read_record "$place/$record_name"
    owner=${its_run:-unknown}
    [ "$owner" != "$run" ] || return 0
  done
}

claim() { # NAME: fail if another Dag run has it, and set `owner`
  read_owner "$folder/$1"
  [ "$owner" != "$run" ] || return 0
  [ -z "$owner" ] || return 1
  # Earlier versions reserved no names, and a reservation may be damaged.
  at_run_dirs find_owner "$1"
  used_by=$owner
  if [ -n "$used_by" ] && [ "$used_by" != "$run" ]; then return 1; fi
  ln -- "$mine" "$folder/$1" 2> /dev/null
  read_owner "$folder/$1"
  [ -e "$folder/$1" ] || refuse "cannot write into $folder"
  [ "${owner:-$used_by}" = "$run" ]
}

reserve() { # print the name of this Dag run: the one that it has, or else the first that is free
  mine=$folder/.$host.$$
  make_shared "$folder"
  for place in "$folder/$base" "$folder/$base"_run[0-9]*; do
    read_owner "$place"
    if [ "$owner" = "$run" ]; then
      printf '%s\n' "${place##*/}"
      return
    fi
  done
  trap 'rm -f -- "$mine"' EXIT
  save_as "$mine" "run $run" || refuse "cannot write into $folder"
  name=$base number=1
  until claim "$name"; do
    [ -z "$only_base" ] || refuse_base
    number=$((number + 1))
    name=${base}_run$number
  done
  printf '%s\n' "$name"
}

refuse_base() {
  describe_owner "$owner"
  refuse "the name $base belongs to $described; set existing to new or resume, or choose another job name"
}

list_runs() { # print what list_run_dirs prints, for each name that is reserved, and for the base
  at_run_dirs list_run_dirs "$base"
  for place in "$folder/$base"_run[0-9]*; do
    [ ! -f "$place" ] || at_run_dirs list_run_dirs "${place##*/}"
  done
}

list_run_dirs() { # NAME RUN_DIR ...: print six lines for each directory of a Dag: @ NAME, path, job, exit, stop, JSON
  name=$1
  shift
  for place in "$@"; do
    read_record "$place/$record_name"
    case "$its_run " in "$run "*) ;; *) continue ;; esac
    ended='' stopped='' text=''
    { read -r ended < "$place/$state_name/$its_job.exit"; } 2> /dev/null
    { read -r stopped < "$place/$stop_name"; } 2> /dev/null
    { while read -r line || [ -n "$line" ]; do text=$text$line; done < "$place/$combination_name"; } 2> /dev/null
    printf '%s\n' "@ $name" "$place" "$its_job" "$ended" "$stopped" "$text"
  done
}
