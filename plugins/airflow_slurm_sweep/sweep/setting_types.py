"""The types of settings: what each accepts, how that looks in a JSON Schema, and what is said of anything else."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, WithJsonSchema, model_validator

from airflow_slurm_sweep.slurm.validation import METRIC_FILES, check_variable
from airflow_slurm_sweep.sweep.command import directive
from airflow_slurm_sweep.sweep.naming import NAME_PATTERN, check_name, is_template
from airflow_slurm_sweep.sweep.overrides import check_overrides
from airflow_slurm_sweep.sweep.section import Section
from airflow_slurm_sweep.sweep.yaml_reader import kind

_OF_COMMANDS = re.compile(r"(?<![$\\{])\{(run_dir|job_name|parameters_file|flags|overrides)\}(?!\})")
_OF_A_SHELL = re.compile(r"^~|\$[A-Za-z_{(]")
_N = "[0-9]+"  # for Python \d are the digits of all scripts
# sbatch(1), --time
TIME_PATTERN = rf"^({_N}(:{_N}(:{_N})?)?|{_N}-{_N}(:{_N}(:{_N})?)?|UNLIMITED|INFINITE)$"
ONLY_PATTERN = rf"^\s*{_N}(\s*-\s*{_N})?(\s*,\s*{_N}(\s*-\s*{_N})?)*\s*$"


def only_pattern(size: int) -> str:
    """Return the pattern of a text such as ``1-4,9`` with indices from 1 to ``size``."""
    index = f"(?:{_up_to(str(size))})"
    return ONLY_PATTERN.replace(_N, index)


def _up_to(last: str) -> str:
    """Return the pattern of the numbers from 1 to ``last``: for 42 that is ``[1-9]|[1-3][0-9]|4[0-2]``."""
    shorter = ["[1-9]" + "[0-9]" * length for length in range(len(last) - 1)]
    same = []
    for place, digit in enumerate(last):
        first = 0 if place else 1
        if int(digit) > first:  # smaller in this place, equal in those before
            same.append(f"{last[:place]}[{first}-{int(digit) - 1}]" + "[0-9]" * (len(last) - place - 1))
    return "|".join([*shorter, *same, last])


OVERRIDE_PATTERN = r"^[ \t]*(\+{0,2}[^=+~\s][^=\s]*[ \t]*=|~[^=\s]+)"


def _check_time(time: str) -> str:
    if not re.fullmatch(TIME_PATTERN, time):
        raise ValueError(
            f"expected minutes, h:m:s, d-h, d-h:m:s or UNLIMITED (as sbatch --time takes it), got {time!r}"
        )
    return time


def _check_only(only: str) -> str:
    if not re.fullmatch(ONLY_PATTERN, only):
        raise ValueError(f"expected indices such as 1-4,9, got {only!r}")
    return only


def check_expanded(path: str, instead: str = "the whole path, such as /home/me/x") -> str:
    """Raise ValueError for a path with ``~`` or ``$HOME``, which would reach the cluster as it is."""
    if _OF_A_SHELL.search(path):
        raise ValueError(
            f"expected a path without ~ and variables, which nothing replaces, got {path!r}; write {instead}"
        )
    return path


def _check_image(image: str) -> str:
    # An image of a registry may have a user, which is $oauthtoken at NVIDIA's.
    return image if re.search("[@#]|://", image) else check_expanded(image)


def _check_mounts(mounts: str) -> str:
    for mount in re.split("[,:]", mounts):
        if mount.startswith(("~", "$")):  # within a path, enroot replaces variables
            check_expanded(mount)
    return mounts


def _check_path(path: str) -> str:
    if not path.strip() or not path.isprintable():
        raise ValueError(f"expected a path, got {path!r}")
    return path


def _refuse_placeholders(text: str) -> str:
    """Raise ValueError for a placeholder of ``command``, where it would stay as it is."""
    if found := _OF_COMMANDS.search(text):
        raise ValueError(
            f"{found[0]} is a placeholder of `command` only, got {text!r}; in `setup` and the command's shell, "
            "$BASE_LOG_DIR is the run directory and $SLURM_JOB_NAME the job's name"
        )
    return text


def _check_script(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError(f"expected a command line, got {text!r}")
    _refuse_directives(text)
    return text


def _refuse_directives(text: str) -> None:
    """Raise ValueError for a line that sbatch reads in a batch script alone."""
    if line := directive(text):
        said = re.match(r"#SBATCH\s+--([a-z-]+)(?:=|\s+)([^\s#]+)", line)
        name, value = said.groups() if said else ("gres", "gpu:2")
        option = f"{name.replace('-', '_')}: {value if value.isdecimal() else json.dumps(value)}"
        raise ValueError(
            f"sbatch does not read {line!r} here; write its option as a setting, such as slurm: {{{option}}}"
        )


def _split_lines(value: Any) -> Any:
    return [line for line in value.splitlines() if line.strip()] if isinstance(value, str) else value


def _one_item(value: Any) -> Any:
    """Return a text as a list of one item: several lines may be one command, such as an ``if``."""
    if not isinstance(value, str):
        return value
    return [value.strip("\n")] if value.strip() else []


def _check_pattern(pattern: str) -> str:
    check_expanded(pattern, "a path in the run directory, or the whole path")
    if unknown := set(re.findall(r"\{.*?\}", _check_path(pattern))) - {"{job_id}", "{run_dir}"}:
        raise ValueError(f"expected no placeholders but {{job_id}} and {{run_dir}}, got {', '.join(sorted(unknown))}")
    return pattern


def _check_metric_file(pattern: str) -> str:
    if not _check_pattern(pattern).endswith(METRIC_FILES):
        raise ValueError(f"expected a file whose name ends in {', '.join(METRIC_FILES)}, got {pattern!r}")
    return pattern


def _check_setup(lines: tuple[str, ...]) -> tuple[str, ...]:
    for line in lines:
        if not line.strip() or "\0" in line:
            raise ValueError(f"expected a shell line, got {line!r}")
        _refuse_placeholders(line)
        _refuse_directives(line)
    return lines


def _join_partitions(value: Any) -> Any:
    """Return Slurm's form of a list of partitions: ``a,b``."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list):
        return value
    if not names or not all(type(name) in (str, int) and str(name).strip() for name in names):
        raise ValueError(f"expected a partition, or a list of partitions such as [a, b], got {value!r}")
    return ",".join(str(name).strip() for name in names)


