# What to do

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

decide() { # returns if there is something to submit
  me="$run $task $attempt"
  rest=${its_attempt#* }
  its_generation=${its_attempt%% *} its_try=${rest%% *} its_ti=${rest#* }
  [ "$its_withdrawn" != "$me" ] || refuse "this attempt was withdrawn: its task was killed"
  if [ -z "$its_job$its_jobs" ]; then
    return # nothing was ever submitted here
  elif [ "$its_run $its_task" != "$run $task" ]; then
    [ "$its_run" != "$run" ] || refuse "the run directory $run_dir belongs to another task of this Dag run ($its_task)"
    [ -n "$resume" ] || refuse "the run directory $run_dir belongs to another Dag run ($its_run); go on from its checkpoints (resume), or choose another job name"
    [ -z "$its_job" ] && return
    ask
    is_live "$its_job" && refuse "the run directory $run_dir belongs to another Dag run ($its_run), whose job $its_job is $is; let it end, or: scancel $its_job"
  elif [ -z "$its_job" ]; then
    return # an intent that led to no job
  elif [ "$its_ti" = "$ti" ]; then
    answer again
  elif [ "$its_try" -gt "$try" ] && is_newer "$its_ti" "$ti"; then
    refuse "a later try of this task has taken over"
  elif [ "$its_generation" = "$generation" ] && [ "$its_try" -lt "$try" ] &&
    [ "$its_withdrawn" != "$its_run $its_task $its_attempt" ]; then
    ask
    shown "$its_job"
    if [ -z "$is" ] && [ -f "$state/$its_job.exit" ]; then
      read -r is < "$state/$its_job.exit"
      [ "$is" = "0 -" ] || is=FAILED
    fi
    has_failed "$is" && return
    take_over
    must_write_record
    answer adopted
  else
    ask
    is_live "$its_job" || return 0
    if [ "$is" != COMPLETING ] && cancel "$its_job"; then
      ask
      is_live "$its_job" && ! may_return "$is" || return 0 # a node failed under it, and now it stays ended
    fi
    stop 94 "its earlier job $its_job is $is and is being cancelled"
  fi
}

is_newer() { # ID ID: they begin with the time when Airflow made them; a Dag run that was deleted and made again has new ones
  [ "$(printf '%s\n' "$1" "$2" | LC_ALL=C sort | tail -n 1)" = "$1" ]
}

pass_gate() { # at most $parallel live jobs of this Dag run
  own_links "${gate%/*}" "$gate"
  [ -d "$gate" ] || mkdir -p -- "$gate" || refuse "cannot make $gate"
  take "$gate_lock"
  holds_gate=yes
  ask
  live=0 members=
  [ ! -f "$gate/members" ] || while IFS= read -r member; do
    [ "$member" != "$run_dir" ] || continue
    read_record "$member/.slurm_sweep/record"
    [ "$its_run" = "$run" ] || continue
    if [ -z "$its_job" ] || is_live "$its_job"; then
      live=$((live + 1)) members="$members$member
"
    fi
  done < "$gate/members"
  [ "$live" -lt "$parallel" ] || stop 95 "$live jobs of this run are live, max_parallel_jobs is $parallel"
  still_held
  save_as "$mine.new" "$members$run_dir" && mv -f -- "$mine.new" "$gate/members" || refuse "cannot write $gate/members"
  read_record "$record"
}

intend() { # writes the intent down; sets `before` to what the record said
  before=
  [ ! -e "$record" ] || before=$(cat -- "$record")
  # A log that is there already is no sign of the job to come.
  [ -z "$its_job" ] || add "$its_job"
  its_job=
  set -- "$run_dir"/logs/slurm-*.out
  [ ! -e "$1" ] || for id in $(logs); do is_known "$id" || add "$id"; done
  take_over
  must_write_record
}

take_back() { # the intent: sbatch made no job
  still_held
  if [ -n "$before" ]; then
    save_as "$mine.new" "$before" && mv -f -- "$mine.new" "$record"
  else
    rm -f -- "$record"
  fi
}

try_sbatch() { # INDICES: of an array. Sets `said`, `status`, and its_job if sbatch told one
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

was_cut_off() { # after try_sbatch
  case $status in # 255 is sbatch's own, for a wrong option
    124 | 125 | 129 | 1[3-5]?) said="sbatch was cut off: $said" ;; # by timeout, or by a signal
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
    if ! has_refused; then # those of a wrapper of the site, say, which may have failed after sbatch
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

withdraw() { # the attempt's job is cancelled; if it did not come yet, it never will
  its_withdrawn="$run $task $attempt"
  write_record
  [ "$its_run $its_task $its_attempt" = "$its_withdrawn" ] && [ -n "$its_job" ] || return 0
  for pause in 1 2 4 8 16 32 64; do
    cancel "$its_job" && break
    sleep "$pause"
  done
}
