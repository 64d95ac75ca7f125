# What Slurm knows of this run directory's jobs, and cancelling them. Behind record.sh.

call() { # SECONDS COMMAND ...: run a command, bounded in time and output; set `said` and `status`
  said=$({
    timeout -k 5 "$@" 2>&1 < /dev/null
    printf '\nstatus %s' "$?"
  } | head -c 33554432)
  status=${said##*"${newline}status "} said=${said%"${newline}status "*}
  case $status in
    124 | 137) said="$2 gave no answer within $1 s" ;;
    '' | *[!0-9]*) status=125 said="$2 printed more than 32 MiB" ;;
    0) ;;
    *) said=${said:-"exit status $status, no reason"} ;;
  esac
}

cancel() { # ID
  still_held
  call 60 scancel -- "$1"
  return "$status"
}

cancel_ours() { # ID: for those who hold no lock
  controller_shows "$1"
  if [ -z "$is" ] || has_ended "$is"; then return 0; fi
  call 60 scancel -- "$1"
  [ "$status" -eq 0 ] || stop 93 "scancel: $said"
  echo cancelled
}

# Rows of `queue`: id (arrays by element), state, output path. The oldest job comes first.

query() { # squeue: all of the user's jobs; without an answer fail, with the reason in `said`
  call 60 squeue --array --me --all --noheader --states=all --sort=i "$output_format"
  [ "$status" -eq 0 ] || return 1
  queue=${said%"${said##*"$newline"}"} # whole lines: an answer that was cut off ends within one
}

query_controller() { # likewise, from another source: squeue may hide jobs, or answer from a cache
  said=$({
    timeout -k 5 120 scontrol --all show job 2>&1 < /dev/null
    printf '\nstatus %s' "$?"
  } | sed -n "$controller_rows
/^slurm_/p
/^scontrol:/p
/^status /p")
  status=${said##*"status "}
  [ "$status" = 0 ] || return 1
  queue=$said
}

# Records of scontrol as rows. Pending elements of an array share a record, which has no id of an element.
controller_rows="/^JobId=/{
s/^JobId=[0-9]* ArrayJobId=\([0-9]*\) ArrayTaskId=\([0-9]*\) .*/\1_\2/
s/^JobId=\([0-9]*\) .*/\1/
h
}
/^   UserId=[^ ]*($(id -u)) /!{
/^   UserId=/{
s/.*/another's/
h
}
}
/^   JobState=/{
s/^   JobState=\([A-Z_]*\).*/\1/
H
}
/^   StdOut=/{
s/^   StdOut=//
H
x
s/\n/ /g
/^[0-9]/p
}"

ask() {
  query || stop 93 "squeue: $said"
}

ask_once() { # an answer of the script's will do: a job that it does not show live is looked up
  [ -n "$queue" ] || ask
}

row_of() { # ID: of `queue`; set `is` and `row_path`, to nothing if there is none
  # "+0" is behind the id of a heterogeneous job's first part.
  row=$(printf '%s\n' "$queue" | sed -n "s/^$1\(+0\)\{0,1\} \{1,\}//p" | head -n 1)
  is=${row%%[!A-Z_]*} row_path=${row#"$is"}
  row_path=${row_path#"${row_path%%[! ]*}"}
  case $is:$1 in
    :*_*) ;;
    :*) # a whole array, made by a batch script's own line: it lives as long as an element does
      for is in $(printf '%s\n' "$queue" | sed -n "s/^$1_[0-9]\{1,\} \{1,\}\([A-Z_]\{1,\}\).*/\1/p"); do
        has_ended "$is" || break
      done
      row_path=$(printf '%s\n' "$queue" | sed -n "s/^$1_[0-9]\{1,\} \{1,\}[A-Z_]\{1,\} \{1,\}//p" | head -n 1)
      ;;
  esac
}

# A job is not live only if squeue and the controller agree. An id that is another job's by now is not ours.
lives() { # ID: of a job that wrote into $run_dir; set `is`
  row_of "$1"
  if [ -n "$is" ] && ! has_ended "$is" && writes_here "$1" "$row_path"; then return 0; fi
  controller_shows "$1"
  [ -n "$is" ] && ! has_ended "$is"
}

controller_shows() { # ID: set `is` to the state of our job, to nothing if the controller does not know such a job
  is=
  call 60 scontrol show job "$1"
  case $status:$said in
    0:*) ;;
    *'Invalid job id'* | 1:"Job $1 not found"*) return 0 ;;
    *) stop 93 "scontrol: $said" ;;
  esac
  rows=$(printf '%s\n' "$said" | sed -n "$controller_rows") shown_id=
  while read -r shown_id shown_state shown_path && [ "$shown_id" != - ]; do
    if writes_here "$shown_id" "$shown_path"; then
      is=$shown_state
      has_ended "$is" || return 0
    fi
  done << END_OF_ROWS
