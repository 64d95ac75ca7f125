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
  if [ -n "$its_damage" ]; then
    recover
  elif [ -n "$its_attempt" ] && [ -z "$its_job" ]; then
    settle search
    [ -z "$its_job" ] || must_write_record
  fi
}

unknown_attempt="0 unknown" # of a record that was damaged

# A file server that crashed may leave a record empty, half written or unreadable. It counts as an intent: a job that
# lives here is its job. Whose it is, combination.json tells.
recover() {
  its_run='' its_task='' its_attempt='' its_job='' its_links='' its_jobs='' its_withdrawn=''
  settle find_live
  text=$(cat -- "$combination" 2> /dev/null)
  owner=$(owner_of "$text")
  if [ -n "$owner" ] && [ "$owner" = "$(owner_of "$combination_json")" ]; then
    its_run=$run its_task=$task its_attempt=$unknown_attempt
    [ -z "$after" ] || recover_chain
  elif [ -n "$its_job" ]; then
    refuse "$record is damaged, and job $its_job, perhaps of another Dag run, writes here; wait, or: scancel $its_job"
  elif [ -n "$owner" ]; then
    its_run="${run%% *} its record is damaged" its_attempt=$unknown_attempt its_jobs=0
  fi
}

recover_chain() { # for the task that waits: which jobs there were is lost, but for the one whose end it knows
  its_task=$(printf '%s\n' "$text" | sed -n '/^  "task": {$/,/^  }/{
s/^ *"task_id": "\([A-Za-z0-9_.-]*\)",$/\1/p
s/^ *"map_index": \(-\{0,1\}[0-9]*\)$/\1/p
}' | tr '\n' ' ')
  its_task=${its_task% } its_job=${its_job:-$after}
  [ "$its_job" = "$after" ] || its_links=$after,$(date +%s),$ended
}

owner_of() { # TEXT: of combination.json: its Airflow and Dag run, and its task unless another one waits for its chain
  blocks='run\|task'
  [ -z "$after" ] || blocks=run
  printf '%s\n' "$1" | sed -n "/^  \"\($blocks\)\": {\$/,/^  }/p"
}

# The decision: what returns from here goes on to submit

decide() {
  its_try=${its_attempt%% *} its_ti=${its_attempt#* }
  [ "$its_withdrawn" != "$run $task $attempt" ] || refuse "this attempt was withdrawn: its task was killed"
  if [ -n "$after" ]; then
    decide_link
  elif [ -z "$its_job$its_jobs" ]; then
    return # nothing was ever submitted here
  elif [ "$its_run $its_task" != "$run $task" ]; then
    decide_resume
  elif [ -z "$its_job" ]; then
    return # an intent that led to no job
  elif [ "$its_attempt" = "$attempt" ]; then
    [ -z "$proposals" ] || check_parameters
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
  describe_owner "$its_run"
  [ -n "$resume" ] ||
    refuse "the run directory $run_dir belongs to $described; resume it, or choose another job name"
  [ -n "$its_job" ] || return 0
  ask_once
  ! lives "$its_job" ||
    refuse "$run_dir belongs to $described, whose job $its_job is $is; wait, or: scancel $its_job"
}

decide_clear() { # a user cleared the task: its earlier job must end before a new one is submitted
  ask_once
  lives "$its_job" || return 0
  if [ "$is" != COMPLETING ] && cancel "$its_job"; then
    ask
    # A job whose node failed is requeueable; after scancel it stays ended.
    if ! lives "$its_job" || may_return "$is"; then return 0; fi
  fi
  stop 94 "its earlier job $its_job is $is and is being cancelled"
}

# A job of this chain has ended. Submit one next job, however many callers ask, and however often.
decide_link() {
  [ -n "$its_run" ] || refuse "the record of $run_dir is gone or damaged, so no job was submitted after job $after"
  if [ "$its_run" != "$run" ]; then
    refuse "another Dag run has taken over the run directory $run_dir"
  elif [ "$its_job" = "$after" ]; then
    decide_follow
  else
    is_of_chain || refuse "a later try of the task has begun a new chain in $run_dir"
    [ -n "$its_job" ] || return 0 # an intent that led to no job
    [ -z "$its_damage" ] || must_write_record
    answer again
  fi
}

is_of_chain() { # whether another job followed $after; where a damaged record lost the links, any job that wrote here
  case " $its_links" in *" $after,"*) return 0 ;; esac
  [ "$its_attempt" = "$unknown_attempt" ] && is_known "$after"
}

decide_follow() { # return once job $after is gone
  ask
  lives "$after" || return 0
  if may_return "$is" && cancel "$after"; then # after scancel it stays ended
    ask
    if ! lives "$after" || may_return "$is"; then return 0; fi
  fi
  [ "$is" = COMPLETING ] || may_return "$is" || answer again # Slurm has queued it again
  stop 94 "job $after, which the next one follows, is $is"
}

# Ids begin with the time when Airflow made them. A Dag run that was deleted and made again has new ids.
is_newer() { # ID ID: whether the first one is newer, or the same
  [ "$(printf '%s\n' "$1" "$2" | LC_ALL=C sort | tail -n 1)" = "$1" ]
}

