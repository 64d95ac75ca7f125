"""What a value must be for a shell, a file name, Slurm and the record to carry it unharmed."""

import re

# Options of sbatch that are fields of `JobRequest`, or with which record.sh could not keep its promises.
OUR_OPTIONS = frozenset(
    {
        "account", "array", "chdir", "clusters", "error", "export", "export-file", "help", "job-name", "nodes",
        "output", "parsable", "partition", "test-only", "time", "usage", "version", "wait", "wrap",
    }
)  # fmt: skip


# Environment variables that `sbatch.environment` sets for each job.
OUR_VARIABLES = frozenset(
    {
        "BASE_LOG_DIR", "COMMAND", "CONTAINER", "GPUS_PER_NODE", "MOUNTS", "NUM_ACTOR_NODES",
        "SETUP_COMMAND", "WANDB_DIR",
    }
)  # fmt: skip
METRIC_FILES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")  # how the names of files with metrics end
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPTION = re.compile(r"[a-z][a-z0-9-]*")


def our_option(name: str) -> str | None:
    """Return which of `OUR_OPTIONS` sbatch understands ``name`` as; it takes abbreviations too. None if it is none."""
    return next((ours for ours in sorted(OUR_OPTIONS) if ours.startswith(name)), None)


def check_option(name: str, value: str | int | bool) -> None:
    """Raise ValueError unless an option of sbatch has a long name, and a value that a line can carry."""
    if not _OPTION.fullmatch(name):
        raise ValueError(f"expected the long name of an sbatch option, without dashes, got {name!r}")
    if value != "" and not is_line(str(value)):  # else one could forge a line of scontrol's
        raise ValueError(f"expected printable text as the value of {name!r}, got {value!r}")


def check_variable(name: str) -> None:
    """Raise ValueError for what is no name of an environment variable, or a reserved one."""
    if not _VARIABLE.fullmatch(name):
        raise ValueError(f"expected the name of an environment variable, got {name!r}")
    if name in OUR_VARIABLES:
        raise ValueError(f"the variable {name!r} is reserved: airflow-slurm-sweep sets it for each job")
    if name == "SLURM_CLUSTERS":
        raise ValueError(f"the variable {name!r} is reserved; name the cluster with `clusters` in the cluster profile")
    if name.startswith("SBATCH_"):
        raise ValueError(f"the variable {name!r} is reserved; options of sbatch have a setting of their own")


def expect(is_met: object, subject: str, value: object, expectation: str) -> None:
    """Raise ValueError with subject, value and expectation, unless ``is_met``."""
    if not is_met:
        got = repr(value)
        raise ValueError(f"{subject}: expected {expectation}, got {got if len(got) < 200 else got[:200] + '…'}")


def is_line(value: object) -> bool:
    """Whether the value is printable text on one line."""
    return isinstance(value, str) and value != "" and value.isprintable()


def is_text(value: object) -> bool:
    """Whether the value is text that a shell can carry: UTF-8 without NUL."""
    try:
        return isinstance(value, str) and "\0" not in value and value.encode() is not None
    except UnicodeEncodeError:
        return False


def is_count(value: object, least: int) -> bool:
    """Whether the value is a whole number, ``least`` or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def check_directory(subject: str, path: object) -> None:
    """Raise ValueError unless the value is the path of a directory as record.sh takes it."""
    fits = is_line(path) and re.fullmatch(r"/[^\\]*[^\\/]", str(path))
    expect(fits, subject, path, "an absolute path, printable, without backslashes and without a slash at its end")
