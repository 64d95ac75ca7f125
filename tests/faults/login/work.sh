# What a job runs. Line N of DIR/faults/jobs/JOBNAME holds seconds and exit status of the job's Nth start (the last line
# holds for all further ones). DIR/faults/events/JOBID tells when it started, and when and how it ended.
faults=${SLURM_CONF%/*}/faults
PATH=/usr/bin:/bin
event() { printf '%s %s %s\n' "$(date +%s.%N)" "$SLURM_JOB_NAME" "$*" >> "$faults/events/$SLURM_JOB_ID"; }
echo "$SLURM_JOB_ID" >> "$faults/starts/$SLURM_JOB_NAME"
starts=$(wc -l < "$faults/starts/$SLURM_JOB_NAME")
read -r seconds status <<< "$(head -n "$starts" "$faults/jobs/$SLURM_JOB_NAME" | tail -n 1)"
event start
sleep "$seconds" &
trap 'trap "" TERM; kill $!; event end 143; exit 143' TERM # Slurm and job.sh both hand TERM on
wait $!
echo "work: ends with $status"
event end "$status"
exit "$status"
