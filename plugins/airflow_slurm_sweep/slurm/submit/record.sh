# shellcheck shell=sh disable=SC2030,SC2031 # subshells change variables on purpose
# Submissions, for the login node's POSIX shell with coreutils, sed and Slurm's commands. script.py puts record.sh,
# lock.sh, cluster.sh, gate.sh, proposals.sh and submit.sh into each script, behind the functions has_ended, may_return
# and is_unclear. Each submission runs in a subshell of its own: it sets the variables below, defines call_sbatch, and
# calls begin.
#
# RUN_DIR/.slurm_sweep/record says what was submitted from this run directory, in names without blanks:
#
#   run AIRFLOW DAG_ID RUN_ID   the Dag run that it belongs to, of which Airflow
#   task TASK_ID MAP_INDEX
#   attempt TRY ID              of the task instance, which Airflow gives another id for each try
#   job ID                      nothing after `job`: an intent, sbatch was about to be called
#   links ID,TIME,STATE,VALUE,ELAPSED,NODES ...  the jobs that it goes on from: when, by the login's clock, and how
#   jobs ID ...                 all earlier jobs
#   withdrawn RUN TASK ATTEMPT  an attempt whose task was killed
#   end                         without it the record is damaged
#
# The intent is on disk before sbatch is called. A later submission that finds an intent without a job asks the cluster
# for a job that writes into this run directory and that the record does not know: that job is the intent's. Nothing
# here reads a clock.

# The same for all submissions of a script: names of files in a run directory, see names.py.
state_name='' record_name='' parameters_name='' combination_name='' run_folders=''
# One submission's own: paths, the words of the record, and what is asked for.
run_dir='' escaped_dir='' own_log='' output_format='' gate=''
run='' task='' try='' ti=''
resume='' parallel='' proposals='' parameters_json='' combination_json=''
# The next job of a chain: the job that it follows, and that one's STATE,VALUE,ELAPSED,NODES. Also of the first one:
# whether it is one. A job that keeps its place does so beyond its end, until its task says what follows from it.
after='' ended='' chained='' keeps_place=''

refuse() { # REASON
  stop 90 "$1"
}

stop() { # STATUS REASON: the statuses are ExitStatus in answer.py
  printf '%s\n' "$2" >&2
  exit "$1"
}

# A cut connection does not stop a script half way.
trap '' PIPE HUP
# Files are created, never written through a link that somebody planted.
set -C
newline='
'
read -r host < /proc/sys/kernel/hostname
read -r boot < /proc/sys/kernel/random/boot_id
namespace=$(readlink /proc/self/ns/pid)
# Fifths of a second: longer than the holder of a lock needs until sbatch is over (7 squeue, pauses, sbatch: 250 s).
patience=1500
waits_for=$patience
pid=

