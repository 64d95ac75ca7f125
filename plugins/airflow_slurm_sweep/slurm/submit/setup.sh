# shellcheck shell=bash disable=SC1091
# The lines of `setup` and then the command are one text for bash: what a line changes, the command has.
slurm_sweep_fail() { # STATUS
  slurm_sweep_own_trap
  echo "setup line $slurm_sweep_number failed with exit status $1: ${slurm_sweep_line%%$'\n'*}" >&2
  exit 78
}
slurm_sweep_check() { # STATUS COMMAND DEPTH: of a command that failed: one that an item of several lines names itself
  case $3:$slurm_sweep_line in "$slurm_sweep_depth:"*$'\n'*) ;; *) return ;; esac
  case $slurm_sweep_line in *"$2"*) ;; *) return ;; esac
  slurm_sweep_line=$2
  slurm_sweep_fail "$1"
}
slurm_sweep_finish() {
  "$slurm_sweep_rm" -f -- "$slurm_sweep_unfinished"
  slurm_sweep_own_trap
}
slurm_sweep_own_trap() { # remove it, unless a line has set another one
  case $(trap -p EXIT) in *slurm_sweep_fail*) trap - EXIT ;; esac
}
# As long as this file is there, the command has not begun: job.sh looks. A container may lack the run directory.
slurm_sweep_unfinished=$BASE_LOG_DIR/.slurm_sweep/$SLURM_JOB_ID.setup
slurm_sweep_rm=$(type -P rm) # before a line changes PATH
(set -C && : > "$slurm_sweep_unfinished") 2> /dev/null
trap 'slurm_sweep_fail $?' EXIT # for lines that leave the shell, with status 0 too: the command would not run
slurm_sweep_number=0 slurm_sweep_line='. /etc/profile'
if ! declare -F module > /dev/null && [ -r /etc/profile ]; then
  slurm_sweep_before="$(declare -px)"$'\n'"umask $(umask)"
  . /etc/profile > /dev/null 2>&1 < /dev/null
  eval "$slurm_sweep_before" 2> /dev/null
fi
slurm_sweep_depth=${#BASH_SOURCE[@]}
trap 'slurm_sweep_check $? "$BASH_COMMAND" ${#BASH_SOURCE[@]}' ERR # an item may have several lines