# The intent

intend() { # write the intent down; set `before` to the record as it was
  before=
  [ ! -e "$record" ] || before=$(cat -- "$record")
  [ -z "$after" ] || [ "$its_job" != "$after" ] || its_links="$its_links${its_links:+ }$after,$(date +%s),$ended"
  # A log that is there already is no sign of the job to come.
  [ -z "$its_job" ] || add "$its_job"
  its_job=
  set -- "$run_dir"/logs/slurm-*.out
  [ ! -e "$1" ] || for id in $(logs); do is_known "$id" || add "$id"; done
  if ! write_combination || ! { take_over && write_record; }; then
    restore_combination
    refuse "cannot write into the run directory $run_dir"
  fi
  for made in ${chained:+start} ${keeps_place:+place}; do
    save_as "$state/$made" "" || refuse "cannot write into the run directory $run_dir"
  done
}

take_back() { # the intent: sbatch made no job
  still_held
  if [ -n "$before" ]; then
    replace "$record" "$before"
  else
    rm -f -- "$record"
  fi
  rm -f -- "$state/start" "$state/place"
  restore_combination
}

# sbatch

try_sbatch() { # [INDICES]: of an array. Set `said`, `status`, and its_job if sbatch printed an id and nothing else
  said=$(call_sbatch "$@" 2>&1)
  status=$?
  its_job=${said%%;*}
  case $its_job in '' | *[!0-9]*) its_job= ;; esac # lines of a wrapper or a plugin of the site: the cluster knows
  [ "$status" -eq 0 ] || its_job=
}

was_cut_off() { # after try_sbatch: by `timeout` or a signal. 255 is sbatch's own status, for a wrong option
  case $status in
    124 | 125 | 129 | 1[3-5]?) said="sbatch was cut off: $said" ;;
    *) is_unclear "$said" ;;
  esac
}

has_refused() { # after try_sbatch: sbatch's own words, or there is no sbatch
  case $said in *"sbatch: error:"* | *"sbatch: fatal:"* | *"Try \"sbatch --help\""* | *"timeout: failed to run"*) ;; *) return 1 ;; esac
}

find_printed() { # after try_sbatch: the job among the ids in a chatty answer; one question about each
  for id in $(printf '%s\n' "$sbatch_said" | sed -n 's/^\(Submitted batch job \)\{0,1\}\([0-9][0-9]*\)\(;.*\)\{0,1\}$/\2/p'); do
    if ! is_known "$id" && lives "$id"; then
      its_job=$id
      return
    fi
  done
}

submit() {
  [ -z "$parallel" ] || pass_gate
  [ -z "$proposals" ] || check_proposal
  intend
  [ -z "$proposals" ] || list_proposal
  try_sbatch
  [ -z "$its_job" ] || answer_submitted
  if [ "$status" -ne 0 ]; then
    ! was_cut_off || stop 93 "$said"
    if has_refused; then
      take_back
      stop 92 "$said"
    fi
  fi
  # A wrapper or a plugin of the site has printed something, or has failed after sbatch.
  sbatch_said=$said sbatch_status=$status queue=''
  find_printed
  [ -n "$its_job" ] || settle search
  [ -z "$its_job" ] || answer_submitted
  [ "$sbatch_status" -ne 0 ] || stop 93 "sbatch printed no job id: $sbatch_said"
  take_back
  stop 92 "$sbatch_said"
}

answer_submitted() {
  write_record # if this fails, the intent stands, and leads to the job
  answer submitted
}

withdraw() { # cancel the attempt's job, though Slurm may be away for a while; if it is not there yet, it never will be
  is_marked=
  if (mark_withdrawn); then is_marked=yes; fi
  for delay in 0 10 30 60 120 300 600; do
    sleep "$delay"
    (
      open_record
      cancel_withdrawn
    ) && break
  done
}

mark_withdrawn() { # before Slurm is asked anything: from here on nothing is submitted for this attempt
  trap release EXIT
  take "$state_lock"
  holds_state=yes
  read_record "$record"
  [ -z "$its_damage" ] && write_withdrawn
}

write_withdrawn() {
  its_withdrawn="$run $task $attempt"
  write_record
}

cancel_withdrawn() {
  [ -n "$its_job" ] || leave_place
  [ -n "$is_marked" ] || write_withdrawn # else a later withdrawal of another attempt may have its mark there
  is_withdrawn || return 0
  rm -f -- "$state/$its_job.place"
  for pause in 1 2 4 8 16 32 64; do
    cancel "$its_job" && return
    sleep "$pause"
  done
  return 1
}

leave_place() { # of an intent that led to no job: by the name of its attempt, but for a chain's, by the missing file
  case ${its_links##* } in "$after",*) rm -f -- "$state/start" ;; esac
}

is_withdrawn() { # whether the record's job is what the killed task has submitted, or waits for
  if [ -z "$its_job" ] || [ "$its_run" != "$run" ]; then return 1; fi
  if [ -n "$after" ]; then
    [ "$its_job" = "$after" ] || is_of_chain
  else
    case "$its_task $its_attempt" in "$task $attempt" | "$task $unknown_attempt") ;; *) return 1 ;; esac
  fi
}
