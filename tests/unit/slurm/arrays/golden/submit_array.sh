{
(prelude.sh)

printf '%s\n' @slurm_sweep@
has_ended() { case $1 in BOOT_FAIL | CANCELLED | COMPLETED | DEADLINE | FAILED | OUT_OF_MEMORY | TIMEOUT | INCOMPLETE | STOPPED_EARLY | LOST) ;; *) return 1 ;; esac; }
may_return() { case $1 in LAUNCH_FAILED | NODE_FAIL | PREEMPTED | RECONFIG_FAIL) ;; *) return 1 ;; esac; }
is_unclear() { case $1 in *'Socket timed out'* | *'Zero Bytes were transmitted'* | *'Header lengths are longer than data received'* | *'Insane message length'* | *'Received zero length message'* | *'Received message length < 0'* | *'Unexpected message received'* | *'Unexpected missing socket error'* | *'Message send failure'* | *'Message receive failure'* | *'Failed to send entire message'* | *'Communication shutdown failure'* | *'(send failure)'* | *'(receive failure)'* | *'(shutdown failure)'* | *'Connection reset by peer'* | *'Broken pipe'* | *'Transport endpoint is not connected'* | *'Connection timed out'* | *'Connection forced closed by quiesce timeout'* | *'Kernel reported delayed socket error'* | *'Protocol authentication error'* | *'Munge decode failed'*) ;; *) return 1 ;; esac; }
(record.sh)

state_name=.slurm_sweep record_name=.slurm_sweep/record parameters_name=parameters.json combination_name=.slurm_sweep/combination.json
(array.sh)

prelude='# From here to the next comment: slurm_sweep, this array element'"'"'s own values and name.
slurm_sweep_flags=$-
set +xv
. '"'"'/lustre/me/100% mine/grpo_sweep_'"'"'"$SLURM_ARRAY_TASK_ID"/.slurm_sweep/environment || exit
case $slurm_sweep_flags in *v*) set -v ;; esac
case $slurm_sweep_flags in *x*) set -x ;; esac
timeout 10 scontrol update JobId="${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" JobName="$SLURM_JOB_NAME" \
  > /dev/null 2>&1 < /dev/null || :
# The batch script.'
environment_name=.slurm_sweep/environment output_format=--Format=JobArrayID:20,State:20,StdOut:73
enter() {
command -v sbatch > /dev/null || refuse 'sbatch is not on the PATH of this login; set login_setup in the cluster profile, such as: module load slurm'
cd -- '/lustre/me/nemo rl' || refuse 'no such directory on the cluster: /lustre/me/nemo rl'
for input in train.py ray.sub; do
  [ -e "$input" ] || refuse "no such file on the cluster: $input (looked for from $PWD)"
done
batch_script=$(cat -- ray.sub) || refuse 'cannot read ray.sub'
}
call_sbatch() {
[ -z "$site_clusters" ] || unset SLURM_CLUSTERS
timeout -k 5 60 sbatch --parsable --job-name=grpo_sweep --nodes=4 --account=research --gres=gpu:8 '--output=/lustre/me/100%% mine/grpo_sweep_%a/logs/slurm-%A_%a.out' --export=ALL '--qos=high prio' ${site_clusters:+"--clusters=$site_clusters"} --array="$1" << END
$array_script
END
}
m_1() {
run_dir='/lustre/me/100% mine/grpo_sweep_4' escaped_dir='/lustre/me/100%% mine/grpo_sweep_4' output_format=--Format=JobArrayID:20,State:20,StdOut:72 run='a grpo manual__1' task='combination.submit 3' try=1 ti=01-1 run_folders=logs resume='' parallel='' gate='/lustre/me/100% mine/.slurm_sweep/37649eccd16f18f6' parameters_json='' combination_json='' after='' ended='' chained='' keeps_place=''
index=4 environment='export KEY='"'"'it'"'"'"'"'"'"'"'"'s'"'"'
export BASE_LOG_DIR='"'"'/lustre/me/100% mine/grpo_sweep_4'"'"'
export COMMAND=true
export CONTAINER='"'"''"'"'
export GPUS_PER_NODE=8
export MOUNTS='"'"''"'"'
export NUM_ACTOR_NODES=4
export SETUP_COMMAND='"'"''"'"'
export WANDB_DIR='"'"'/lustre/me/100% mine/grpo_sweep_4'"'"'
export SLURM_JOB_NAME=grpo_sweep_4'
}
m_2() {
run_dir='/lustre/me/100% mine/grpo_sweep_10' escaped_dir='/lustre/me/100%% mine/grpo_sweep_10' output_format=--Format=JobArrayID:20,State:20,StdOut:73 run='a grpo manual__1' task='combination.submit 9' try=1 ti=01-1 run_folders=logs resume='' parallel='' gate='/lustre/me/100% mine/.slurm_sweep/37649eccd16f18f6' parameters_json='' combination_json='' after='' ended='' chained='' keeps_place=''
index=10 environment='export KEY='"'"'it'"'"'"'"'"'"'"'"'s'"'"'
export BASE_LOG_DIR='"'"'/lustre/me/100% mine/grpo_sweep_10'"'"'
export COMMAND=false
export CONTAINER='"'"''"'"'
export GPUS_PER_NODE=8
export MOUNTS='"'"''"'"'
export NUM_ACTOR_NODES=4
export SETUP_COMMAND='"'"''"'"'
export WANDB_DIR='"'"'/lustre/me/100% mine/grpo_sweep_10'"'"'
export SLURM_JOB_NAME=grpo_sweep_10'
}
submit_array m 2
status=$?
[ "$status" -ne 0 ] || printf '%s\n' @slurm_sweep_end@
exit "$status"
}
