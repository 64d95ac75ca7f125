# What a submission does: docs/how_it_works.md has the table. Behind record.sh and cluster.sh.

answer() { # HOW
  printf '%s %s\n' "$its_job" "$1"
  exit 0
}

open_record() {
  trap release EXIT
  take "$state_lock"
  holds_state=yes
  read_record "$record"
  if [ -n "$its_attempt" ] && [ -z "$its_job" ]; then
    settle
    [ -z "$its_job" ] || must_write_record
  fi
}

# The decision: what returns from here goes on to submit

decide() {
  its_try=${its_attempt%% *} its_ti=${its_attempt#* }
  [ "$its_withdrawn" != "$run $task $attempt" ] || refuse "this attempt was withdrawn: its task was killed"
  if [ -z "$its_job$its_jobs" ]; then
    return # nothing was ever submitted here
  elif [ "$its_run $its_task" != "$run $task" ]; then
    decide_resume
  elif [ -z "$its_job" ]; then
    return # an intent that led to no job
  elif [ "$its_ti" = "$ti" ]; then
    answer again
  elif [ "$its_try" -gt "$try" ] && is_newer "$its_ti" "$ti"; then
    refuse "a later try of this task has taken over"
  else
    decide_clear
  fi
}

decide_resume() { # the record is another task's, or another Dag run's
  [ "$its_run" != "$run" ] ||
    refuse "the run directory $run_dir belongs to another task of this Dag run ($its_task)"
  [ -n "$resume" ] ||
    refuse "the run directory $run_dir belongs to another Dag run ($its_run); resume it, or choose another job name"
  [ -n "$its_job" ] || return 0
  ask
  ! is_live "$its_job" ||
    refuse "$run_dir belongs to another Dag run ($its_run), whose job $its_job is $is; wait, or: scancel $its_job"
}

decide_clear() { # a user cleared the task, which has no retries: its job must be gone before another one comes
  ask
  is_live "$its_job" || return 0
  if [ "$is" != COMPLETING ] && cancel "$its_job"; then
    ask
    # A job whose node failed is requeueable; after scancel it stays ended.
    if ! is_live "$its_job" || may_return "$is"; then return 0; fi
  fi
  stop 94 "its earlier job $its_job is $is and is being cancelled"
}

# Ids begin with the time when Airflow made them. A Dag run that was deleted and made again has new ids.
is_newer() { # ID ID: whether the first one is newer, or the same
  [ "$(printf '%s\n' "$1" "$2" | LC_ALL=C sort | tail -n 1)" = "$1" ]
}

# The limit of parallel jobs

pass_gate() { # at most $parallel live jobs of this Dag run
  own_links "${gate%/*}" "$gate"
  [ -d "$gate" ] || mkdir -p -- "$gate" || refuse "cannot make $gate"
  take "$gate_lock"
  holds_gate=yes
  ask
  count_members
  [ "$live" -lt "$parallel" ] || stop 95 "$live jobs of this run are live, max_parallel_jobs is $parallel"
  still_held
  replace "$gate/members" "$members$run_dir" || refuse "cannot write $gate/members"
  read_record "$record"
}

count_members() { # set `live` to their number, and `members` to the run directories of live jobs and open intents
  live=0 members=
  [ -f "$gate/members" ] || return 0
  while IFS= read -r member; do
    [ "$member" != "$run_dir" ] || continue
    read_record "$member/$record_name"
    [ "$its_run" = "$run" ] || continue
    if [ -z "$its_job" ] || is_live "$its_job"; then
      live=$((live + 1)) members=$members$member$newline
    fi
  done < "$gate/members"
}

# The intent

intend() { # write the intent down; set `before` to the record as it was
  before=
  [ ! -e "$record" ] || before=$(cat -- "$record")
  # A log that is there already is no sign of the job to come.
  [ -z "$its_job" ] || add "$its_job"
  its_job=
  set -- "$run_dir"/logs/slurm-*.out
  [ ! -e "$1" ] || for id in $(logs); do is_known "$id" || add "$id"; done
  if ! write_combination || ! { take_over && write_record; }; then
    restore_combination
    refuse "cannot write into the run directory $run_dir"
  fi
}

take_back() { # the intent: sbatch made no job
  still_held
  if [ -n "$before" ]; then
    replace "$record" "$before"
  else
    rm -f -- "$record"
  fi
  restore_combination
}

# sbatch

try_sbatch() { # [INDICES]: of an array. Set `said`, `status`, and its_job if sbatch printed an id
  said=$(call_sbatch "$@" 2>&1)
  status=$?
  case $said in
    '' | *[!0-9]*) its_job=$(printf '%s\n' "$said" | sed -n 's/^\([0-9][0-9]*\)\(;.*\)\{0,1\}$/\1/p') ;;
    *) its_job=$said ;;
  esac
  if [ "$status" -eq 0 ]; then
    case $its_job in '' | *[!0-9]*) its_job= ;; esac # none, or several lines that look like one: the cluster knows
  fi
}

was_cut_off() { # after try_sbatch: by `timeout` or a signal. 255 is sbatch's own status, for a wrong option
  case $status in
    124 | 125 | 129 | 1[3-5]?) said="sbatch was cut off: $said" ;;
    *) is_unclear "$said" ;;
  esac
}

has_refused() { # after try_sbatch: sbatch's own words, or there is no sbatch; and no job
  case $its_job:$said in :*"sbatch: "* | :*"timeout: "*) ;; *) return 1 ;; esac
}

submit() {
  [ -z "$parallel" ] || pass_gate
  intend
  try_sbatch
  if [ "$status" -ne 0 ]; then
    ! was_cut_off || stop 93 "$said"
    if ! has_refused; then # a wrapper of the site, say, that failed after sbatch
      its_job=
      settle
      [ -z "$its_job" ] || answer_submitted
    fi
    take_back
    stop 92 "$said"
  fi
  if [ -z "$its_job" ]; then
    settle
    [ -n "$its_job" ] || stop 93 "sbatch printed no job id: $said"
  fi
  answer_submitted
}

answer_submitted() {
  write_record # if this fails, the intent stands, and leads to the job
  answer submitted
}

withdraw() { # cancel the attempt's job; if it is not there yet, it will never be submitted
  its_withdrawn="$run $task $attempt"
  write_record
  if [ "$its_run $its_task $its_attempt" != "$its_withdrawn" ] || [ -z "$its_job" ]; then return; fi
  for pause in 1 2 4 8 16 32 64; do
    cancel "$its_job" && break
    sleep "$pause"
  done
}
