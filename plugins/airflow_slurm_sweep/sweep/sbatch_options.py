"""sbatch's own words: which options it has, and how a file may write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from signal import Signals
from typing import Any

from airflow_slurm_sweep.errors import SettingsError
from airflow_slurm_sweep.slurm.traces import SIGNALS

# Long options of sbatch(1) in Slurm 22.05 and 24.11 that no setting of ours replaces.
LONG = (
    "acctg-freq", "batch", "bb", "bbf", "begin", "cluster-constraint", "comment", "constraint", "container-id",
    "contiguous", "core-spec", "cores-per-socket", "cpu-freq", "cpus-per-gpu", "cpus-per-task", "deadline",
    "delay-boot", "dependency", "exclude", "exclusive", "extra", "extra-node-info", "get-user-env", "gid", "gpu-bind",
    "gpu-freq", "gpus", "gpus-per-socket", "gpus-per-task", "gres", "gres-flags", "hint", "hold", "ignore-pbs",
    "input", "kill-on-invalid-dep", "licenses", "mail-type", "mail-user", "mcs-label", "mem", "mem-bind",
    "mem-per-cpu", "mem-per-gpu", "mincpus", "network", "nice", "no-kill", "no-requeue", "nodefile", "nodelist",
    "ntasks", "ntasks-per-core", "ntasks-per-gpu", "ntasks-per-node", "ntasks-per-socket", "oom-kill-step",
    "open-mode", "overcommit", "oversubscribe", "power", "prefer", "priority", "propagate", "qos", "quiet", "reboot",
    "requeue", "reservation", "resv-ports", "segment", "signal", "sockets-per-node", "spread-job", "stepmgr",
    "switches", "thread-spec", "threads-per-core", "time-min", "tmp", "tres-bind", "tres-per-task", "uid",
    "use-min-nodes", "verbose", "wait-all-nodes", "wckey",
)  # fmt: skip

# Short options, and what a file calls them.
SHORT = {
    "A": "account", "a": "array", "B": "extra_node_info", "b": "begin", "C": "constraint", "c": "cpus_per_task",
    "D": "workdir", "d": "dependency", "F": "nodefile", "G": "gpus", "H": "hold", "i": "input", "J": "jobname",
    "k": "no_kill", "L": "licenses", "M": "clusters", "N": "nodes", "n": "ntasks", "O": "overcommit",
    "p": "partition", "Q": "quiet", "q": "qos", "S": "core_spec", "s": "oversubscribe", "t": "time", "v": "verbose",
    "w": "nodelist", "x": "exclude",
}  # fmt: skip

# Options of sbatch that are settings too.
SETTINGS = {"gpus-per-node": "gpus_per_node"}

_OF_OTHER_TOOLS = {  # by our keys; with an example where the other tool's value has another form
    "account": "project",
    "constraint": "feature features",
    "container": "image container_image docker docker_image singularity apptainer",
    "cpus_per_task": "cpu cpus ncpus n_cpus num_cpus cpus_per_node cores ncores n_cores num_cores job_cpu",
    "env": "environment env_vars environment_variables",
    "exclude": "exclude_node exclude_nodes",
    "gpus": "gpus_per_job",
    "gpus_per_node": "gpu ngpus n_gpus num_gpus gpu_count",
    "gres: gpu:a100:4": "gpu_type",
    "jobname": "name job_name",
    "log": "log_dir log_directory log_folder submitit_folder",
    "mail_user": "email mail",
    "max_parallel_jobs": "array_parallelism max_jobs max_concurrent_jobs max_simultaneous_jobs n_jobs",
    "mem: 32G": "memory ram mem_gb memory_gb mem_per_node job_mem",
    "mounts": "container_mounts volumes binds",
    "nodes": "node nnodes n_nodes num_nodes",
    "ntasks": "tasks n_tasks num_tasks",
    "ntasks_per_node": "tasks_per_node",
    "partition": "queue",
    "sbatch": "additional_parameters sbatch_options sbatch_args job_extra job_extra_directives",
    "setup": "module modules conda conda_env venv env_extra job_script_prologue",
    "ssh_conn_id": "conn_id",
    "time": "time_limit timelimit wall_time walltime max_time time_max timeout timeout_min duration runtime",
    "time_min": "min_time",
    "warn": "signal_delay_s",
    "workdir": "cwd working_dir working_directory",
}
OTHER_WORDS = {word: ours for ours, words in _OF_OTHER_TOOLS.items() for word in words.split()}
"""What people write who know submitit, Hydra's launcher of it, dask-jobqueue, seml or PBS, and our key."""

HINTS = {
    "chain": "write chain: {jobs: 6}",
    "retry": "write retry: [{on: OUT_OF_MEMORY, times: 1, mem: x2}]",
    "gpus_per_node": "for a type write gres: gpu:a100:4",
}
"""What to write for settings of ours that people write as they know them."""

