# Functions for submissions, each of them once: for the login node's POSIX shell, with coreutils and Slurm's commands.
# commands.py puts the functions has_failed, has_ended, may_return and is_unclear before them. Each submission has a subshell
# of its own, the variables run_dir, escaped_dir, output_format, run, task, generation, try, ti, resume, parallel and
# gate, and the function call_sbatch; it calls begin first.
#
# RUN_DIR/.slurm_sweep/record says what was submitted from this run directory, in names that hold no blanks:
#
#   run DAG_ID RUN_ID           the Dag run that it belongs to
#   task TASK_ID MAP_INDEX
#   attempt GENERATION TRY ID   a clear begins a generation, a retry does not; the id is the task instance's
#   job ID                      nothing after `job`: an intent, sbatch was about to be called
#   jobs ID ...                 all earlier ones
#   withdrawn RUN TASK ATTEMPT  an attempt whose task was killed
#
# The intent is on disk before sbatch is called. Whoever finds it without a job asks the cluster for a job that writes
# into this run directory and that the record does not know: that job is the intent's. Nothing here reads a clock.

refuse() { printf '%s\n' "$1" >&2; exit 90; }
stop() { printf '%s\n' "$2" >&2; exit "$1"; } # 91 busy, 92 sbatch said no, 93 unclear or no answer, 94 ending, 95 full
trap '' PIPE HUP # a connection that is cut does not stop us half way
set -C # files are made anew, never through a link that somebody planted
read -r host < /proc/sys/kernel/hostname
read -r boot < /proc/sys/kernel/random/boot_id
namespace=$(readlink /proc/self/ns/pid)
patience=1500 # fifths of a second: longer than a holder works until sbatch is over (7 squeue, pauses, sbatch: 250 s)
waits_for=$patience
pid=

begin() {
  trap 'exit 143' TERM INT
  state=$run_dir/.slurm_sweep
  record=$state/record
  [ -n "$pid" ] || read -r pid _ < /proc/self/stat # $$ is another's in a subshell
  who="$host $boot $namespace $pid"
  mine=$state/.$host.$pid
  attempt="$generation $try $ti"
  state_lock=$state/lock gate_lock=$gate/lock holds_state='' holds_gate=''
}

each() { # NAME SECONDS: the submissions NAME_1, NAME_2 ..., as many as begin in that time; tells of each when it is over
  read -r uptime _ < /proc/uptime
  last=$((${uptime%.*} + $2)) number=1
  while command -v "$1_$number" > /dev/null && [ "${uptime%.*}" -le "$last" ]; do
    said=$("$1_$number" 2>&1)
    printf '%s %s %s\n%s\n' "$1" "$number" "$?" "$said"
    number=$((number + 1))
    read -r uptime _ < /proc/uptime
  done
}

# Folders and links

own_links() { # no link on the way that another user made
  for place in "$@"; do
    if [ -L "$place" ]; then
      case $(stat -c %u -- "$place") in
        0 | "$(id -u)") ;;
        *) refuse "$place is a symbolic link that another user made; it is not followed" ;;
      esac
    fi
  done
}

