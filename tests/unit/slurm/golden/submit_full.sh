{
printf '%s\n' @slurm_sweep@
refuse() { printf '%s\n' "$1" >&2; exit 90; }
trap '' PIPE
run_dir=/lustre/me/100%/nemo-rl/grpo_sweep_4
state=$run_dir/.slurm_sweep
cd -- '/lustre/me/nemo rl' || refuse 'no such directory on the cluster: /lustre/me/nemo rl'
for input in train.py conf/grpo.yaml ray.sub; do
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
export HF_HOME='/lustre/hf home'
export BASE_LOG_DIR=/lustre/me/100%/nemo-rl/grpo_sweep_4
export COMMAND='uv run train.py '"'"'a=it'"'"'"'"'"'"'"'"'s'"'"''
export CONTAINER=/lustre/images/nemo_rl_base.sqsh
export GPUS_PER_NODE=8
export MOUNTS=/lustre:/lustre,/home:/home
export NUM_ACTOR_NODES=4
export WANDB_DIR=/lustre/me/100%/nemo-rl/grpo_sweep_4
sbatch --parsable --job-name=grpo_sweep_4 --nodes=4 --account=research --partition=batch --time=8:0:0 --gres=gpu:8 --output=/lustre/me/100%%/nemo-rl/grpo_sweep_4/logs/slurm-%j.out --exclusive '--qos=high prio' --nice=100 ray.sub < /dev/null
  ) || exit 92
  job_id=$(printf '%s\n' "$printed" | sed -n 's/^\([0-9][0-9]*\)\(;.*\)\{0,1\}$/\1/p' | tail -n 1)
  [ -n "$job_id" ] || { printf 'sbatch printed no job id: %s\n' "$printed" >&2; exit 92; }
  printf '%s\n%s\n%s\n' "$owner" "$attempt" "$job_id" > "$state/record.new" &&
    mv -f -- "$state/record.new" "$state/record"
fi
printf '%s\n' "$job_id"

exit
}
