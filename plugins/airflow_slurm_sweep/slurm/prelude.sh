# shellcheck shell=sh disable=SC1091,SC3040,SC3044 # sh may be bash
# Every script begins with this. Whatever the login's environment, exported functions and shell options are, the
# commands that follow do what their manuals say. What a site sets on purpose stays: SLURM_CONF, SLURM_CLUSTERS,
# sbatch's defaults such as SBATCH_ACCOUNT, and functions such as `module`, which jobs inherit.
#
# shell.py sets site_setup, one command a line, and site_clusters in front of it; both are often empty.

fail_login() { # REASON
  printf '%s\n' "$1" >&2
  exit 78
}

# A shell that a start-up file began in place of ours reads this script too, but it lacks our argument.
case ${1-} in
  slurm_sweep) ;;
  *)
    fail_login "a start-up file of the login replaces the shell, such as exec zsh in ~/.bashrc"
    ;;
esac

# bash before 5.1 writes here-documents to files, and goes on without them where it cannot.
unset -f command read
probe=
read -r probe << END
read
END
if [ "$probe" != read ]; then
  printf '%s\n' "the login's shell cannot make temporary files: is ${TMPDIR:-/tmp} full there?" >&2
  exit 75
fi

# The cluster profile's own commands, such as `module load slurm`.
if [ -n "$site_setup" ]; then
  login_path=$PATH
  # In dash an error of `.` or `eval` ends the shell, without `command`: /etc/profile may have lines for bash alone.
  command -v module > /dev/null || [ ! -r /etc/profile ] || command . /etc/profile > /dev/null 2>&1 < /dev/null
  PATH=$login_path line_number=0
  while IFS= read -r line; do
    line_number=$((line_number + 1))
    command eval "$line" > /dev/null < /dev/null || fail_login "login_setup, line $line_number: exit status $?: $line"
  done << END
$site_setup
END
fi

# Shell options, which SHELLOPTS and BASHOPTS may have set, and variables that shells and coreutils obey.
set +abefmuvxC
unset IFS CDPATH GLOBIGNORE EXECIGNORE FUNCNEST POSIXLY_CORRECT _POSIX2_VERSION
# In a POSIX shell no function hides `unset`, `set`, `exit` and the like.
unset -f sbatch squeue scancel sacct scontrol sacctmgr sdiag sinfo srun timeout env \
  base64 cat cd command date echo false find head id kill ln mkdir mv printenv printf read readlink rm sed sleep sort stat \
  sync tail test tr true umask uname wait wc
case ${BASH_VERSION-} in
  ?*)
    unset -f [ shopt
    set +o pipefail
    shopt -u failglob nullglob nocasematch nocaseglob dotglob extglob xpg_echo lastpipe
    ;;
esac

# Slurm's input variables. Those of later versions begin with the same words.
for name in $(env | sed -n 's/^\(S[A-Z]*_[A-Z0-9_]*\)=.*/\1/p'); do
  case $name in
    SBATCH_ACCOUNT | SBATCH_CLUSTER_CONSTRAINT | SBATCH_CONSTRAINT | SBATCH_CORE_SPEC | SBATCH_CPUS_PER_GPU) ;;
    SBATCH_EXCLUSIVE | SBATCH_HINT | SBATCH_MEM_* | SBATCH_NETWORK | SBATCH_PARTITION | SBATCH_QOS) ;;
    SBATCH_RESERVATION | SBATCH_THREADS_PER_CORE | SBATCH_TIMELIMIT | SBATCH_WCKEY) ;;
    SLURM_CONF | SLURM_CONF_SERVER | SLURM_CLUSTERS) ;;
    SACCT_* | SACCTMGR_* | SBATCH_* | SCANCEL_* | SCONTROL_* | SINFO_* | SQUEUE_*) unset "$name" ;;
    SLURM_BITSTR_LEN | SLURM_EXIT_ERROR | SLURM_EXIT_IMMEDIATE | SLURM_EXPORT_ENV | SLURM_HOSTFILE) unset "$name" ;;
    SLURM_TIME_FORMAT | SLURM_UMASK) unset "$name" ;;
    # A login inside a job has that job's variables.
    SLURM_* | SLURMD_* | SRUN_*) [ -z "${SLURM_JOB_ID-}" ] || unset_later="${unset_later-} $name" ;;
  esac
done
# shellcheck disable=SC2086 # into words
[ -z "${unset_later-}" ] || unset $unset_later unset_later

[ -z "$site_clusters" ] || export SLURM_CLUSTERS="$site_clusters"
case ${SLURM_CLUSTERS-} in
  *,* | [Aa][Ll][Ll]) fail_login "SLURM_CLUSTERS=$SLURM_CLUSTERS names several clusters: set 'clusters' in the cluster profile" ;;
esac