def _check_directory(path: str) -> str:
    # Backslashes and `%` confuse sbatch, and no working directory should change what the path means.
    if not path.startswith("/") or not path.isprintable() or "\\" in path:
        raise ValueError(f"expected an absolute path on the cluster, without backslashes, got {path!r}")
    return check_expanded(path).rstrip("/") or "/"


def _check_option_value(value: Any) -> Any:
    if not isinstance(value, (str, int)):
        got = f"{value!r}; put it into quotes" if isinstance(value, float) else kind(value)
        raise ValueError(f"expected text, a whole number, or true or false, got {got}")
    return value


class Secret(Section):
    """The value of an environment variable that Airflow keeps: ``{variable: NAME}`` or ``{connection: ID}``."""

    variable: str | None = Field(default=None, description="The Airflow Variable that holds the value.")
    connection: str | None = Field(default=None, description="The Airflow connection whose password is the value.")

    @model_validator(mode="after")
    def _check_one(self) -> Secret:
        if (self.variable is None) == (self.connection is None):
            raise ValueError("expected {variable: NAME} or {connection: ID}")
        name = self.variable or self.connection
        if not name or not name.isprintable():
            raise ValueError(f"expected a printable name, got {name!r}")
        return self

    @property
    def reference(self) -> str:
        """The secret as `JobRequest` names it: ``variable:NAME`` or ``connection:ID``."""
        return f"variable:{self.variable}" if self.variable is not None else f"connection:{self.connection}"


