"""What a sweep file or a command line says is taken as it is meant, or refused: never silently something else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_slurm_sweep.errors import SettingsError, SweepFileError
from airflow_slurm_sweep.plan import plan_run, read_options
from airflow_slurm_sweep.slurm.job import JobRequest
from airflow_slurm_sweep.sweep.convert import convert
from airflow_slurm_sweep.sweep.entered import entered_parameters
from airflow_slurm_sweep.sweep.spec import parse_sweep
from tests.layers import make_layers

PLAIN = "plain"
COMMAND = "command: t {flags}\nlr: [1, 2]\n"


def jobs(text: str, entered: dict[str, Any] | None = None) -> list[JobRequest]:
    spec = parse_sweep(text, source="s")
    layers = make_layers({"log": "/logs"}, preset=PLAIN, command=spec.command)
    return [*plan_run(spec, layers, read_options(entered or {})).jobs]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seml: {executable: a.py}\nfixed: {hidden: '64,32'}\ngrid: {x: [1]}", {"hidden": "64,32"}),
        ("seml: {executable: a.py}\nfixed: {f: 'choice(a,b)'}\ngrid: {x: [1]}", {"f": "choice(a,b)"}),
        ("seml: {executable: a.py}\nfixed: {s: {min: 0.1, max: 1.0}}\ngrid: {x: [1]}", {"s.min": 0.1, "s.max": 1.0}),
        ("seml: {executable: a.py}\nfixed: {o: {params: {lr: 1}, k: 2}}\ngrid: {x: [1]}", {"o.params.lr": 1, "o.k": 2}),
        ("param_space: {hidden: '64,64', clip: {min: 0.1, max: 1.0}, lr: 'choice([1, 2])'}\ntune_config: {}",
         {"hidden": "64,64", "clip.min": 0.1, "clip.max": 1.0}),
    ],
)  # fmt: skip
def test_a_constant_of_another_tool_stays_one_value(text: str, expected: dict[str, Any]) -> None:
    spec = parse_sweep(convert(text, "s.yaml"), source="s.yaml")
    for combination in spec.space.combinations:
        assert {key: combination.parameters[key] for key in expected} == expected


def test_semls_clusters_and_samples_are_taken_over_or_named() -> None:
    text = """
seml: {executable: a.py}
slurm:
  - {experiments_per_job: 1, sbatch_options: {gres: "gpu:1", mem: 16G}}
  - {sbatch_options: {partition: other}}
