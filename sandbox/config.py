"""From values to the texts of the configuration files: pure functions, no I/O.

The settings are the ones that let Slurm, munge, MariaDB and OpenSSH run as an ordinary user with many nodes on one
host. Sources: the manual pages slurm.conf(5), gres.conf(5), slurmdbd.conf(5) and sshd_config(5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ACCOUNT = "sandbox"
CLUSTER = "sandbox"
GPUS_PER_NODE = 8
EVERYWHERE = "0.0.0.0"
LOOPBACK = "127.0.0.1"
MARKER = "SLURM_SANDBOX"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the configuration files of one cluster depend on.

    Attributes:
        directory: Absolute path that holds the cluster.
        user: Login name that runs the daemons and the jobs.
        host: Short host name of this machine.
        loopback_only: Whether Slurm's daemons listen on the loopback address only.
        nodes: Number of virtual nodes; they are named n1, n2, ...
        accounting: Whether slurmdbd and MariaDB run too.
        min_job_age: Seconds that a finished job stays visible to squeue.
        slurm_conf: Further lines of slurm.conf; a setting given here replaces the sandbox's own.
        listen: Address that sshd listens on.
        ports: TCP port of each daemon that listens on one, by daemon name.
    """

    directory: Path
    user: str
    host: str
    nodes: int
    accounting: bool
    min_job_age: int
    slurm_conf: tuple[str, ...] = ()
    listen: str = LOOPBACK
    loopback_only: bool = True
    ports: dict[str, int]

    @property
    def node_names(self) -> list[str]:
        """Names of the nodes, which are also the names of their daemons."""
        return [f"n{number}" for number in range(1, self.nodes + 1)]

    @property
    def ssh_host(self) -> str:
        """Where this host itself reaches sshd."""
        return LOOPBACK if self.listen == EVERYWHERE else self.listen

    @property
    def environment(self) -> dict[str, str]:
        """Variables that point any Slurm command at this cluster."""
        return {"SLURM_CONF": f"{self.directory}/slurm.conf"}


def files(settings: Settings) -> dict[str, str]:
    """Texts of all configuration files, by path below the directory."""
    texts = {
        "slurm.conf": slurm_conf(settings),
        "gres.conf": gres_conf(settings),
        # Nothing uses cgroups, but slurmd wants a plugin: this one starts also where none are mounted (containers).
        "cgroup.conf": "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n",
        "ssh/sshd_config": sshd_config(settings),
        "ssh/config": ssh_config(settings),
    }
    if settings.accounting:
        texts["slurmdbd.conf"] = slurmdbd_conf(settings)
    return texts


def slurm_conf(settings: Settings) -> str:
    """Text of slurm.conf: nodes, partitions, a scheduler that reacts at once."""
    directory, ports = settings.directory, settings.ports
    lines = [
        f"ClusterName={CLUSTER}",
        f"SlurmctldHost={settings.host}({LOOPBACK})",
        f"SlurmctldPort={ports['slurmctld']}",
        f"SlurmUser={settings.user}",
        f"SlurmdUser={settings.user}",
        f"AuthInfo=socket={directory}/munge/s",
        f"StateSaveLocation={directory}/state",
        f"SlurmdSpoolDir={directory}/spool/%n",
        f"SlurmctldPidFile={directory}/run/slurmctld.pid",
        f"SlurmdPidFile={directory}/run/%n.pid",
        "MailProg=/bin/true",
        # Nothing here needs root or cgroups.
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "MpiDefault=none",
        # The nodes' hardware is what this file says, whatever the host has.
        "SlurmdParameters=config_overrides",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core",
        "GresTypes=gpu",
        "ReturnToService=2",
        # A job in the partition `low` goes back into the queue when one in `high` needs its nodes.
        "PreemptType=preempt/partition_prio",
        "PreemptMode=REQUEUE",
        "SlurmdTimeout=30",
        "KillWait=5",
        f"MinJobAge={settings.min_job_age}",
        "SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1",
    ]
    if settings.loopback_only:
        # Listen on the address that the host's name has.
        lines.append("CommunicationParameters=NoCtldInAddrAny,NoInAddrAny")
    if settings.accounting:
        lines += [
            "AccountingStorageType=accounting_storage/slurmdbd",
            f"AccountingStorageHost={LOOPBACK}",
            f"AccountingStoragePort={ports['slurmdbd']}",
            # Here the "password" is the munge socket; without it slurmctld speaks to the default one.
            f"AccountingStoragePass={directory}/munge/s",
            "AccountingStorageEnforce=associations,limits,qos",
            "AccountingStorageTRES=gres/gpu",
        ]
    # Slurm's commands complain about a setting that stands twice.
    replaced = {_setting(line) for line in settings.slurm_conf}
    lines = [line for line in lines if _setting(line) not in replaced]
    lines += [
        f"NodeName={node} NodeHostname={settings.host} NodeAddr={LOOPBACK} Port={ports[node]} "
        f"CPUs=16 CoresPerSocket=16 RealMemory=2000 Gres=gpu:{GPUS_PER_NODE}"
        for node in settings.node_names
    ]
    lines += [
        # A job with GPUs gets the CPUs beside them, as on a well kept site.
        "PartitionName=batch Nodes=ALL Default=YES MaxTime=INFINITE PreemptMode=OFF DefCpuPerGPU=2",
        "PartitionName=debug Nodes=ALL MaxTime=1 PreemptMode=OFF",
        "PartitionName=low Nodes=ALL MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE",
        "PartitionName=high Nodes=ALL MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF",
        *settings.slurm_conf,
    ]
    return "\n".join(lines) + "\n"


