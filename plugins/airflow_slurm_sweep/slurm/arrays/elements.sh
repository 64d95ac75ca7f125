# What the elements of one array do, from their locks to the answer of sbatch. Behind array.sh.

# The locks

lock_all() { # COUNT: set `held`, `open` to those with an intent that has no job, and `with_job` if one has a job
  open='' with_job='' number=1
  while [ "$number" -le "$1" ] && in_time 60; do
    step lock_one
    if [ "$status" -eq 0 ]; then
      held="$held $number"
      case $said in
        open) open="$open $number" ;;
        job) with_job=yes ;;
      esac
    else
      report
    fi
    number=$((number + 1))
  done
}

lock_one() {
  begin
  [ "$index" -lt "$max_size" ] ||
    stop 96 "index $index is too large for an array of this cluster (MaxArraySize is $max_size): it goes alone"
  make_folders
  trap release EXIT
  take "$state_lock"
  holds_state=yes
  read_record "$record"
  [ -z "$its_damage" ] || stop 96 "its record is damaged: it goes alone"
  trap - EXIT # from here on the lock is the whole script's
  if [ -n "$its_job" ]; then
    echo job
  elif [ -n "$its_attempt" ]; then
    echo open
  fi
}

resume_one() { # work on a record whose lock is held
  begin
  # shellcheck disable=SC2034 # release reads it
  holds_state=yes
  read_record "$record"
}

# Intents without a job, as `settle` does for one: a single look finds those of all

find_all() { # NUMBERS: set `open` to those without a job
  open=$1 answered=yes
  for pause in 0 2 3 5; do
    [ -n "$open" ] || return 0
    sleep "$pause"
    answered=
    query || continue
    answered=yes
    find_each
  done
  if [ -n "$answered" ] && query_controller; then
    find_each
  else
    status=93 said="the queue is not known: $said"
    for number in $open; do end; done
    open=
  fi
}

find_each() { # of `open`, in `queue`
  missing=
  for number in $open; do
    step find_one
    case $status in
      0) ;;
      99) missing="$missing $number" ;;
      *) end ;;
    esac
  done
  open=$missing
}

find_one() {
  resume_one
  # A thousand elements do not read a thousand lines each: lines that another index owns, by a path as we make it, go.
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

decide_all() { # set `ready` to those with something to submit; the others are reported
  for number in $held; do
    is_reported && continue
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

decide_one() { # write the intent down, and print the record as it was before
  resume_one
  decide
  still_held
  # Only the owner may read it.
  (umask 077 && replace "$run_dir/$environment_name" "$environment") ||
    refuse "cannot write into the run directory $run_dir"
  intend
  printf '%s\n' "$before"
  exit 98
}

# sbatch

submit_ready() {
  indices=
  for number in $ready; do
    "${mark}_$number"
    if in_time 150 && is_ours "$run_dir/$state_name/lock"; then
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
  else # the noise of a wrapper: the cluster knows
    look_for_array "$status"
  fi
}

for_ready() { # FUNCTION [STATUS TEXT]: for each that is not reported yet
  for number in $ready; do
    is_reported || "$@"
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

look_for_array() { # STATUS: of sbatch
  left='' found=''
  for number in $ready; do is_reported || left="$left $number"; done
  find_all "$left"
  for number in $left; do
    case " $open " in *" $number "*) continue ;; esac
    is_reported && continue
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