find_index() { # set own_index, the number at the run directory's end, and own_element, its index in an array
  own_index=${run_dir##*[!0-9]}
  own_element=$own_index
  # From 1000 on, see arrays/script.py, its last three digits.
  case $own_index in ????*) own_element=$((1${own_index#"${own_index%???}"} - 1000)) ;; esac
}

begin() {
  trap 'exit 143' TERM INT
  state=$run_dir/$state_name
  record=$run_dir/$record_name
  parameters=$run_dir/$parameters_name
  combination=$run_dir/$combination_name
  [ -n "$pid" ] || read -r pid _ < /proc/self/stat # in a subshell, $$ is the id of its parent
  who="$host $boot $namespace $pid"
  ticket=.$host.$pid
  mine=$state/$ticket
  attempt="$try $ti"
  find_index
  state_lock=$state/lock gate_lock=$gate/lock holds_state='' holds_gate=''
}

# Where one has a limit of parallel jobs, output_format is set: all ask squeue together, until one submits a job.
each() { # NAME SECONDS: run NAME_1, NAME_2 ..., none that would begin after that time; report each when it is over
  read -r uptime _ < /proc/uptime
  last=$((${uptime%.*} + $2)) number=1 queue=
  while command -v "$1_$number" > /dev/null && [ "${uptime%.*}" -le "$last" ]; do
    [ -z "$output_format" ] || [ -n "$queue" ] || query || queue=
    said=$("$1_$number" 2>&1)
    status=$?
    printf '%s %s %s\n%s\n' "$1" "$number" "$status" "$said"
    [ "$status" -ne 0 ] || queue=
    number=$((number + 1))
    read -r uptime _ < /proc/uptime
  done
}

# Folders and links

own_links() { # PATH ...: refuse if one is a link that another user made
  for place in "$@"; do
    if [ -L "$place" ]; then
      case $(stat -c %u -- "$place") in
        0 | "$(id -u)") ;;
        *) refuse "$place is a symbolic link that another user made; it is not followed" ;;
      esac
    fi
  done
}

# Where the folder is shared, others work in it too, so it gets the mode of the folder that it is in.
make_shared() { # FOLDER
  above=${1%/*}
  [ -d "$above" ] || mkdir -p -- "$above" || refuse "cannot make $above"
  own_links "$above" "$1"
  [ -d "$1" ] || mkdir -m "$(stat -L -c %a -- "$above")" -- "$1" 2> /dev/null || [ -d "$1" ] || refuse "cannot make $1"
  own_links "$1"
}

make_folders() {
  parent=${run_dir%/*}
  [ -d "$parent" ] || mkdir -p -- "$parent" || refuse "cannot make the run directory $run_dir"
  own_links "$parent" "$run_dir"
  set -- "$run_dir" "$state"
  for name in $run_folders; do set -- "$@" "$run_dir/$name"; done
  [ ! -d "$run_dir" ] || own_links "$@" "$record"
  for folder in "$@"; do
    shift
    [ -d "$folder" ] || set -- "$@" "$folder"
  done
  # Another submission of the same may make them at the same moment.
  [ $# -eq 0 ] || mkdir -- "$@" 2> /dev/null || mkdir -p -- "$@" || refuse "cannot make the run directory $run_dir"
  own_links "$run_dir" "$@"
  [ -w "$run_dir/logs" ] || refuse "cannot write into the run directory $run_dir"
}

# Files

save_as() { # FILE TEXT: create the file and read it back; fail unless all of the text is in it
  [ ! -e "$1" ] && [ ! -L "$1" ] || rm -f -- "$1"
  { printf '%s\n' "$2" > "$1"; } 2> /dev/null
  written=
  { while IFS= read -r line; do written=$written$line$newline; done < "$1"; } 2> /dev/null
  [ "$written" = "$2$newline" ]
}

replace() { # FILE TEXT: as a whole or not at all; -T: a link to a folder is replaced, not followed
  save_as "$mine.new" "$2" && mv -fT -- "$mine.new" "$1"
}

move() { # FILE FILE: if the first one is a file
  if [ -f "$1" ] || [ -L "$1" ]; then mv -fT -- "$1" "$2"; fi
}

to_disk() { # FILE ...
  # Before coreutils 8.24, sync takes no files and writes all file systems.
  timeout -k 5 20 sync -- "$@" 2> /dev/null || :
}

# The record

is_job() { # ID: of a job, or of an array element, 123_4
  case $1 in '' | *[!0-9_]* | _* | *_ | *_*_*) return 1 ;; esac
}

read_record() { # FILE: set its_run, its_task ..., and its_damage if it is not whole, or somebody deleted it
  its_run='' its_task='' its_attempt='' its_job='' its_links='' its_jobs='' its_withdrawn='' its_damage=''
  # combination.json comes before the record, and stays.
  [ -e "$1" ] || [ -L "$1" ] || [ -e "${1%/*}/${combination_name##*/}" ] || return 0
  its_damage=yes
  if [ ! -f "$1" ] || [ ! -r "$1" ]; then return 0; fi
  while read -r key value; do
    case $key in
      run) its_run=$value ;;
      task) its_task=$value ;;
      attempt) its_attempt=$value ;;
      job) its_job=$value ;;
      links) its_links=$value ;;
      jobs) its_jobs=$value ;;
      withdrawn) its_withdrawn=$value ;;
      end) its_damage= ;;
    esac
  done < "$1"
  # It becomes part of a sed program, and anybody may have written it.
  if [ -n "$its_job" ] && ! is_job "$its_job"; then its_job='' its_damage=yes; fi
}

write_record() { # from its_run, its_task ...
  still_held
  save_as "$mine.new" "run $its_run
task $its_task
attempt $its_attempt
job $its_job
links $its_links
jobs $its_jobs
withdrawn $its_withdrawn
end" || return
  # An intent outlives a power cut; all else can be found by it.
  [ -n "$its_job" ] || [ ! -e "$record" ] || to_disk "$mine.new"
  mv -fT -- "$mine.new" "$record" || return
  if [ -n "$its_job" ]; then
    forget_kept_combination
    name_marks
  else
    to_disk "$record" "$state"
  fi
}

must_write_record() {
  write_record || refuse "cannot write into the run directory $run_dir"
}

describe_owner() { # RUN: set `described`; the owner is not this Dag run
  described="another Dag run (${1#* })"
  [ "${1%% *}" = "${run%% *}" ] || described="a Dag run (${1#* }) of another Airflow (${1%% *})"
}

take_over() { # the record, for this attempt; the next job of a chain belongs to the attempt that began the chain
  [ -z "$after" ] || return 0
  [ "$its_run $its_task $its_attempt" = "$run $task $attempt" ] || its_links=
  its_run=$run its_task=$task its_attempt=$attempt
}

# Files newer than ID.start are the progress of a chain's job. A chain, and a search's trial until its result is there,
# keep their place in the run while ID.place is there.

name_marks() { # the intent made them; now the job's id is known
  move "$state/start" "$state/$its_job.start"
  move "$state/place" "$state/$its_job.place"
}

# The combination: parameters.json and combination.json, for a job of a sweep. Those of an earlier Dag run are kept
# until sbatch has answered: a refused job leaves the run directory as it was. The next jobs of a chain find both there:
# they have no parameters_json.

write_combination() {
  [ -n "$parameters_json" ] || return 0
  still_held
  [ "$its_run" = "$run" ] || keep_combination
  replace "$parameters" "$parameters_json" && replace "$combination" "$combination_json"
}

keep_combination() { # unless it is kept already, by a submission that did not come to its end
  [ -e "$state/parameters.kept" ] || move "$parameters" "$state/parameters.kept"
  [ -e "$state/combination.kept" ] || move "$combination" "$state/combination.kept"
}

restore_combination() {
  [ -n "$parameters_json" ] || return 0
  [ -n "$before" ] || rm -f -- "$parameters" "$combination"
  move "$state/parameters.kept" "$parameters"
  move "$state/combination.kept" "$combination"
}

forget_kept_combination() { # the record has a job: the files are that job's
  for kept in "$state/parameters.kept" "$state/combination.kept"; do
    [ ! -e "$kept" ] || rm -f -- "$kept"
  done
}
