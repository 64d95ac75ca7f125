#!/bin/bash
# The batch script of jobs where neither sweep nor profile names one (`batch_script:`). It runs COMMAND once, on the
# job's first node; inside CONTAINER, with MOUNTS, if there is one (srun's options from pyxis).
#
# It leaves "<exit status> <signal or ->" and the end time (seconds since 1970) in the run directory. By this file the
# end of a job is known when Slurm has forgotten the job (no accounting, MinJobAge over).
set +eu # which a login's SHELLOPTS may set
job_id=$SLURM_JOB_ID
[ -z "$SLURM_ARRAY_JOB_ID" ] || job_id=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
exit_file=$BASE_LOG_DIR/.slurm_sweep/$job_id.exit
setup_file=$BASE_LOG_DIR/.slurm_sweep/$SLURM_JOB_ID.setup # setup.sh makes it
rm -f -- "$exit_file" "$exit_file.new" "$setup_file"      # from before this job was requeued

if [ -z "$COMMAND" ]; then
  COMMAND='echo "COMMAND is empty: the environment of sbatch did not reach this job" >&2; exit 64'
fi
if [ -n "$CONTAINER" ]; then
  srun --nodes=1 --ntasks=1 ${SLURM_CPUS_PER_TASK:+"--cpus-per-task=$SLURM_CPUS_PER_TASK"} --export=ALL \
    --container-image="$CONTAINER" --container-workdir="$PWD" ${MOUNTS:+"--container-mounts=$MOUNTS"} bash -c "$COMMAND" &
else
  bash -c "$COMMAND" &
fi
job=$!
signal=-
trap 'signal=TERM; kill -TERM "$job"' TERM
wait "$job"
status=$?
if [ "$signal" != - ]; then # the wait was interrupted: COMMAND ends in its own time, within Slurm's KillWait
  wait "$job"
  status=$?
  [ "$status" -ge 0 ] || status=143 # bash 5.2 sometimes returns -1 for a child that was just reaped
fi

if [ "$status" -eq 0 ] && [ -e "$setup_file" ]; then
  echo "setup failed with exit status 0: a line replaced the shell, as exec does, and the command did not run" >&2
  status=78
fi
rm -f -- "$setup_file"

set -C # the file is created, never written through a link that somebody planted
printf '%s %s\n%s\n' "$status" "$signal" "$(date +%s)" > "$exit_file.new" && mv -f -- "$exit_file.new" "$exit_file"
exit "$status"
