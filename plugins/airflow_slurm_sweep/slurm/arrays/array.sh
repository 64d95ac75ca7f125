# Functions for one sbatch --array of many submissions, each with the record of its own run directory. Behind record.sh.
#
# elements.py puts before them: enter (goes to the working directory; sets batch_script), prelude, call_sbatch (takes the
# array's indices), output_format, and for each submission a function MARK_NUMBER: it sets what begin expects, and
# index, its number in the array, and environment, its job's own. They stand in the order of their indices: of two that
# want the same locks, none waits for the other for ever.
#
# Each step on a record has a subshell of its own, since everything in record.sh may exit; the locks are this shell's,
# from the first step until sbatch has answered.

newline='
'

submit_array() { # MARK COUNT: one sbatch for all that have something to submit; tells of each when it is known, as `each`
  mark=$1 held='' told=' ' ready=''
  read -r pid _ < /proc/self/stat
  read -r uptime _ < /proc/uptime
  began=${uptime%.*}
  who="$host $boot $namespace $pid"
  waits_for=10 # who cannot have its lock now goes alone, and waits as long as is right
  trap let_go EXIT
  trap 'exit 143' TERM INT
  said=$({ enter && add_prelude; } 2>&1)
  status=$?
  if [ "$status" -ne 0 ]; then
    number=1
    while [ "$number" -le "$2" ]; do tell; number=$((number + 1)); done
    return
  fi
  enter
  add_prelude
  max_size=$(timeout -k 5 20 scontrol show config 2> /dev/null < /dev/null | sed -n 's/^MaxArraySize *= *\([0-9]\{1,\}\)$/\1/p')
  max_size=${max_size:-1001} # Slurm's own default; sbatch will tell what is wrong with the controller
  lock_all "$2"
  find_all "$open"
  decide_all
  [ -z "$ready" ] || submit_ready
}

# Steps. All of them work on the submission `number`.

step() { # FUNCTION: on the record; sets `said` and `status`
  said=$("${mark}_$number"; "$1" 2>&1)
  status=$?
}

tell() {
  told="$told$number "
  printf '%s %s %s\n%s\n' "$mark" "$number" "$status" "$said"
}

is_told() {
  case $told in *" $number "*) ;; *) return 1 ;; esac
}

put_off() { # untold, it is asked for again
  told="$told$number "
  unlock
}

end() { # its part, as the last step said
  tell
  unlock
}

unlock() {
  "${mark}_$number"
  state=$run_dir/.slurm_sweep
  ! is_ours "$state/lock" || rm -f -- "$state/lock" "$state/.$host.$pid" "$state/.$host.$pid.new"
}

let_go() { # of the locks that were not released
  for number in $held; do unlock; done
}

in_time() { # SECONDS since the beginning. A lock is another host's after 300 s: until then sbatch must have answered.
  read -r uptime _ < /proc/uptime
  [ "${uptime%.*}" -le $((began + $1)) ]
}

add_prelude() { # to batch_script, behind the lines where sbatch looks for options: sets array_script
  first=${batch_script%%"$newline"*}
  set -f
  # shellcheck disable=SC2086 # into words
  set -- ${first#'#!'} ''
  set +f
  [ "${1##*/}" != env ] || shift
  case $first in '#!'*) case ${1##*/} in sh | bash | dash | ksh | ksh93 | mksh | zsh) ;; *)
    refuse "submit: array needs a batch script for a shell, this one is for ${1:-nothing}; submit: each takes any" ;;
  esac ;; esac
  header='' rest=$batch_script$newline
  while [ -n "$rest" ]; do
    line=${rest%%"$newline"*}
    case ${line#"${line%%[![:space:]]*}"} in '' | '#'*) ;; *) break ;; esac
    header=$header$line$newline rest=${rest#*"$newline"}
  done
  array_script=$header$prelude$newline${rest%"$newline"}
}

# The locks

lock_all() { # COUNT: sets `held`, and `open` to those with an intent that has no job
  open='' number=1
  while [ "$number" -le "$1" ] && in_time 60; do
    step lock_one
    if [ "$status" -eq 0 ]; then
      held="$held $number"
      [ -z "$said" ] || open="$open $number"
    else
      tell
    fi
    number=$((number + 1))
  done
}

lock_one() {
  begin
  [ "$index" -lt "$max_size" ] ||
    stop 96 "its number $index is none for an array of this cluster's (MaxArraySize is $max_size): it goes alone"
  make_folders
  trap release EXIT
  take "$state_lock"
  trap - EXIT # from here on it is the whole script's
  read_record "$record"
  [ -z "$its_attempt" ] || [ -n "$its_job" ] || echo open
}

resume_one() { # work on a record whose lock is held
  begin
  holds_state=yes
  read_record "$record"
}

# Intents without a job, as `settle` does for one: a single look finds those of all

find_all() { # NUMBERS: sets `open` to those without a job
  open=$1 answered=yes
  for pause in 0 2 3 5; do
    [ -n "$open" ] || return 0
    sleep "$pause"
    answered=
    query || continue
    answered=yes
    missing=
    for number in $open; do
      step find_one
      case $status in 0) ;; 99) missing="$missing $number" ;; *) end ;; esac
    done
    open=$missing
  done
  [ -z "$answered" ] || return 0
  status=93 said="squeue: $queue"
  for number in $open; do end; done
  open=
}

