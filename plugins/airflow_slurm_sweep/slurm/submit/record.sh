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
