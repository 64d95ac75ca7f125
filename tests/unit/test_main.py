"""The command line that needs no Airflow."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from shlex import split
from typing import Any

import jsonschema
import pytest
import yaml

from airflow_slurm_sweep.schema import preset_schema, profile_schema, sweep_schema
from airflow_slurm_sweep.sweep.dag_section import DagSection
from airflow_slurm_sweep.sweep.settings import ClusterProfile, RunOptions, SlurmSection
from airflow_slurm_sweep.sweep.sweep_section import SweepSection

PROJECT = Path(__file__).parents[2]
GOOD = "script_path: examples/train.py\noptim.lr: [1e-6, 5e-6]\n"
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "PYTHONPATH": str(PROJECT / "plugins"),
    "LOG": "/l",
    "ACCOUNT": "a",
    "CON": "/c",
}


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "airflow_slurm_sweep", *arguments],
        env=ENVIRONMENT,
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.fixture
def good(include: Path) -> Path:
    path = include / "sweeps" / "good.yaml"
    path.write_text(GOOD)
    return path


def test_check_lists_all_errors_of_all_files(good: Path) -> None:
    broken = good.with_name("broken.yaml")
    broken.write_text("a: []\nslurm: {nods: 1}\n")
    done = run("check", good, broken)
    assert done.returncode == 1
    assert done.stdout == f"{good}: 2 combinations of examples/train.py\n"
    assert [line.removeprefix(f"{broken}: ").partition(":")[0] for line in done.stderr.splitlines()] == [
        "a",
        "slurm.nods",
    ]
    assert run("check", good).returncode == 0


@pytest.mark.parametrize("command", ["check", "preview", "run"])
def test_each_command_keeps_to_the_setting_of_the_most_combinations(
    good: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    name = "AIRFLOW__SLURM_SWEEP__MAX_COMBINATIONS"
    monkeypatch.setitem(ENVIRONMENT, name, "1")
    assert "2 combinations, but at most 1 are allowed (setting max_combinations)" in run(command, good).stderr
    monkeypatch.setitem(ENVIRONMENT, name, "one")
    assert run(command, good).stderr == f"{name}: expected a whole number, got 'one'\n"


def test_check_says_that_a_folder_holds_no_sweep_file(tmp_path: Path) -> None:
    done = run("check", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path}: expected sweep files, whose names end in .yaml or .yml, got none\n"


def test_check_gives_airflows_verdict_on_names_and_folders(include: Path) -> None:
    sweeps = include / "sweeps"
    (sweeps / "team").mkdir()
    for name in (
        "a.yaml",
        "a.yml",
        "b.yml",
        "team/c.yaml",
        "launch.yaml",
        "my sweep.yaml",
        ".#a.yaml",
        "a.yaml~",
        "._a.yaml",
    ):
        (sweeps / name).write_text(GOOD)
    done = run("check", sweeps)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"{sweeps}/{name}: 2 combinations of examples/train.py" for name in ("a.yaml", "b.yml", "team/c.yaml")
    ]
    assert done.stderr.splitlines() == [
        f"{sweeps}/a.yml: a.yaml has the name 'a' too, and is read instead; rename one of them",
        f"{sweeps}/launch.yaml: the name 'launch' is reserved; rename the file",
        f"{sweeps}/my sweep.yaml: expected a file name of letters, digits and _ . -, since it names the Dag, got 'my sweep'",
    ]
    one = run("check", sweeps / ".#a.yaml", sweeps / "team" / "c.yaml")
    assert (one.returncode, "passed over" in one.stdout) == (0, True)


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        (
            "{schedule: '@continuous', start_date: 2026-01-01, max_active_runs: 2}",
            "dag: max_active_runs: expected 1 with",
        ),
        (f"{{tags: {'x' * 101}}}", "expected at most 100 characters, got 101"),
        ("{notify: {on: failed, notifier: a.b.Nope}}", "dag: notify: a.b.Nope"),
        pytest.param("{executor: Nope}", "dag: dag.executor: expected one of", marks=pytest.mark.all),
    ],
)
def test_check_finds_what_airflow_refuses(
    good: Path, monkeypatch: pytest.MonkeyPatch, section: str, fault: str
) -> None:
    monkeypatch.setitem(ENVIRONMENT, "AIRFLOW_HOME", str(good.parents[2] / "airflow"))
    good.write_text(f"{GOOD}dag: {section}\n")
    done = run("check", good)
    assert (done.returncode, fault in done.stderr, done.stdout) == (1, True, ""), done.stderr


def test_check_says_what_it_cannot_check_without_airflow(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (good.parent / "airflow.py").write_text("raise ModuleNotFoundError(\"No module named 'airflow'\")\n")
    monkeypatch.setitem(ENVIRONMENT, "PYTHONPATH", f"{good.parent}:{ENVIRONMENT['PYTHONPATH']}")
    good.write_text(f"{GOOD}dag: {{executor: Nope}}\n")
    assert "good.yaml: not checked without Airflow: dag (No module named 'airflow')" in run("check", good).stdout


def test_check_and_preview_show_warnings(include: Path) -> None:
    path = include / "sweeps" / "a.yaml"
    path.write_text(f"{GOOD}seed: 1\nseed: 1\n")
    (include / "clusters" / "default.yml").write_text("qos: a\nqos: a\n")
    warning = f"{path}: line 4: the key 'seed' stands in line 3 too, with the same value"
    assert warning in run("check", path).stdout
    notes = json.loads(run("preview", path, "--json").stdout)["notes"]
    assert warning in notes
    assert "default.yml: line 2: the key 'qos' stands in line 1 too, with the same value" in notes[-1]


def test_options_have_whole_names_and_all_behind_two_dashes_are_overrides(include: Path) -> None:
    path = include / "sweeps" / "s.yaml"
    path.write_text("command: t {flags}\n--n: [1, 2]\nx: 1\n")
    assert "unrecognized arguments: --n=3" in run("preview", path, "--n=3").stderr
    said = run("preview", path, "--nodes", "2", "--", "--n=3", "x=4")
    assert "t --n=3 --x=4" in said.stdout, said.stderr
    assert "--nodes=2" in said.stdout
    assert "unrecognized arguments" in run("schema", "sweep", "--", "x=4").stderr, "it has no overrides"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("env: {SWEEP_LR: '3'}", "SWEEP_LR"),
        ("gpus_per_node: 2, sbatch: {gres: 'gpu:4'}", "gpu"),
        ("retry: [{on: OUT_OF_MEMORY, mem: x2}]", "mem"),
    ],
)
def test_check_refuses_what_each_run_would_refuse(include: Path, text: str, said: str) -> None:
    path = include / "sweeps" / "s.yaml"
    path.write_text(f"command: t {{flags}}\nlr: [1, 2]\nslurm: {{{text}}}\n")
    done = run("check", path)
    assert done.returncode == 1, done.stdout
    assert f"{path}: " in done.stderr
    assert said in done.stderr
    path.write_text("script_path: t.py\nlr: [1, 2]\nslurm: {jobname: '{{ ds }}'}\n")
    assert run("check", path).returncode == 0, "the run's date is not known yet"


def test_overrides_may_stand_before_and_behind_options(good: Path) -> None:
    jobs = json.loads(run("preview", good, "a=1", "--nodes", "2", "optim.lr=3", "--json").stdout)["jobs"]
    assert [job["overrides"] for job in jobs] == [["a=1", "optim.lr=3"]]
    assert "unrecognized arguments: --nope" in run("preview", good, "--nope", "lr=1").stderr
    assert "unrecognized arguments: b" in run("check-cluster", "a", "b").stderr


def test_preview_of_a_file_in_a_subfolder_reads_the_profiles_too(include: Path) -> None:
    path = include / "sweeps" / "team" / "a.yaml"
    path.parent.mkdir()
    path.write_text(f"{GOOD}slurm: {{mem: 1G, time: 0}}")
    (include / "clusters" / "default.yml").write_text("mem_per_gpu: 2G\n")
    done = run("preview", path)
    assert " --mem=1G" in done.stdout
    assert "mem-per-gpu" not in done.stdout
    assert done.stdout.endswith("# 2 jobs, without a time limit: no bound on their GPU-hours\n")


def test_convert_writes_our_syntax_or_fails(include: Path) -> None:
    path = include / "wandb.yaml"
    path.write_text("program: a.py\nmethod: grid\nparameters: {lr: {values: [1, 2]}}\n")
    assert run("convert", path).stdout.splitlines()[1:] == ["command: python a.py {flags}", "lr: [1, 2]"]
    path.write_text(GOOD)
    done = run("convert", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{path}: expected a sweep of another tool, got none\n"


def test_preview_says_what_runs_and_why(include: Path) -> None:
    path = include / "sweeps" / "a.yaml"
    path.write_text(
        "script_path: a.py\nm: [8B, 70B]\nlr: [1, 2, 3]\nsweep:\n  exclude: [{m: 70B, lr: {above: 1}}, {m: x}]\n"
        "  include: [{m: 70B, lr: 9}]\n  rules: [{if: {m: 70B}, slurm: {nodes: 8}}]\n  repeat: {seed: [1, 2]}\n"
    )
    assert [line.removeprefix("# ") for line in run("preview", path).stdout.splitlines()[:6]] == [
        f"{path}: 10 of 10 combinations",
        "sweep.exclude.0: {m: 70B, lr: {above: 1}} leaves out 2 of 6 combinations",
        "sweep.rules.0: {m: 70B} holds for 2 combinations",
        "sweep.exclude and sweep.include: 6 combinations become 5",
        "sweep.repeat: each of 5 combinations runs 2 times, over seed",
        f"{path}: sweep.exclude.1: {{m: x}} matches no combination",
    ]
    path.write_text("script_path: a.py\nlr: {uniform: [0, 1]}\nsweep: {search: random, trials: 3}\n")
    assert "# sweep.search: random takes 3 of infinitely many combinations" in run("preview", path).stdout
    assert run("check", path).stdout == f"{path}: 3 combinations of a.py\n"


def test_preview_in_json(good: Path) -> None:
    done = run("preview", good, "seed=7", "--nodes", "2", "--time", "1:0:0", "--only", "2", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    (job,) = shown["jobs"]
    assert (job["name"], job["index"], job["parameters"], job["run_dir"]) == (
        "train_sweep_2",
        2,
        {"optim.lr": 5e-6},
        "/l/nemo-rl/train_sweep_2",
    )
    assert split(job["command"])[-3:] == ["cluster.num_nodes=2", "optim.lr=5e-06", "seed=7"]
    assert job["command"].startswith("uv run examples/train.py logger.log_dir=/l/nemo-rl/train_sweep_2/logs")
    assert {"sbatch", "--nodes=2", "--time=1:0:0", "--account=a"} <= set(job["sbatch"])
    assert job["env"]["CONTAINER"] == "/c/nemo_rl_base.sqsh"
    assert shown["gpu_hours"] == 16


def test_preview_shows_the_jobs_of_a_run_that_is_over_its_budget_and_fails(good: Path) -> None:
    (good.parents[1] / "clusters" / "default.yaml").write_text("container: null\nmax_gpu_hours: 63\n")
    done = run("preview", good)
    assert done.returncode == 1
    assert "\n# 2 jobs, at most 64 GPU-hours\n" in done.stdout
    assert "max_gpu_hours is 63 GPU-hours" in done.stderr


def test_preview_says_that_a_run_needs_approval(good: Path) -> None:
    (good.parents[1] / "clusters" / "default.yaml").write_text("container: null\napprove: {above_gpu_hours: 63}\n")
    assert "\n# A run waits for approval: above_gpu_hours is 63 (" in run("preview", good).stdout


def test_preview_as_text_reads_the_profile_beside_the_sweeps(good: Path) -> None:
    (good.parents[1] / "clusters" / "default.yaml").write_text("log: /profile\ncontainer: null\n")
    done = run("preview", good)
    assert "\n# run directory: /profile/nemo-rl/train_sweep_1\n(\nmkdir -p -- " in done.stdout
    assert "\n# train_sweep_1: lr=1e-06\n# command: uv run examples/train.py " in done.stdout
    assert done.stdout.endswith("\n# 2 jobs, at most 64 GPU-hours\n")


def test_preview_shows_the_first_job_whole_and_all_jobs_in_a_table(good: Path) -> None:
    shown, everything = run("preview", good).stdout, run("preview", good, "--all").stdout
    assert (shown.count("sbatch --parsable"), everything.count("sbatch --parsable")) == (1, 2)
    assert re.search(r"^# 1 +train_sweep_1 +lr=1e-06\n# 2 +train_sweep_2 +lr=5e-06$", shown, re.MULTILINE)
    assert "# train_sweep_2: lr=5e-06" in everything


def test_preview_of_a_file_anywhere_reads_the_default_profile_beside_it(tmp_path: Path) -> None:
    (tmp_path / "alone.yaml").write_text("command: train\nlr: [0.1]\n")
    (tmp_path / "default.yaml").write_text("log: /beside\n")
    assert "# run directory: /beside/alone/alone\n" in run("preview", tmp_path / "alone.yaml").stdout


INIT = ("--host", "login", "--user", "me", "--workdir", "/w", "--log", "/l")


def test_init_writes_a_sweep_that_can_be_previewed(tmp_path: Path) -> None:
    done = run("init", tmp_path, *INIT)
    assert f"cd {tmp_path}\n. ./environment.sh" in done.stdout
    assert exported(tmp_path, "AIRFLOW__CORE__DAGS_FOLDER") == f"{tmp_path}/dags\n"
    assert json.loads(exported(tmp_path, "AIRFLOW_CONN_SLURM")) == {"conn_type": "ssh", "host": "login", "login": "me"}
    preview = json.loads(run("preview", tmp_path / "include" / "sweeps" / "first.yaml", "--json").stdout)
    assert [job["command"] for job in preview["jobs"]][5] == (
        "python3 train.py --lr=0.01 --seed=3 --out /l/first/first_sweep_6"
    )
    for path in (tmp_path / "dags").iterdir():
        assert path.read_text() == (PROJECT / "dags" / path.name).read_text()


def exported(folder: Path, name: str) -> str:
    script = f". {folder}/environment.sh && printenv {name}"
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout


def test_init_takes_the_login_node_as_ssh_does(tmp_path: Path) -> None:
    done = run("init", tmp_path, "--host", "me@login:22", *INIT[4:])
    assert (done.returncode, list(tmp_path.iterdir())) == (1, [])
    assert done.stderr == "--host: expected a name or an address, got 'login:22'; --port says the port\n"
    run("init", tmp_path, "--host", "me@::1", "--port", "2222", *INIT[4:])
    expected = {"conn_type": "ssh", "host": "::1", "login": "me", "port": 2222}
    assert json.loads(exported(tmp_path, "AIRFLOW_CONN_SLURM")) == expected


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    run("init", tmp_path, *INIT)
    file = tmp_path / "include" / "sweeps" / "first.yaml"
    file.write_text("mine")
    done = run("init", tmp_path, *INIT)
    assert (done.returncode, file.read_text()) == (0, "mine")
    assert f"# {file} exists, and stays as it is" in done.stdout


def test_init_without_a_terminal_names_the_missing_option_and_writes_nothing(tmp_path: Path) -> None:
    done = run("init", tmp_path, *INIT[2:])
    assert (done.returncode, done.stderr) == (1, "--host is missing: login node of the cluster (as for ssh)\n")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_an_import_error_that_names_the_command() -> None:
    program = (
        "import sys; sys.modules['yamlcore'] = None; from airflow_slurm_sweep.plugin import SlurmSweepPlugin as plugin\n"
        "try: plugin.on_load()\n"
        "except Exception as error: print(error)\n"
        "import airflow_slurm_sweep.factory"
    )
    done = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, text=True, capture_output=True, check=False)
    for said in (done.stdout, done.stderr):
        assert "Run `pip install yamlcore`" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--time", "soon"], "time: expected minutes"),
        (["--only", "3"], "only: expected indices from 1 to 2"),
        (["a"], "overrides: expected key=value"),
        (["--jobname", "a/b"], "jobname: expected a name"),
    ],
)
def test_bad_input_is_one_sentence_without_a_traceback(good: Path, arguments: list[str], said: str) -> None:
    done = run("preview", good, *arguments)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(said)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    done = run("init", tmp_path / "x" / "y", *INIT)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{tmp_path / 'x' / 'y'}")
    assert done.stderr.endswith(": Not a directory\n")


def test_check_cluster_without_airflow_says_so() -> None:
    program = "import sys; sys.modules['airflow'] = None; from airflow_slurm_sweep.__main__ import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, "check-cluster"], env=ENVIRONMENT, text=True, capture_output=True, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("check-cluster needs Airflow (")


@pytest.mark.parametrize(
    ("kind", "schema"), [("sweep", sweep_schema()), ("profile", profile_schema()), ("preset", preset_schema())]
)
def test_the_schemas_in_include_are_current(kind: str, schema: dict[str, Any]) -> None:
    text = (PROJECT / "include" / "schemas" / f"{kind}.json").read_text()
    assert text == run("schema", kind).stdout, (
        f"python -m airflow_slurm_sweep schema {kind} > include/schemas/{kind}.json"
    )
    jsonschema.Draft202012Validator.check_schema(schema)


def test_the_documentation_of_settings_is_current() -> None:
    text = (PROJECT / "docs" / "settings.md").read_text()
    assert text == run("settings").stdout, "python -m airflow_slurm_sweep settings > docs/settings.md"
    documented = set(re.findall(r"^- `(\w+)`", text, re.MULTILINE))
    sections = (SlurmSection, ClusterProfile, SweepSection, DagSection, RunOptions)
    assert documented == {name for section in sections for name in section.model_fields}


def test_preview_has_an_option_for_each_setting_of_the_form() -> None:
    shown = run("preview", "--help").stdout
    options = set(re.findall(r"^  --([\w-]+)", shown, re.MULTILINE))
    fields = {name.replace("_", "-") for name in RunOptions.model_fields} - {"dry-run", "existing", "overrides"}
    assert options == fields | {"all", "json"}


def test_the_schemas_know_what_the_loader_knows() -> None:
    sweeps = jsonschema.Draft202012Validator(sweep_schema())
    for path in (PROJECT / "include" / "sweeps").glob("*.yaml"):
        sweeps.validate(yaml.safe_load(path.read_text()))
    jsonschema.Draft202012Validator(profile_schema()).validate(
        yaml.safe_load((PROJECT / "include" / "clusters" / "example.yaml").read_text())
    )
    sweeps.validate({"script_path": "a", "x-a": {}, "slurm": {"cpus_per_task": 8, "mem-per-cpu": "1G", "qos": None}})
    sweeps.validate({"script_path": "a", "slurm": {"env": {"KEY": {"variable": "key"}}}})
    sweeps.validate({"script_path": "a", "slurm": {"gpus-per-node": 2, "retry": {"on": "NODE_FAIL"}}})
    sweeps.validate({"script_path": "a", "slurm": {"time": 60, "queue_limit": 90, "env": {"OMP_NUM_THREADS": 8}}})
    jsonschema.Draft202012Validator(preset_schema()).validate({"preset": "plain", "cpus_per_task": 8, "time": 60})
    sweeps.validate(
        {"script_path": "a", "x": {"uniform": [0, 1], "step": 0.1}, "y": {"csv": "a.csv"}, "a, b": [[1, 2]]}
    )
    rule = {"if": {"x": {"above": 1}}, "set": {"tp": 8}, "slurm": {"nodes": 8, "mem": "1G"}}
    section = {"exclude": [{"x": 1}], "rules": [rule], "repeat": {"seed": [1]}, "search": "random", "trials": 4}
    sweeps.validate({"script_path": "a", "sweep": section})
    for wrong in (
        {"script_path": "a", "sweep": {"objective": {"metric": "reward", "goal": "best"}}},
        {"script_path": "a", "x": {}},
        {"script_path": "a", "x": {"lr": [1]}},
        {"script_path": "a", "x": {"linspace": "0, 1"}},
        {"script_path": "a", "sweep": {"rules": [{"set": {"tp": 8}}]}},
        {"script_path": "a", "sweep": {"rules": [{"if": {}, "slurm": {"node": 8}}]}},
        {"script_path": "a", "x": []},
        {"script_path": "a", "slurm": {"n": 1}},
        {"script_path": "a", "slurm": {"gpus-per-node": "two"}},
    ):
        assert not sweeps.is_valid(wrong), wrong
