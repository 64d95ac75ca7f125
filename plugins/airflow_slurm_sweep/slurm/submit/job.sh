#!/bin/bash
# The batch script of jobs where neither sweep nor profile names one (`batch_script:`). It runs COMMAND once, on the
# job's first node; inside CONTAINER, with MOUNTS, if there is one (srun's options from pyxis).
#
# COMMAND gets SIGUSR1 some time before the job's limit (`warn:`), or what sbatch's `signal` says, and SIGTERM where Slurm
# ends the job. Slurm sends them to this shell alone, or to its direct children, so the shell hands them on to all of
# COMMAND's processes.
#
# It leaves "<exit status> <first signal or ->" and the end time (seconds since 1970) in the run directory. By this file
# the end of a job is known when Slurm has forgotten the job (no accounting, MinJobAge over), and whether it was done.
set +eu # which a login's SHELLOPTS may set
early=  # a signal that comes before COMMAND
for its_name in HUP INT QUIT USR1 USR2; do
  # shellcheck disable=SC2064 # its value now
  trap "early=\${early:-$its_name}" "$its_name"
done
trap 'early=TERM' TERM
job_id=$SLURM_JOB_ID
[ -z "$SLURM_ARRAY_JOB_ID" ] || job_id=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
exit_file=$BASE_LOG_DIR/.slurm_sweep/$job_id.exit
owner_file=$BASE_LOG_DIR/.slurm_sweep/owner
setup_file=$BASE_LOG_DIR/.slurm_sweep/$SLURM_JOB_ID.setup # setup.sh makes it
signal_file=$BASE_LOG_DIR/.slurm_sweep/$SLURM_JOB_ID.signal
inside_file=$BASE_LOG_DIR/.slurm_sweep/$SLURM_JOB_ID.inside # the shell inside CONTAINER makes it
own="$job_id ${SLURM_RESTART_COUNT:-0}"
before='' may_live=
{ read -r before < "$owner_file"; } 2> /dev/null
[ -n "$before" ] && [ "$before" != "$own" ] && ! [ -e "$BASE_LOG_DIR/.slurm_sweep/${before% *}.exit" ] && may_live=yes
# From before a requeue.
rm -f -- "$exit_file" "$exit_file.new" "$owner_file.$job_id" "$setup_file" "$signal_file" "$inside_file"
inside=

if [ -z "$COMMAND" ]; then
  COMMAND='echo "COMMAND is empty: the environment of sbatch did not reach this job" >&2; exit 64'
fi

# The next four also run inside CONTAINER, where they leave no exit file.

# SIGNAL: to the processes of `group` and all that they have started, also in a session of its own, as torchrun's workers
# are. They stay in `ours` when their parents end. To srun only those that it hands on: others end its step. Set `alive`
# if one lives.
hand_on() {
  local stat line pid lines=() parents=() began=() more=yes
  alive=
  for stat in /proc/[0-9]*/stat; do
    { read -r line < "$stat"; } 2> /dev/null || continue
    pid=${line%% *}
    # shellcheck disable=SC2086 # into words: the state, the parent, the process group ... the time of its start
    set -- "$1" ${line##*) }
    [ "$2" != Z ] || continue
    lines[pid]=$line parents[pid]=$3 began[pid]=${21}
    [ "$4" != "$group" ] || ours[pid]=${21}
  done
  for pid in "${!ours[@]}"; do # the number may be another process's by now
    [ "${ours[pid]}" = "${began[pid]}" ] || unset "ours[pid]"
  done
  while [ -n "$more" ]; do
    more=
    for pid in "${!parents[@]}"; do
      if [ -z "${ours[pid]}" ] && [ -n "${ours[parents[pid]]}" ]; then ours[pid]=${began[pid]} more=yes; fi
    done
  done
  for pid in "${!ours[@]}"; do
    alive=yes
    case "$1 ${lines[pid]}" in [HIQT]*" (srun) "*) continue ;; esac
    kill "-$1" "$pid" 2> /dev/null
  done
}

# shellcheck disable=SC2329 # traps call it
on_signal() { # SIGNAL
  interrupted=yes
  [ "$signal" != - ] || signal=$1
  if [ -n "$inside" ]; then # Slurm may signal CONTAINER's step alone, as when it preempts a job
    (set -C && printf '%s\n' "$signal" > "$BASE_LOG_DIR/.slurm_sweep/$SLURM_JOB_ID.signal") 2> /dev/null
  fi
  [ "$1" != TERM ] || write_exit_file # KILL may come next
  hand_on "$1"
}

