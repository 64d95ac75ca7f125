# shellcheck shell=sh disable=SC2154 # variables of record.sh
# Locks: files with their holder's host, boot, process namespace and pid, linked into place. Behind record.sh.

is_ours() { # LOCK
  holder=
  { read -r holder < "$1"; } 2> /dev/null
  [ "$holder" = "$who" ]
}

release() {
  [ -z "$holds_state" ] || ! is_ours "$state_lock" || rm -f -- "$state_lock"
  [ -z "$holds_gate" ] || ! is_ours "$gate_lock" || rm -f -- "$gate_lock"
  for leftover in "$mine.new" "$state/$ticket" "$state/$ticket.broken" "$gate/$ticket" "$gate/$ticket.broken"; do
    [ ! -e "$leftover" ] || rm -f -- "$leftover"
  done
}

is_dead() { # HOLDER: it was of this host, boot and process namespace, and lives no more
  [ "${1% *}" = "${who% *}" ] || return 1
  kill -0 "${1##* }" 2> /dev/null || return 0
  # Where init reaps no orphans, a dead process stays as a zombie.
  { read -r process < "/proc/${1##* }/stat"; } 2> /dev/null || return 1
  case ${process##*) } in Z*) ;; *) return 1 ;; esac
}

take() { # LOCK: wait for it; break it if the holder is dead, or has it for longer than any submission takes
  # In the lock's folder: some file systems link in one folder only.
  own=${1%/*}/$ticket
  save_as "$own" "$who" || refuse "cannot write into ${1%/*}"
  waited=0 seen=
  until ln -- "$own" "$1" 2> /dev/null; do
    holder=$(cat -- "$1" 2> /dev/null)
    # NFS lost the answer to `ln`, or the lock is of a dead process whose pid we have now.
    [ "$holder" != "$who" ] || break
    [ "$holder" = "$seen" ] || { seen=$holder waited=0; }
    if [ -n "$holder" ] && { is_dead "$holder" || [ "$waited" -ge "$patience" ]; }; then
      break_lock "$1"
      continue
    fi
    [ "$waited" -lt "$waits_for" ] || stop 91 "another submission holds the lock $1, or it cannot be made"
    waited=$((waited + 1))
    sleep 0.2
  done
  rm -f -- "$own"
}

break_lock() { # LOCK: of `holder`
  mv -f -- "$1" "$own.broken" 2> /dev/null
  # Another process may have broken it first, and a third one taken it: give that one back.
  [ "$(cat -- "$own.broken" 2> /dev/null)" = "$holder" ] || ln -- "$own.broken" "$1" 2> /dev/null
  rm -f -- "$own.broken"
  seen=
}

still_held() { # called before each act: the lock is broken if this process slept for long, and another one works now
  if ! is_ours "$state_lock" || { [ -n "$holds_gate" ] && ! is_ours "$gate_lock"; }; then
    stop 91 "the lock was taken from this submission, which was too slow"
  fi
}
