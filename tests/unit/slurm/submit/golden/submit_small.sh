{
(prelude.sh)

printf '%s\n' @slurm_sweep@
has_ended() { case $1 in BOOT_FAIL | CANCELLED | COMPLETED | DEADLINE | FAILED | OUT_OF_MEMORY | TIMEOUT | INCOMPLETE | STOPPED_EARLY | LOST) ;; *) return 1 ;; esac; }
may_return() { case $1 in LAUNCH_FAILED | NODE_FAIL | PREEMPTED | RECONFIG_FAIL) ;; *) return 1 ;; esac; }
is_unclear() { case $1 in *'Socket timed out'* | *'Zero Bytes were transmitted'* | *'Header lengths are longer than data received'* | *'Insane message length'* | *'Received zero length message'* | *'Received message length < 0'* | *'Unexpected message received'* | *'Unexpected missing socket error'* | *'Message send failure'* | *'Message receive failure'* | *'Failed to send entire message'* | *'Communication shutdown failure'* | *'(send failure)'* | *'(receive failure)'* | *'(shutdown failure)'* | *'Connection reset by peer'* | *'Broken pipe'* | *'Transport endpoint is not connected'* | *'Connection timed out'* | *'Connection forced closed by quiesce timeout'* | *'Kernel reported delayed socket error'* | *'Protocol authentication error'* | *'Munge decode failed'*) ;; *) return 1 ;; esac; }
(record.sh)

state_name=.slurm_sweep record_name=.slurm_sweep/record parameters_name=parameters.json combination_name=.slurm_sweep/combination.json
batch_script_1='#!/bin/sh
eval "$COMMAND"'
m_1() {
run_dir=/r/one escaped_dir=/r/one output_format=--Format=JobArrayID:20,State:20,StdOut:44 run='a grpo manual__1' task='combination.submit 3' try=1 ti=01-1 run_folders=logs resume='' parallel='' gate=/r/.slurm_sweep/37649eccd16f18f6 parameters_json='' combination_json='' after='' ended='' chained='' keeps_place=''
call_sbatch() {
set -- "$(command -v timeout)" "$(command -v sbatch)"
export BASE_LOG_DIR=/r/one
export COMMAND=true
export CONTAINER=''
export GPUS_PER_NODE=0
export MOUNTS=''
export NUM_ACTOR_NODES=1
export SETUP_COMMAND=''
export WANDB_DIR=/r/one
[ -z "$site_clusters" ] || unset SLURM_CLUSTERS
"$1" -k 5 60 "$2" ${site_clusters:+"--clusters=$site_clusters"} --parsable --job-name=one --nodes=1 --output=/r/one/logs/slurm-%j.out --export=ALL << END
$batch_script_1
END
}
begin
command -v sbatch > /dev/null || refuse 'sbatch is not on the PATH of this login; set login_setup in the cluster profile, such as: module load slurm'
cd || refuse 'no home'
for input in ; do
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