def _check_text_or_secret(value: Any) -> Any:
    """One message in place of pydantic's one for each type; without the value, which may be a secret."""
    if isinstance(value, dict):
        with suppress(ValidationError):
            return Secret.model_validate(value)
    elif isinstance(value, (str, int, float, Secret)) and not isinstance(value, bool):
        return value
    got = "nothing; within {…}, a text with a comma needs quotes" if value is None else kind(value)
    raise ValueError(f"expected text, or a secret as {{variable: NAME}} or {{connection: ID}}, got {got}")


def _check_env(env: dict[str, str | Secret]) -> dict[str, str | Secret]:
    for name, value in env.items():
        check_variable(name)
        if isinstance(value, str) and "\0" in value:
            raise ValueError(f"the value of {name!r} contains a NUL character")
        if isinstance(value, str):
            _refuse_placeholders(value)
            _refuse_own_name(name, value)
    return env


def _refuse_own_name(name: str, value: str) -> None:
    """Raise ValueError for a value that would add to the variable if a shell read it."""
    if re.search(rf"(?<!\\)\$\{{?{name}\b", value):
        raise ValueError(
            f"no shell replaces ${name} in the value of {name}, got {value!r}; write in `setup`: export "
            f'{name}="{value}"'
        )


def _text(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern})


def _refuse_decimals(value: Any) -> Any:
    if isinstance(value, float):
        whole = f"write {int(value)}, or " if value.is_integer() else ""
        raise ValueError(
            f"expected text, got a number with decimals, of which YAML drops zeros; {whole}put it in quotes"
        )
    return value


_Text = Annotated[str, BeforeValidator(_refuse_decimals)]
Flag = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=1)]
CountOrZero = Annotated[int, Field(strict=True, ge=0)]
SecondsBefore = Annotated[int, Field(strict=True, ge=0, le=65535)]  # as sbatch --signal takes it
Name = Annotated[_Text, AfterValidator(check_name), _text(NAME_PATTERN)]
NameOrTemplate = Annotated[
    _Text,
    AfterValidator(lambda name: name if is_template(name) else check_name(name)),
    _text(NAME_PATTERN + r"|\{[{%]"),
]
_Path = Annotated[_Text, AfterValidator(_check_path), AfterValidator(_refuse_placeholders)]
Expanded = AfterValidator(check_expanded)
Path = Annotated[_Path, Expanded]
Image = Annotated[_Path, AfterValidator(_check_image)]
Mounts = Annotated[_Path, AfterValidator(_check_mounts)]
Script = Annotated[_Text, AfterValidator(_check_script)]
Lines = Annotated[tuple[Annotated[str, AfterValidator(_check_path)], ...], BeforeValidator(_split_lines)]
Setup = Annotated[tuple[str, ...], BeforeValidator(_one_item), AfterValidator(_check_setup)]
Patterns = Annotated[tuple[Annotated[str, AfterValidator(_check_pattern)], ...], BeforeValidator(_split_lines)]
MetricFiles = Annotated[tuple[Annotated[str, AfterValidator(_check_metric_file)], ...], BeforeValidator(_split_lines)]
Partitions = Annotated[
    str,
    BeforeValidator(_refuse_decimals),
    BeforeValidator(_join_partitions),
    AfterValidator(_check_path),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Directory = Annotated[str, AfterValidator(_check_directory)]
Time = Annotated[str, AfterValidator(_check_time), _text(TIME_PATTERN)]
Only = Annotated[str, AfterValidator(_check_only), _text(ONLY_PATTERN)]
Overrides = Annotated[tuple[Annotated[str, _text(OVERRIDE_PATTERN)], ...], AfterValidator(check_overrides)]
EnvValue = Annotated[str | Secret, BeforeValidator(_check_text_or_secret), BeforeValidator(_refuse_decimals)]
Env = Annotated[dict[str, EnvValue], AfterValidator(_check_env)]
OptionValue = Annotated[
    str | Annotated[int, Field(strict=True)] | bool,
    BeforeValidator(_check_option_value),
    BeforeValidator(_refuse_decimals),
]
Options = dict[str, OptionValue]