$rows
-
END_OF_ROWS
  must_be_last "$shown_id"
}

must_be_last() { # ID: the shell may lack room for a here-document: without it a loop ends as if there were no rows
  [ "$1" = - ] || stop 93 "the login's shell cannot make temporary files: is ${TMPDIR:-/tmp} full there?"
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
writes_here() { # ID PATH: a job of this run directory
  case $2 in
    '') return 1 ;; # also where own_log is empty
    "$run_dir/logs/slurm-"* | "$escaped_dir/logs/slurm-"* | "$own_log") ;;
    *) case $1 in *_"$own_element") is_of_array "$2" ;; *) return 1 ;; esac ;;
  esac
}

is_of_array() { # PATH: of an array whose elements differ in the index where our run directory has its own
  kept=${run_dir%"$own_index"} escaped_kept=${escaped_dir%"$own_index"} index_of=%a
  case $own_index in ????*) kept=${run_dir%???} escaped_kept=${escaped_dir%???} index_of=%3a ;; esac
  case $1 in
    "$escaped_kept$index_of/logs/slurm-"* | "$kept$index_of/logs/slurm-"* | "${kept}4294967294/logs/slurm-"*) ;; # NO_VAL
    *) return 1 ;;
  esac
}

# Pending elements of an array share a record of scontrol's, with the id of the array. The record of one element tells
# whether the array has it.
to_element() { # where `id` and `path`, of a row, are such an array's: set them and `is` to those of our element
  id=${id%+0}
  case $own_index:$id in :* | *_*) return 0 ;; esac
  is_of_array "$path" || return 0
  element=${id}_$own_element
  controller_shows "$element"
  [ -z "$is" ] || { id=$element path=$run_dir/logs/slurm-$element.out; }
}

search() { # `queue` for the job of an intent: set its_job. A second live job can only be a twin; it is cancelled.
  id=
  while read -r id is path && [ "$id" != - ]; do
    to_element
    if ! is_job "$id" || ! writes_here "$id" "$path"; then continue; fi
    # Without the index in the log's name the array is one of a batch script's own line: it counts as a whole.
    case ${path##*/logs/slurm-} in *_*) ;; *) id=${id%_*} ;; esac
    if is_known "$id"; then
      continue
    elif [ -z "$its_job" ]; then
      its_job=$id
    elif [ "$id" != "$its_job" ] && lives "$id"; then
      cancel "$id"
      add "$id"
    fi
  done << END_OF_QUEUE
$queue
-
END_OF_QUEUE
  must_be_last "$id"
  [ -n "$its_job" ] || search_logs
}

# `queue` for a job that lives and writes here: set its_job. Nobody knows whose it is: it is left alone. Not job $after,
# which may be shown for long: the question is whether another one follows it.
find_live() {
  id=
  while read -r id is path && [ "$id" != - ]; do
    to_element
    if is_job "$id" && writes_here "$id" "$path" && ! has_ended "$is"; then
      case ${path##*/logs/slurm-} in *_*) ;; *) id=${id%_*} ;; esac
      [ "$id" != "$after" ] || continue
      its_job=$id
      return
    fi
  done << END_OF_QUEUE
$queue
-
END_OF_QUEUE
  must_be_last "$id"
}

search_logs() { # for the job of an intent that Slurm has forgotten
  for id in $(logs); do is_known "$id" || its_job=$id; done
}

settle() { # FUNCTION: find a job in `queue` with it: sbatch may just have been cut off, slurmctld be slow to take it
  for pause in 0 2 3 5; do
    sleep "$pause"
    answered=
    query || continue
    answered=yes
    "$1"
    [ -z "$its_job" ] || return 0
  done
  [ -n "$answered" ] || stop 93 "squeue: $said" # the last look is the one that counts
  query_controller || stop 93 "scontrol: $said"
  "$1"
}
