# The cluster

cancel() { # ID
  still_held
  scancel -- "$1" < /dev/null
}

query() { # all of the user's jobs, the oldest first, arrays by their elements: id, state, output path; fails if there is no answer
  queue=$(timeout -k 5 20 squeue --array --me --all --noheader --states=all --sort=i "$output_format" 2>&1 < /dev/null)
}

ask() {
  query || stop 93 "squeue: $queue"
}

shown() { # ID: sets `is` to the state that squeue shows, to nothing once it shows the job no more
  is=$(printf '%s\n' "$queue" | sed -n "s/^$1\(+0\)\{0,1\} \{1,\}\([A-Z_]\{1,\}\).*/\2/p") # +0: a heterogeneous job's first part
  case $is:$1 in
    :*_*) ;;
    :*) # an array as a whole, where a batch script has a line of its own for that: it lives as long as an element does
      for is in $(printf '%s\n' "$queue" | sed -n "s/^$1_[0-9]\{1,\} \{1,\}\([A-Z_]\{1,\}\).*/\1/p"); do
        has_ended "$is" || break
      done
      ;;
  esac
}

is_live() { # ID
  shown "$1"
  [ -n "$is" ] && ! has_ended "$is"
}

is_known() { # ID: to the record
  case " $its_jobs $its_job " in *" $1 "*) return 0 ;; esac
  return 1
}

add() { # ID: to the earlier jobs
  its_jobs="$its_jobs${its_jobs:+ }$1"
}

logs() { # the ids of the jobs that wrote a log here
  for file in "$run_dir"/logs/slurm-*.out; do
    file=${file##*/slurm-}
    if is_job "${file%.out}"; then printf '%s\n' "${file%.out}"; fi
  done
}

writes_here() { # ID PATH: Slurm shows the path as it is, or as sbatch got it, for an array with %a for the index
  case $2 in
    "$run_dir/logs/slurm-"* | "$escaped_dir/logs/slurm-"*) ;;
    "${escaped_dir%"$own_index"}%a/logs/slurm-"*) case $1 in *_"$own_index") ;; *) return 1 ;; esac ;;
    *) return 1 ;;
  esac
}

search() { # for the job of an intent: sets its_job. A second live one can only be a twin, and is cancelled.
  own_index=${run_dir##*[!0-9]}
  while read -r id _ path; do
    id=${id%+0}
    is_job "$id" && writes_here "$id" "$path" || continue
    case ${path##*/logs/slurm-} in *_*) ;; *) id=${id%_*} ;; esac # an array by its script's own line: as a whole
    if is_known "$id"; then
      continue
    elif [ -z "$its_job" ]; then
      its_job=$id
    elif is_live "$id"; then
      cancel "$id"
      add "$id"
    fi
  done << END_OF_QUEUE
$queue
END_OF_QUEUE
  [ -n "$its_job" ] || for id in $(logs); do is_known "$id" || its_job=$id; done # ended, and forgotten
}

settle() { # an intent without a job: its sbatch may just have been cut off, and slurmctld may be slow
  for pause in 0 2 3 5; do
    sleep "$pause"
    answered=
    query || continue
    answered=yes
    search
    [ -z "$its_job" ] || return 0
  done
  [ -n "$answered" ] || stop 93 "squeue: $queue" # the last look is the one that counts
}