make_folders() {
  parent=${run_dir%/*}
  [ -d "$parent" ] || mkdir -p -- "$parent" || refuse "cannot make the run directory $run_dir"
  own_links "$parent" "$run_dir"
  set -- "$run_dir" "$state" "$run_dir/checkpoints" "$run_dir/logs" "$run_dir/wandb"
  [ ! -d "$run_dir" ] || own_links "$@" "$record"
  for folder in "$@"; do
    shift
    [ -d "$folder" ] || set -- "$@" "$folder"
  done
  # Somebody else, submitting the same, may make them at the same moment.
  [ $# -eq 0 ] || mkdir -- "$@" 2> /dev/null || mkdir -p -- "$@" || refuse "cannot make the run directory $run_dir"
  own_links "$run_dir" "$@"
  [ -w "$run_dir/logs" ] || refuse "cannot write into the run directory $run_dir"
}

save_as() { # FILE TEXT: whole, or fail
  [ ! -e "$1" ] && [ ! -L "$1" ] || rm -f -- "$1"
  { printf '%s\n' "$2" > "$1"; } 2> /dev/null
  written=
  { while IFS= read -r line; do written="$written$line
"; done < "$1"; } 2> /dev/null
  [ "$written" = "$2
" ]
}

to_disk() { # FILE ...
  sync -- "$@" 2> /dev/null || :
}

# The lock: a file with its holder's host, boot, process namespace and pid, linked into place

is_ours() { # LOCK
  holder=
  { read -r holder < "$1"; } 2> /dev/null
  [ "$holder" = "$who" ]
}

release() {
  [ -z "$holds_state" ] || ! is_ours "$state_lock" || rm -f -- "$state_lock"
  [ -z "$holds_gate" ] || ! is_ours "$gate_lock" || rm -f -- "$gate_lock"
  for leftover in "$mine" "$mine.new" "$mine.broken"; do
    [ ! -e "$leftover" ] || rm -f -- "$leftover"
  done
}

is_dead() { # a holder of this host, boot and process namespace that does not live any more
  [ "${1% *}" = "${who% *}" ] && ! kill -0 "${1##* }" 2> /dev/null
}

take() { # LOCK: wait for it; break one whose holder is dead, or that is held for longer than anybody works
  save_as "$mine" "$who" || refuse "cannot write into ${1%/*}"
  waited=0 seen=
  until ln -- "$mine" "$1" 2> /dev/null; do
    holder=$(cat -- "$1" 2> /dev/null)
    [ "$holder" = "$seen" ] || { seen=$holder waited=0; }
    if [ -n "$holder" ] && { is_dead "$holder" || [ "$waited" -ge "$patience" ]; }; then
      mv -f -- "$1" "$mine.broken" 2> /dev/null
      # Somebody else may have broken it first, and a third taken it: give that one back.
      [ "$(cat -- "$mine.broken" 2> /dev/null)" = "$holder" ] || ln -- "$mine.broken" "$1" 2> /dev/null
      rm -f -- "$mine.broken"
      seen=
      continue
    fi
    [ "$waited" -lt "$waits_for" ] || stop 91 "cannot make $1, or somebody else holds it"
    waited=$((waited + 1))
    sleep 0.2
  done
  rm -f -- "$mine"
}

still_held() { # or it was broken meanwhile: this process slept for long, and another works in its place. Asked before each act.
  is_ours "$state_lock" && { [ -z "$holds_gate" ] || is_ours "$gate_lock"; } ||
    stop 91 "the lock was taken from this submission, which was too slow"
}

# The record

is_job() { # ID: of a job, or of an element of an array, 123_4
  case $1 in '' | *[!0-9_]* | _* | *_ | *_*_*) return 1 ;; esac
}

read_record() { # FILE
  its_run='' its_task='' its_attempt='' its_job='' its_jobs='' its_withdrawn=''
  [ -f "$1" ] || return 0
  while read -r key value; do
    case $key in
      run) its_run=$value ;;
      task) its_task=$value ;;
      attempt) its_attempt=$value ;;
      job) is_job "$value" && its_job=$value ;; # it goes into sed's program: who wrote it?
      jobs) its_jobs=$value ;;
      withdrawn) its_withdrawn=$value ;;
    esac
  done < "$1"
}

write_record() { # of what its_run, its_task ... say
  still_held
  save_as "$mine.new" "run $its_run
task $its_task
attempt $its_attempt
job $its_job
jobs $its_jobs
withdrawn $its_withdrawn" || return
  # An intent outlives a power cut; the rest can be found by it.
  [ -n "$its_job" ] || [ ! -e "$record" ] || to_disk "$mine.new"
  mv -f -- "$mine.new" "$record" || return
  [ -n "$its_job" ] || to_disk "$record" "$state"
}

must_write_record() {
  write_record || refuse "cannot write into the run directory $run_dir"
}

take_over() { # the record, as this attempt
  its_run=$run its_task=$task its_attempt=$attempt
}

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

# What to do

answer() { # HOW
  printf '%s %s\n' "$its_job" "$1"
  exit 0
}

open_record() {
  trap release EXIT
  take "$state_lock"
  holds_state=yes
  read_record "$record"
  if [ -n "$its_attempt" ] && [ -z "$its_job" ]; then
    settle
    [ -z "$its_job" ] || must_write_record
  fi
}

decide() { # returns if there is something to submit
  me="$run $task $attempt"
  rest=${its_attempt#* }
  its_generation=${its_attempt%% *} its_try=${rest%% *} its_ti=${rest#* }
  [ "$its_withdrawn" != "$me" ] || refuse "this attempt was withdrawn: its task was killed"
  if [ -z "$its_job$its_jobs" ]; then
    return # nothing was ever submitted here
  elif [ "$its_run $its_task" != "$run $task" ]; then
    [ "$its_run" != "$run" ] || refuse "the run directory $run_dir belongs to another task of this Dag run ($its_task)"
    [ -n "$resume" ] || refuse "the run directory $run_dir belongs to another Dag run ($its_run); go on from its checkpoints (resume), or choose another job name"
    [ -z "$its_job" ] && return
    ask
    is_live "$its_job" && refuse "the run directory $run_dir belongs to another Dag run ($its_run), whose job $its_job is $is; let it end, or: scancel $its_job"
  elif [ -z "$its_job" ]; then
    return # an intent that led to no job
  elif [ "$its_ti" = "$ti" ]; then
    answer again
  elif [ "$its_try" -gt "$try" ] && is_newer "$its_ti" "$ti"; then
    refuse "a later try of this task has taken over"
  elif [ "$its_generation" = "$generation" ] && [ "$its_try" -lt "$try" ] &&
    [ "$its_withdrawn" != "$its_run $its_task $its_attempt" ]; then
    ask
    shown "$its_job"
    if [ -z "$is" ] && [ -f "$state/$its_job.exit" ]; then
      read -r is < "$state/$its_job.exit"
      [ "$is" = "0 -" ] || is=FAILED
    fi
    has_failed "$is" && return
    take_over
    must_write_record
    answer adopted
  else
    ask
    is_live "$its_job" || return 0
    if [ "$is" != COMPLETING ] && cancel "$its_job"; then
      ask
      is_live "$its_job" && ! may_return "$is" || return 0 # a node failed under it, and now it stays ended
    fi
    stop 94 "its earlier job $its_job is $is and is being cancelled"
  fi
}

is_newer() { # ID ID: they begin with the time when Airflow made them; a Dag run that was deleted and made again has new ones
  [ "$(printf '%s\n' "$1" "$2" | LC_ALL=C sort | tail -n 1)" = "$1" ]
}

pass_gate() { # at most $parallel live jobs of this Dag run
  own_links "${gate%/*}" "$gate"
  [ -d "$gate" ] || mkdir -p -- "$gate" || refuse "cannot make $gate"
  take "$gate_lock"
  holds_gate=yes
  ask
  live=0 members=
  [ ! -f "$gate/members" ] || while IFS= read -r member; do
    [ "$member" != "$run_dir" ] || continue
    read_record "$member/.slurm_sweep/record"
    [ "$its_run" = "$run" ] || continue
    if [ -z "$its_job" ] || is_live "$its_job"; then
      live=$((live + 1)) members="$members$member
"
    fi
  done < "$gate/members"
  [ "$live" -lt "$parallel" ] || stop 95 "$live jobs of this run are live, max_parallel_jobs is $parallel"
  still_held
  save_as "$mine.new" "$members$run_dir" && mv -f -- "$mine.new" "$gate/members" || refuse "cannot write $gate/members"
  read_record "$record"
}

intend() { # writes the intent down; sets `before` to what the record said
  before=
  [ ! -e "$record" ] || before=$(cat -- "$record")
  # A log that is there already is no sign of the job to come.
  [ -z "$its_job" ] || add "$its_job"
  its_job=
  set -- "$run_dir"/logs/slurm-*.out
  [ ! -e "$1" ] || for id in $(logs); do is_known "$id" || add "$id"; done
  take_over
  must_write_record
}

take_back() { # the intent: sbatch made no job
  still_held
  if [ -n "$before" ]; then
    save_as "$mine.new" "$before" && mv -f -- "$mine.new" "$record"
  else
    rm -f -- "$record"
  fi
}

try_sbatch() { # INDICES: of an array. Sets `said`, `status`, and its_job if sbatch told one
  said=$(call_sbatch "$@" 2>&1)
  status=$?
  case $said in
    '' | *[!0-9]*) its_job=$(printf '%s\n' "$said" | sed -n 's/^\([0-9][0-9]*\)\(;.*\)\{0,1\}$/\1/p') ;;
    *) its_job=$said ;;
  esac
  if [ "$status" -eq 0 ]; then
    case $its_job in '' | *[!0-9]*) its_job= ;; esac # none, or several lines that look like one: the cluster knows
  fi
}

was_cut_off() { # after try_sbatch
  case $status in # 255 is sbatch's own, for a wrong option
    124 | 125 | 129 | 1[3-5]?) said="sbatch was cut off: $said" ;; # by timeout, or by a signal
    *) is_unclear "$said" ;;
  esac
}

has_refused() { # after try_sbatch: sbatch's own words, or there is no sbatch; and no job
  case $its_job:$said in :*"sbatch: "* | :*"timeout: "*) ;; *) return 1 ;; esac
}

submit() {
  [ -z "$parallel" ] || pass_gate
  intend
  try_sbatch
  if [ "$status" -ne 0 ]; then
    ! was_cut_off || stop 93 "$said"
    if ! has_refused; then # those of a wrapper of the site, say, which may have failed after sbatch
      its_job=
      settle
      [ -z "$its_job" ] || answer_submitted
    fi
    take_back
    stop 92 "$said"
  fi
  if [ -z "$its_job" ]; then
    settle
    [ -n "$its_job" ] || stop 93 "sbatch printed no job id: $said"
  fi
  answer_submitted
}

answer_submitted() {
  write_record # if this fails, the intent stands, and leads to the job
  answer submitted
}

withdraw() { # the attempt's job is cancelled; if it did not come yet, it never will
  its_withdrawn="$run $task $attempt"
  write_record
  [ "$its_run $its_task $its_attempt" = "$its_withdrawn" ] && [ -n "$its_job" ] || return 0
  for pause in 1 2 4 8 16 32 64; do
    cancel "$its_job" && break
    sleep "$pause"
  done
}
