{
(prelude.sh)

printf '%s\n' @slurm_sweep@
has_ended() { case $1 in BOOT_FAIL | CANCELLED | COMPLETED | DEADLINE | FAILED | OUT_OF_MEMORY | TIMEOUT | INCOMPLETE | STOPPED_EARLY | LOST) ;; *) return 1 ;; esac; }
may_return() { case $1 in LAUNCH_FAILED | NODE_FAIL | PREEMPTED | RECONFIG_FAIL) ;; *) return 1 ;; esac; }
is_unclear() { case $1 in *'Socket timed out'* | *'Zero Bytes were transmitted'* | *'Header lengths are longer than data received'* | *'Insane message length'* | *'Received zero length message'* | *'Received message length < 0'* | *'Unexpected message received'* | *'Unexpected missing socket error'* | *'Message send failure'* | *'Message receive failure'* | *'Failed to send entire message'* | *'Communication shutdown failure'* | *'(send failure)'* | *'(receive failure)'* | *'(shutdown failure)'* | *'Connection reset by peer'* | *'Broken pipe'* | *'Transport endpoint is not connected'* | *'Connection timed out'* | *'Connection forced closed by quiesce timeout'* | *'Kernel reported delayed socket error'* | *'Protocol authentication error'* | *'Munge decode failed'*) ;; *) return 1 ;; esac; }
(record.sh)

state_name=.slurm_sweep record_name=.slurm_sweep/record parameters_name=parameters.json combination_name=.slurm_sweep/combination.json
m_1() {
run_dir=/lustre/me/100%/nemo-rl/grpo_sweep_4 escaped_dir=/lustre/me/100%%/nemo-rl/grpo_sweep_4 output_format=--Format=JobArrayID:20,State:20,StdOut:75 run='a grpo manual__1' task='combination.submit 3' try=1 ti=01-1 run_folders='logs checkpoints wandb' resume='' parallel='' gate=/lustre/me/100%/nemo-rl/.slurm_sweep/37649eccd16f18f6 parameters_json='{
  "optim.lr": 1e-06,
  "note": "it'"'"'s"
}' combination_json='{
  "index": 4,
  "name": "grpo_sweep_4",
  "run": {
    "airflow": "a",
    "dag_id": "grpo",
    "run_id": "manual__1"
  },
  "task": {
    "task_id": "combination.submit",
    "map_index": 3
  },
  "parameters": {
    "optim.lr": 1e-06,
    "note": "it'"'"'s"
  },
  "swept": [],
  "overrides": [
    "++seed=1"
  ],
  "command": "uv run train.py '"'"'a=it'"'"'\"'"'"'\"'"'"'s'"'"'",
  "versions": {
    "airflow_slurm_sweep": "VERSION"
  }
}' after='' ended='' chained='' keeps_place=''
call_sbatch() {
set -- "$(command -v timeout)" "$(command -v sbatch)"
export SWEEP_OPTIM_LR=1e-06
export SWEEP_NOTE='it'"'"'s'
export HF_HOME='/lustre/hf home'
export BASE_LOG_DIR=/lustre/me/100%/nemo-rl/grpo_sweep_4
export COMMAND='uv run train.py '"'"'a=it'"'"'"'"'"'"'"'"'s'"'"''
export CONTAINER=/lustre/images/nemo_rl_base.sqsh
export GPUS_PER_NODE=8
export MOUNTS=/lustre:/lustre,/home:/home
export NUM_ACTOR_NODES=4
export SETUP_COMMAND=''
export WANDB_DIR=/lustre/me/100%/nemo-rl/grpo_sweep_4
[ -z "$site_clusters" ] || unset SLURM_CLUSTERS
"$1" -k 5 60 "$2" ${site_clusters:+"--clusters=$site_clusters"} --parsable --job-name=grpo_sweep_4 --nodes=4 --account=research --partition=batch --time=8:0:0 --gres=gpu:8 --output=/lustre/me/100%%/nemo-rl/grpo_sweep_4/logs/slurm-%j.out --export=ALL --exclusive '--qos=high prio' --nice=100 ray.sub < /dev/null
}
begin
command -v sbatch > /dev/null || refuse 'sbatch is not on the PATH of this login; set login_setup in the cluster profile, such as: module load slurm'
cd -- '/lustre/me/nemo rl' || refuse 'no such directory on the cluster: /lustre/me/nemo rl'
for input in train.py conf/grpo.yaml ray.sub; do
  [ -e "$input" ] || refuse "no such file on the cluster: $input (looked for from $PWD)"
done
make_folders
open_record
decide
submit
}
each m 20
status=$?
[ "$status" -ne 0 ] || printf '%s\n' @slurm_sweep_end@
exit "$status"
}
