{
printf '%s\n' @slurm_sweep@
refuse() { printf '%s\n' "$1" >&2; exit 90; }
trap '' PIPE
run_dir=/r/one
state=$run_dir/.slurm_sweep
cd || refuse 'no home'
for input in ; do
  [ -e "$input" ] || refuse "no such file on the cluster: $input (looked for from $PWD)"
done
mkdir -p -- "$run_dir/checkpoints" "$run_dir/logs" "$run_dir/wandb" "$state" ||
  refuse "cannot make the run directory $run_dir"
[ -w "$run_dir/logs" ] && [ -w "$state" ] || refuse "cannot write into the run directory $run_dir"
tries=0
until mkdir -- "$state/lock" 2>/dev/null; do
  tries=$((tries + 1))
  if [ "$tries" -gt 30 ]; then
    printf '%s\n' "another submission holds $state/lock; if none is under way, remove it" >&2
    exit 91
  fi
  sleep 1
done
trap 'rmdir -- "$state/lock"' EXIT
owner='grpo manual__1' attempt='combination.submit 3 try 1' owned_by= recorded= job_id=
[ -f "$state/record" ] && { IFS= read -r owned_by; IFS= read -r recorded; IFS= read -r job_id; } < "$state/record"
if [ -n "$owned_by" ] && [ "$owned_by" != "$owner" ]; then
  refuse "the run directory $run_dir belongs to another Dag run ($owned_by); go on from its checkpoints (resume), or choose another job name"
  recorded=
fi
if [ "$recorded" != "$attempt" ] || [ -z "$job_id" ]; then
  printed=$(
export BASE_LOG_DIR=/r/one
export COMMAND=true
export CONTAINER=''
export GPUS_PER_NODE=0
export MOUNTS=''
export NUM_ACTOR_NODES=1
export WANDB_DIR=/r/one
sbatch --parsable --job-name=one --nodes=1 --output=/r/one/logs/slurm-%j.out <<'END_OF_BATCH_SCRIPT'
#!/bin/sh
eval "$COMMAND"
END_OF_BATCH_SCRIPT
  ) || exit 92
  job_id=$(printf '%s\n' "$printed" | sed -n 's/^\([0-9][0-9]*\)\(;.*\)\{0,1\}$/\1/p' | tail -n 1)
  [ -n "$job_id" ] || { printf 'sbatch printed no job id: %s\n' "$printed" >&2; exit 92; }
  printf '%s\n%s\n%s\n' "$owner" "$attempt" "$job_id" > "$state/record.new" &&
    mv -f -- "$state/record.new" "$state/record"
fi
printf '%s\n' "$job_id"

exit
}
