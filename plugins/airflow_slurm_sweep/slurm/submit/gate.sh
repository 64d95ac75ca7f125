# The limit of parallel jobs of a Dag run (`max_parallel_jobs`). Behind record.sh and cluster.sh.

pass_gate() { # at most $parallel live jobs of this Dag run
  make_shared "${gate%/*}"
  own_links "$gate"
  [ -d "$gate" ] || mkdir -p -- "$gate" || refuse "cannot make $gate"
  take "$gate_lock"
  holds_gate=yes
  ask_once
  members=$(show_members) || exit
  live=$(printf '%s' "${members:+$members$newline}" | wc -l)
  [ "$live" -lt "$parallel" ] || stop 95 "$live jobs of this run are live, max_parallel_jobs is $parallel"
  still_held
  replace "$gate/members" "${members:+$members$newline}$run_dir" || refuse "cannot write $gate/members"
}

show_members() { # print the run directories of live jobs and open intents; in a subshell, as it reads their records
  both=
  [ -f "$gate/members" ] || return 0
  while IFS= read -r member; do
    [ "$member" != "$run_dir" ] || continue
    read_record "$member/$record_name"
    ! has_place || printf '%s\n' "$member"
  done < "$gate/members"
}

has_place() { # the run directory `member`, whose record was read
  if [ -n "$its_damage" ]; then
    is_recent || is_written_to
  elif [ "$its_run" != "$run" ]; then
    return 1
  elif [ -z "$its_job" ]; then # an intent. Its job may still come, unless its task was killed or has failed for long
    { [ -z "$its_links" ] || [ -e "$member/$state_name/start" ]; } &&
      { { [ "$its_withdrawn" != "$its_run $its_task $its_attempt" ] && is_recent; } || is_written_to; }
  else
    at_member lives "$its_job" || keeps_place
  fi
}

is_recent() { # whether a submission may be at work in `member`: it makes files there
  [ -n "$(find "$member/$state_name" -maxdepth 0 -mmin -10 2> /dev/null)" ]
}

is_written_to() { # whether a live job writes into `member`: as its id is not known, both sources must show none
  if [ -z "$both" ]; then
    both=$queue
    query_controller || stop 93 "scontrol: $said"
    both=$both$newline$queue queue=$both
  fi
  at_member has_live
}

has_live() {
  its_job=
  find_live
  [ -n "$its_job" ]
}

at_member() { # FUNCTION [ARGUMENT]: call it as for the run directory `member`
  (
    run_dir=$member escaped_dir=$(printf '%s\n' "$member" | sed 's/%/%%/g')
    find_index
    "$@"
  )
  status=$?
  [ "$status" -le 1 ] || exit "$status"
  return "$status"
}

# A chain's task submits the next job, or removes the file; a trial's task removes it once it has written the result,
# which the next proposal has to know. If that task is dead, the place expires after ten minutes.
keeps_place() {
  [ -e "$member/$state_name/$its_job.place" ] &&
    [ -n "$(find "$member/$state_name/$its_job.exit" "$member/logs/slurm-$its_job.out" -mmin -10 2> /dev/null)" ]
}