random: {lr: {type: uniform, min: 0.1, max: 1, samples: 7, seed: 3}}
"""
    converted = convert(text, "s.yaml")
    found = yaml.safe_load(converted)
    assert found["slurm"] == {"gres": "gpu:1", "mem": "16G"}
    assert found["sweep"]["trials"] == 7
    assert "# Not taken over: slurm, entry 2: {sbatch_options: {partition: other}}" in converted
    assert "# Not taken over: random.lr: {samples: 7, seed: 3}" in converted
    assert "slurm.experiments_per_job" in converted


@pytest.mark.parametrize(
    "section",
    [
        "{setup: ['mkdir -p {run_dir}/ckpt']}",
        "{setup: ['export WANDB_NAME={job_name}']}",
        "{env: {OUT: '{run_dir}/x'}}",
        "{workdir: '/w/{job_name}'}",
        "{mounts: '{run_dir}:/out'}",
        "{batch_script: '{run_dir}/x.sub'}",
    ],
)
def test_a_placeholder_that_nothing_fills_is_refused(section: str) -> None:
    with pytest.raises(SweepFileError, match="is a placeholder of `command` only"):
        parse_sweep(f"{COMMAND}slurm: {section}", source="s")


@pytest.mark.parametrize("line", ["mkdir -p ${run_dir}", "awk '{print}' x", "echo {{run_dir}}", "echo {log}"])
def test_what_only_looks_like_one_is_the_shells(line: str) -> None:
    assert parse_sweep(f'{COMMAND}slurm: {{setup: ["{line}"]}}', source="s").slurm.setup == (line,)


@pytest.mark.parametrize(
    ("value", "name"),
    [("/opt/x:$PATH", "PATH"), ("${PYTHONPATH:+$PYTHONPATH:}x", "PYTHONPATH"), ("-O3 ${CFLAGS}", "CFLAGS")],
)
def test_a_value_of_env_that_would_add_to_its_variable_is_refused(value: str, name: str) -> None:
    said = f'no shell replaces \\${name} in the value of {name}, got .*; write in `setup`: export {name}="{re.escape(value)}"'
    with pytest.raises(SweepFileError, match=said):
        parse_sweep(f"{COMMAND}slurm: {{env: {{{name}: '{value}'}}}}", source="s")
    env = {f"MY_{name}": value, f"{name}_2": value}
    assert parse_sweep(f"{COMMAND}slurm: {{env: {env}}}", source="s").slurm.env == env


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("#SBATCH --gres=gpu:2", 'gres: "gpu:2"'),
        ("#SBATCH --cpus-per-task 4 # so", "cpus_per_task: 4"),
        ("  #SBATCH -p a", 'gres: "gpu:2"'),
    ],
)
def test_a_line_for_sbatch_is_refused_where_sbatch_does_not_read_it(line: str, option: str) -> None:
    said = re.escape(
        f"sbatch does not read '{line.strip()}' here; write its option as a setting, such as slurm: {{{option}}}"
    )
    for text in (f"command: |\n  #!/bin/bash\n  {line}\n  t {{flags}}\n", f"{COMMAND}slurm: {{setup: ['{line}']}}"):
        with pytest.raises(SweepFileError, match=said):
            parse_sweep(text, source="s")


@pytest.mark.parametrize(
    "text", ["##SBATCH -p a\n  t", "t '#SBATCH -p a'", "sbatch <<E\n  #SBATCH -p a\n  E", "t a#SBATCH b"]
)
def test_a_text_that_is_no_line_for_sbatch_may_stand_in_a_command(text: str) -> None:
    assert parse_sweep(f"command: |\n  {text}\n", source="s").command == f"{text}\n".replace("\n  ", "\n")


def test_the_only_twin_of_a_parameter_is_meant() -> None:
    assert entered_parameters(["lr=3", "--seed=4", "new=5"], ["--lr", "seed"]) == {"--lr": 3, "seed": 4, "new": 5}


def test_a_parameter_that_is_overridden_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^overrides: --lr is set twice; keep one of them$"):
        entered_parameters(["lr=1", "--lr=2"], ["--lr"])


def test_an_automatic_key_makes_way_for_the_sweeps_whatever_its_dashes(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("preset: plain\nautomatic: {--out: '{run_dir}', --b: 1}\n")
    layers = make_layers({"log": "/logs"}, preset="own", presets=tmp_path)
    (job,) = plan_run(parse_sweep("command: a {flags}\nout: x\n", source="s"), layers).jobs
    assert sorted(job.command.split()) == ["--b=1", "--out=x", "a"]


def test_a_line_break_in_an_override_stays() -> None:
    assert entered_parameters(["p=a\nb", "q='a\n  b'"], []) == {"p": "a\nb", "q": "a b"}
    assert entered_parameters(["p=\n"], []) == {"p": "\n"}


def test_null_in_the_form_means_none() -> None:
    entered = {"container": "null", "account": "null", "partition": "null", "time": "null"}
    job, _ = jobs(f"{COMMAND}slurm: {{container: /x.sqsh, account: a, time: 60}}", entered)
    assert not {job.container, job.account, job.partition, job.time} - {"", None}


@pytest.mark.parametrize("path", ["~/a", "$HOME/a"])
@pytest.mark.parametrize("key", ["script_path", "config_path"])
def test_a_file_that_only_a_shell_would_find_is_refused(key: str, path: str) -> None:
    with pytest.raises(SettingsError, match=f"^{key}: expected a path without ~ .*; write a path relative to workdir"):
        jobs(f"{key}: {path}\ncommand: python {{{key}}}")
    assert jobs(f"{key}: {path}\ncommand: python {path}")[0].command == f"python {path}"


def test_two_combinations_never_share_a_directory(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text('run_dir: "{log}/{base}"\n')
    layers = make_layers({"log": "/logs"}, preset="own", presets=tmp_path)
    with pytest.raises(SettingsError, match=r"have the run directory /logs/sweep; put \{job_name\} or \{index\} into"):
        plan_run(parse_sweep(COMMAND, source="s"), layers)


def test_a_number_may_come_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("environment: {nodes: $NN}\n")
    layers = make_layers({"log": "/logs"}, {"NN": "2"}, preset="own", presets=tmp_path)
    assert plan_run(parse_sweep(COMMAND, source="s"), layers).jobs[0].nodes == 2
    (tmp_path / "own.yaml").write_text("environment: {setup: $SITE}\n")
    profile = {"log": "/logs", "setup": ["module load b"]}
    layers = make_layers(profile, {"SITE": "module load a"}, preset="own", presets=tmp_path)
    assert plan_run(parse_sweep(COMMAND, source="s"), layers).jobs[0].setup == ("module load a", "module load b")


@pytest.mark.parametrize("command", ["eval python t.py", "ssh node python t.py", "cd x && A=1 exec ssh n t"])
def test_flags_are_not_put_where_a_second_shell_reads_them(command: str) -> None:
    with pytest.raises(SettingsError, match=r"write \{flags\} where they belong"):
        jobs(f"command: {command}\nlr: [1, 2]\n")


def test_a_left_out_key_is_told_where_it_holds_no_anchor() -> None:
    spec = parse_sweep(f"{COMMAND}x-dim: [1, 2]\n", source="s")
    assert spec.warnings == ("s: x-dim is left out: it is for anchors; a parameter of that name is '--x-dim'",)
    assert not parse_sweep("command: t {flags}\nx-all: [&a [1, 2]]\nlr: *a\n", source="s").warnings


def test_a_schedule_does_not_end_before_it_begins() -> None:
    dag = "{start_date: 2026-01-31, end_date: 2025-01-01, schedule: '@daily'}"
    with pytest.raises(SweepFileError, match="end_date: expected a date after start_date, got 2025-01-01"):
        parse_sweep(f"{COMMAND}dag: {dag}\n", source="s")