run() { # COMMAND in a process group of its own; set `status`
  signal=${early:--} status=143 ours=()
  [ -z "$early" ] || return 0 # COMMAND would be too young to get it
  for its_name in HUP INT QUIT USR1 USR2 TERM; do
    # shellcheck disable=SC2064 # its value now
    trap "on_signal $its_name" "$its_name"
  done
  [ -z "$inside" ] || (set -C && : > "$BASE_LOG_DIR/.slurm_sweep/$SLURM_JOB_ID.inside") 2> /dev/null
  set -m
  if [ -n "$CONTAINER" ] && [ -z "$inside" ]; then
    srun --nodes=1 --ntasks=1 ${SLURM_CPUS_PER_TASK:+"--cpus-per-task=$SLURM_CPUS_PER_TASK"} --export=ALL \
      --container-image="$CONTAINER" --container-workdir="$PWD" ${MOUNTS:+"--container-mounts=$MOUNTS"} \
      bash -c "$(declare -f hand_on on_signal run write_exit_file)
set +eu; exit_file=; signal_file=; inside=yes; run; exit \$status" &
  else
    # In the programs that COMMAND starts, a trapped signal, unlike an ignored one, does what it usually does.
    bash -c "trap : HUP INT QUIT USR1 USR2 TERM; $COMMAND" &
  fi
  group=$!
  if [ -z "$inside" ]; then
    watch_owner &
    watcher=$!
    disown # else bash reports its end
  fi
  set +m
  interrupted=yes
  while [ -n "$interrupted" ]; do
    interrupted=
    wait "$group"
    ended=$?
  done
  [ "$ended" -lt 0 ] || status=$ended # bash 5.2 sometimes returns -1 for a child that was just reaped
  if [ "$signal" = - ] && [ -e "$signal_file" ]; then read -r signal < "$signal_file"; fi
  [ "$signal" != - ] || return 0
  write_exit_file
  hand_on 0
  while [ -n "$alive" ]; do # a shell in COMMAND may have ended before the programs that save
    sleep 0.2
    hand_on 0
  done
}

write_exit_file() {
  [ -n "$exit_file" ] || return 0
  mkdir -p -- "${exit_file%/*}" # a training may empty its directory before it begins
  rm -f -- "$exit_file.new"
  # The file is created, never written through a link that somebody planted.
  (set -C && printf '%s %s\n%s\n' "$status" "$signal" "$(date +%s)" > "$exit_file.new") &&
    mv -f -- "$exit_file.new" "$exit_file"
}

# A job whose node was lost may go on there, unseen, while the next one runs: it ends when it reads the next one's name.

take_directory() {
  (set -C && printf '%s\n' "$own" > "$owner_file.$job_id") 2> /dev/null && mv -f -- "$owner_file.$job_id" "$owner_file"
  [ -z "$may_live" ] || sleep 20 # until it has read that
}

watch_owner() {
  local owner=$own
  while [ "${owner:-$own}" = "$own" ]; do
    sleep 10 || return # COMMAND may have killed it
    { read -r owner < "$owner_file"; } 2> /dev/null
  done
  echo "job ${owner% *} has this run directory now: job $job_id, whose node was lost, ends" >&2
  hand_on 0     # find them all while their parents live
  kill -TERM $$ # hands it on, and then waits for all of them
  sleep 1
  kill -TERM -- "-$group" # srun, too
  sleep 5
  hand_on KILL
}

take_directory
run

if [ "$status" -eq 0 ] && [ -e "$setup_file" ]; then
  echo "setup failed with exit status 0: a line replaced the shell, as exec does, and the command did not run" >&2
  status=78
fi
# Before Slurm 23.11.4, srun ends with 0 where the node cannot launch the step.
is_sure() { printf '%s\n' 23.11.4 "$(srun --version | sed 's/.* //')" | sort -C -V; }
if [ "$status" -eq 0 ] && [ -n "$CONTAINER" ] && ! [ -e "$inside_file" ] && ! is_sure; then
  echo "srun ended with exit status 0, but nothing ran in the container, or 'mounts' lacks $BASE_LOG_DIR" >&2
  status=70
fi
rm -f -- "$setup_file" "$signal_file" "$inside_file"
write_exit_file
kill -KILL -- "-$watcher" 2> /dev/null
exit "$status"