def _setting(line: str) -> str:
    """The name of the setting that a line of slurm.conf makes."""
    return line.partition("=")[0].strip().lower()


def gres_conf(settings: Settings) -> str:
    """Text of gres.conf: each node's GPUs are the same few device files, which slurmd insists on."""
    devices = f"{settings.directory}/dev/gpu[0-{GPUS_PER_NODE - 1}]"
    return f"NodeName=n[1-{settings.nodes}] Name=gpu File={devices}\n"


def slurmdbd_conf(settings: Settings) -> str:
    """Text of slurmdbd.conf; the database is reached by its unix socket, through MYSQL_UNIX_PORT."""
    lines = [
        f"DbdHost={settings.host}",
        f"DbdAddr={LOOPBACK}",
        f"DbdPort={settings.ports['slurmdbd']}",
        f"SlurmUser={settings.user}",
        f"AuthInfo=socket={settings.directory}/munge/s",
        f"PidFile={settings.directory}/run/slurmdbd.pid",
        "StorageType=accounting_storage/mysql",
        "StorageHost=localhost",
        "StorageUser=root",
        "StorageLoc=slurm",
    ]
    return "\n".join(lines) + "\n"


def sshd_config(settings: Settings) -> str:
    """Text of sshd_config: key login of one user, MaxSessions and MaxStartups as shipped."""
    directory = settings.directory
    lines = [
        f"ListenAddress {settings.listen}",
        f"Port {settings.ports['sshd']}",
        f"HostKey {directory}/ssh/host_key",
        f"PidFile {directory}/run/sshd.pid",
        f"AuthorizedKeysFile {directory}/ssh/authorized_keys",
        f"AllowUsers {settings.user}",
        "PermitRootLogin prohibit-password",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "UsePAM no",
        # The directory may stand below one that others can write to, such as /tmp.
        "StrictModes no",
        "LogLevel VERBOSE",
        "Subsystem sftp internal-sftp",
        # Programs in DIR/bin, which is empty, stand before the system's for whoever logs in: tests put theirs there.
        # A home of its own spares each command what the user's ~/.bashrc does.
        f"SetEnv SLURM_CONF={settings.environment['SLURM_CONF']} {MARKER}={directory} PATH={directory}/bin:{PATH} "
        f"HOME={directory}/home",
    ]
    return "\n".join(lines) + "\n"


def ssh_config(settings: Settings) -> str:
    """Text of a client configuration: ``ssh -F DIR/ssh/config sandbox``."""
    directory = settings.directory
    lines = [
        "Host sandbox",
        f"  HostName {settings.ssh_host}",
        f"  Port {settings.ports['sshd']}",
        f"  User {settings.user}",
        f"  IdentityFile {directory}/ssh/id_ed25519",
        "  IdentitiesOnly yes",
        "  StrictHostKeyChecking yes",
        f"  UserKnownHostsFile {directory}/ssh/known_hosts",
    ]
    return "\n".join(lines) + "\n"


def connection(settings: Settings, host_key: str) -> dict[str, object]:
    """The sshd as an Airflow connection, in Airflow's JSON form, with host key checking."""
    return {
        "conn_type": "ssh",
        "host": settings.ssh_host,
        "port": settings.ports["sshd"],
        "login": settings.user,
        "extra": {"key_file": f"{settings.directory}/ssh/id_ed25519", "host_key": host_key},
    }


def profile(settings: Settings) -> dict[str, object]:
    """The values of a cluster profile for this cluster."""
    return {
        "ssh_conn_id": "slurm_sandbox",
        "log": f"{settings.directory}/log",
        "account": ACCOUNT,
        "partition": "batch",
        "container": None,
        "mounts": None,
        "workdir": f"{settings.directory}/workspace",
    }
