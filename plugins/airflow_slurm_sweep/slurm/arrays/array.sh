# One sbatch --array for many submissions, each with the record of its own run directory. Behind the files of submit/.
#
# Each step on a record has a subshell of its own, since the functions of submit/ may exit. The locks belong to this
# shell, from the first step until sbatch has answered.
#
# script.py also defines enter, which changes to the working directory and sets batch_script; call_sbatch, which takes
# the array's indices; and for each submission MARK_NUMBER, which sets what begin expects, the submission's index in the
# array, and environment, its job's own variables. They come in the order of the indices, so that two scripts that want
# the same locks do not wait for each other for ever.
prelude='' environment_name='' batch_script='' index='' environment=''

# One sbatch for all that have something to submit. Each submission is reported when it is over, as by `each`.
submit_array() { # MARK COUNT
  mark=$1 held='' reported=' ' ready='' queue=''
  read -r pid _ < /proc/self/stat
  read -r uptime _ < /proc/uptime
  began=${uptime%.*}
  who="$host $boot $namespace $pid"
  waits_for=10 # a submission that cannot have its lock now goes alone, and waits as long as is right
  trap let_go EXIT
  trap 'exit 143' TERM INT
  said=$({ enter && add_prelude; } 2>&1)
  status=$?
  if [ "$status" -ne 0 ]; then
    report_all "$2"
    return
  fi
  enter
  add_prelude
  find_max_size
  lock_all "$2"
  find_all "$open"
  [ -z "$with_job" ] || query || queue=
  decide_all
  [ -z "$ready" ] || submit_ready
}

find_max_size() { # of an array on this cluster, 1001 by Slurm's own default; if this is wrong, sbatch says so
  config=$(timeout -k 5 20 scontrol show config 2> /dev/null < /dev/null)
  max_size=$(printf '%s\n' "$config" | sed -n 's/^MaxArraySize *= *\([0-9]\{1,\}\)$/\1/p')
  max_size=${max_size:-1001}
}

# Steps. All of them work on the submission `number`.

step() { # FUNCTION: run it on the record; set `said` and `status`
  said=$("${mark}_$number" && "$1" 2>&1)
  status=$?
}

report() {
  reported="$reported$number "
  printf '%s %s %s\n%s\n' "$mark" "$number" "$status" "$said"
}

report_all() { # COUNT
  number=1
  while [ "$number" -le "$1" ]; do
    report
    number=$((number + 1))
  done
}

is_reported() {
  case $reported in *" $number "*) ;; *) return 1 ;; esac
}

put_off() { # without a report, it is submitted again
  reported="$reported$number "
  unlock
}

end() { # its part, as the last step said
  report
  unlock
}

unlock() {
  "${mark}_$number"
  state=$run_dir/$state_name
  ! is_ours "$state/lock" || rm -f -- "$state/lock" "$state/.$host.$pid" "$state/.$host.$pid.new"
}

let_go() { # of the locks that were not released
  for number in $held; do unlock; done
}

# SECONDS since the beginning. Another host takes a lock after 300 s: until then sbatch must have answered.
in_time() {
  read -r uptime _ < /proc/uptime
  [ "${uptime%.*}" -le $((began + $1)) ]
}

# The batch script

add_prelude() { # to batch_script, behind the lines where sbatch looks for options: set array_script
  need_shell "${batch_script%%"$newline"*}"
  header='' rest=$batch_script$newline
  while [ -n "$rest" ]; do
    line=${rest%%"$newline"*}
    case ${line#"${line%%[![:space:]]*}"} in '' | '#'*) ;; *) break ;; esac
    header=$header$line$newline rest=${rest#*"$newline"}
  done
  # shellcheck disable=SC2034 # call_sbatch reads it
  array_script=$header$prelude$newline${rest%"$newline"}
}

need_shell() { # FIRST LINE: of a batch script
  case $1 in '#!'*) ;; *) return 0 ;; esac
  set -f
  # shellcheck disable=SC2086 # into words
  set -- ${1#'#!'} ''
  set +f
  [ "${1##*/}" != env ] || shift
  case ${1##*/} in
    sh | bash | dash | ksh | ksh93 | mksh | zsh) ;;
    *) refuse "submit: array needs a batch script for a shell, this one is for ${1:-nothing}; submit: each takes any" ;;
  esac
}