find_one() {
  resume_one
  # Not through a thousand lines each: those that are another element's by the index, in a path as we make them, go.
  queue=$(printf '%s\n' "$queue" | sed "/^[0-9]*_[0-9]/{
/^[0-9]*_$index /b
/\/logs\/slurm-%A_%a\.out *\$/d
/\/logs\/slurm-[0-9]*_[0-9]*\.out *\$/d
}")
  search
  [ -n "$its_job" ] || exit 99
  must_write_record
}

# What each does

decide_all() { # sets `ready` to those with something to submit; the others are told
  for number in $held; do
    is_told && continue
    if ! in_time 120; then
      put_off
      continue
    fi
    step decide_one
    if [ "$status" -eq 98 ]; then
      ready="$ready $number"
      eval "before_$number=\$said"
    else
      end
    fi
  done
}

decide_one() { # leaves the intent, and says what the record said before
  resume_one
  decide
  still_held
  own_file "$environment" || refuse "cannot write into the run directory $run_dir"
  intend
  printf '%s\n' "$before"
  exit 98
}

own_file() { # TEXT: what the job reads, and nobody else. Anew, never through a link
  (umask 077 && save_as "$mine.new" "$1") && mv -f -- "$mine.new" "$state/environment"
}

# sbatch

submit_ready() {
  indices=
  for number in $ready; do
    "${mark}_$number"
    if in_time 150 && is_ours "$run_dir/.slurm_sweep/lock"; then
      indices="$indices,$index"
    else
      step take_back_one
      put_off
    fi
  done
  [ -n "$indices" ] || return 0
  try_sbatch "${indices#,}"
  array=$its_job sbatch_said=$said
  if [ "$status" -eq 0 ] && [ -n "$array" ]; then
    for_ready conclude
  elif [ "$status" -ne 0 ] && was_cut_off; then
    for_ready leave 93 "$said"
  elif [ "$status" -ne 0 ] && has_refused; then
    for_ready take_back_for 92 "$said"
  else # a wrapper's noise: the cluster knows
    look_for_array "$status"
  fi
}

for_ready() { # FUNCTION [STATUS TEXT]: for each that was not told yet
  for number in $ready; do
    is_told || "$@"
  done
}

conclude() {
  step conclude_one
  end
}

conclude_one() {
  resume_one
  its_job=${array}_$index
  answer_submitted
}

leave() { # STATUS TEXT: the intent stands
  status=$1 said=$2
  end
}

take_back_for() { # STATUS TEXT
  step take_back_one
  leave "$1" "$2"
}

take_back_one() {
  resume_one
  eval "before=\$before_$number"
  take_back
}

look_for_array() { # STATUS: sbatch's
  left='' found=''
  for number in $ready; do is_told || left="$left $number"; done
  find_all "$left"
  for number in $left; do
    case " $open " in *" $number "*) continue ;; esac
    is_told && continue
    found=yes
    step answer_found
    end
  done
  if [ "$1" -eq 0 ] || [ -n "$found" ]; then # where one is, all came
    for_ready leave 93 "sbatch printed no job id: $sbatch_said"
  else
    for_ready take_back_for 92 "$sbatch_said"
  fi
}

answer_found() {
  resume_one
  answer submitted
}