_NAMES = "|".join(f"(?:SIG)?{name}|{Signals[f'SIG{name}'].value}" for name in SIGNALS)
_HANDED_ON = re.compile(rf"R?BR?:(?:{_NAMES})(?:@[0-9]+)?", re.IGNORECASE)

_AMOUNT = re.compile("[0-9]+(?:[KMGT]B?)?", re.IGNORECASE)  # str_to_mbytes in Slurm's src/common/proc_args.c
_MEMORY = {"mem", "mem-per-cpu", "mem-per-gpu"}

# Options that are there or not; some of them take a value, but none of these words.
_SWITCHES = {
    "contiguous", "exclusive", "get-user-env", "hold", "ignore-pbs", "no-requeue", "oom-kill-step", "overcommit",
    "oversubscribe", "propagate", "quiet", "reboot", "requeue", "resv-ports", "spread-job", "stepmgr", "use-min-nodes",
    "verbose",
}  # fmt: skip
_YES_OR_NO = {"yes", "no", "on", "off"}


def moved_below_sbatch(values: Mapping[str, Any], own: Mapping[str, Any], reserved: frozenset[str]) -> dict[str, Any]:
    """Return a section with sbatch's words below ``sbatch``, written with dashes; null there says "none".

    ``own`` are the section's own keys, ``reserved`` options of sbatch that have another word there.

    Raises:
        ValueError: A word is short, or stands there twice.
    """
    kept: dict[str, Any] = {}
    words: dict[str, Any] = {}
    for key, value in values.items():
        word = str(key).replace("_", "-")
        name = SETTINGS.get(word, key)
        if name not in own:
            _check_length(str(key))
        if name not in own and (word in LONG or word in reserved):
            _add(words, word, False if value is None else value)
        else:
            _add(kept, name, value)
    below = kept.get("sbatch")
    if below is None:
        return {**kept, "sbatch": words} if words else kept
    if not isinstance(below, Mapping):
        return kept
    dashed: dict[str, Any] = {}
    for key, value in below.items():
        _add(dashed, str(key).replace("_", "-"), value)
    if twice := sorted(words.keys() & dashed.keys()):
        raise ValueError(f"{twice[0]!r} stands below sbatch too; remove one of them")
    return {**kept, "sbatch": {**dashed, **words}}


def _add(options: dict[str, Any], word: str, value: Any) -> None:
    if word in options:
        raise ValueError(f"{word!r} stands there twice, with - and with _; remove one of them")
    options[word] = value


def check_words(options: Mapping[str, Any]) -> None:
    """Raise ValueError for a short option, yes or no in place of true or false, and two options of memory."""
    _check_memory(options)
    for name, value in options.items():
        _check_length(name)
        _check_switch(name, value)


def _check_length(name: str) -> None:
    """Raise ValueError for a short option."""
    if name in SHORT:
        raise ValueError(f"{name!r} is a short option of sbatch; write {SHORT[name]}")


def _check_switch(name: str, value: str | int | bool) -> None:
    """Raise ValueError for yes or no, which YAML 1.2 reads as texts, where an option is there or not."""
    if name in _SWITCHES and str(value).lower() in _YES_OR_NO:
        raise ValueError(f"{name!r} has no value {value!r}; write true or false")


def _check_memory(options: Mapping[str, Any]) -> None:
    """Raise ValueError for an amount that sbatch does not read, and for options that exclude each other."""
    for name in (*sorted(_MEMORY), "tmp"):
        if isinstance(amount := options.get(name), str) and not _AMOUNT.fullmatch(amount):
            raise ValueError(f"{name}: expected a whole number of MiB, or with K, M, G or T, as 32G, got {amount!r}")
    values = {name: options.get(name) for name in sorted(_MEMORY)}
    given = [name for name, value in values.items() if value is not None and value is not False]  # 0 is all memory
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} exclude each other in Slurm; keep one of them")


def check_signal(signal: str) -> None:
    """Raise SettingsError for one to the batch script, ``B:ALRM@60``, that job.sh does not hand on to the command."""
    if re.match("R?BR?:", signal) and not _HANDED_ON.fullmatch(signal):
        raise SettingsError(
            f"signal: expected one that job.sh hands on, {', '.join(SIGNALS[:-1])} or {SIGNALS[-1]}, got {signal!r}; "
            'write "B:USR1@120"'
        )


def joined(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return two layers of a mapping as one; of memory's options those above replace all of those below."""
    replaced = _MEMORY if _MEMORY & above.keys() else set()
    return {**{name: value for name, value in below.items() if name not in replaced}, **above}


def over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return two layers of settings as one: the upper one wins.

    Mappings are joined, and so are the lines of setup, and what metrics says of files, names and step.
    """
    values = {**below, **above}
    for name in below.keys() & above.keys():
        if isinstance(above[name], dict):
            values[name] = joined(below[name], above[name])
        elif name == "setup":
            values[name] = (*below[name], *above[name])
        elif name == "metrics":
            own = {key: getattr(above[name], key) for key in above[name].model_fields_set}
            values[name] = below[name].model_copy(update=own)
    return values
