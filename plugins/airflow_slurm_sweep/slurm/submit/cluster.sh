# What Slurm knows of this run directory's jobs, and cancelling them. Behind record.sh.

cancel() { # ID
  still_held
  scancel -- "$1" < /dev/null
}

query() { # all of the user's jobs, the oldest first, arrays by element: id, state, output path; fail without an answer
  set -- --array --me --all --noheader --states=all --sort=i "$output_format"
  queue=$(timeout -k 5 20 squeue "$@" 2>&1 < /dev/null)
}

ask() {
  query || stop 93 "squeue: $queue"
}

shown() { # ID: set `is` to the state that squeue shows, to nothing if squeue does not show the job
  # "+0" is behind the id of a heterogeneous job's first part.
  is=$(printf '%s\n' "$queue" | sed -n "s/^$1\(+0\)\{0,1\} \{1,\}\([A-Z_]\{1,\}\).*/\2/p")
  case $is:$1 in
    :*_*) ;;
    :*) # a whole array, made by a batch script's own line: it lives as long as an element does
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

is_known() { # ID: the record has it
  case " $its_jobs $its_job " in *" $1 "*) return 0 ;; esac
  return 1
}

add() { # ID: to the earlier jobs of the record
  its_jobs="$its_jobs${its_jobs:+ }$1"
}

logs() { # print the ids of the jobs that wrote a log here
  for file in "$run_dir"/logs/slurm-*.out; do
    file=${file##*/slurm-}
    if is_job "${file%.out}"; then printf '%s\n' "${file%.out}"; fi
  done
}

# Slurm shows an output path as it is, or as sbatch got it: an array's with %a for the index.
writes_here() { # ID PATH
  case $2 in
    "$run_dir/logs/slurm-"* | "$escaped_dir/logs/slurm-"*) ;;
    "${escaped_dir%"$own_index"}%a/logs/slurm-"*) case $1 in *_"$own_index") ;; *) return 1 ;; esac ;;
    *) return 1 ;;
  esac
}

search() { # for the job of an intent: set its_job. A second live job can only be a twin; it is cancelled.
  own_index=${run_dir##*[!0-9]}
  while read -r id _ path; do
    id=${id%+0}
    if ! is_job "$id" || ! writes_here "$id" "$path"; then continue; fi
    # Without the index in the log's name the array is one of a batch script's own line: it counts as a whole.
    case ${path##*/logs/slurm-} in *_*) ;; *) id=${id%_*} ;; esac
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
  [ -n "$its_job" ] || search_logs
}

search_logs() { # for the job of an intent that Slurm has forgotten
  for id in $(logs); do is_known "$id" || its_job=$id; done
}

settle() { # find the job of an intent: its sbatch may just have been cut off, and slurmctld may be slow to take it
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
