"""Sweep files: what is read, and which errors are reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_slurm_sweep.errors import SweepFileError
from airflow_slurm_sweep.sweep.spec import load_profile, load_sweep, parse_sweep

GRPO = """\
# Required: Specify the script to run
script_path: examples/train_grpo.py
config_path: examples/configs/grpo.yaml
grpo.kl_penalty: [0.01, 0.02, 0.05]
optim.lr: [1e-6, 5e-6, 1e-5]
model.model_name: ["meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-3B"]
"""


def faults(text: str, *, max_combinations: int = 1000) -> list[str]:
    with pytest.raises(SweepFileError) as caught:
        parse_sweep(text, source="s.yaml", max_combinations=max_combinations)
    return [line.removeprefix("s.yaml: ") for line in str(caught.value).splitlines()]


def test_the_launchers_example() -> None:
    spec = parse_sweep(GRPO, source="s.yaml")
    assert (spec.script_path, spec.config_path, spec.size) == (
        "examples/train_grpo.py",
        "examples/configs/grpo.yaml",
        18,
    )
    assert list(spec.parameters) == ["grpo.kl_penalty", "optim.lr", "model.model_name"]
    assert spec.parameters["optim.lr"] == (1e-6, 5e-6, 1e-5)


def test_combinations_are_the_product_in_file_order_the_last_key_fastest() -> None:
    spec = parse_sweep("script_path: a.py\nb: [1, 2]\na: [x, y]\nc: 0", source="s.yaml")
    assert [(c.index, dict(c.parameters)) for c in spec.space.combinations] == [
        (1, {"b": 1, "a": "x", "c": 0}),
        (2, {"b": 1, "a": "y", "c": 0}),
        (3, {"b": 2, "a": "x", "c": 0}),
        (4, {"b": 2, "a": "y", "c": 0}),
    ]


def test_without_parameters_there_is_one_combination() -> None:
    spec = parse_sweep("script_path: a.py", source="s.yaml")
    assert [dict(c.parameters) for c in spec.space.combinations] == [{}]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6),
        ("5E+3", 5000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("8:0:0", "8:0:0"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("0o17", 15),
        ("0", 0),
        ("0.50", 0.5),
        ("'017'", "017"),
        ("08:00:00", "08:00:00"),
        ("1_000", "1_000"),
        ("null", None),
        ("~", None),
        ("", None),
        ("'1e-6'", "1e-6"),
        ("2026-01-01", "2026-01-01"),
        ("{a: 1}", {"a": 1}),
        ("[1, [2]]", [1, [2]]),
    ],
)
def test_values_follow_yaml_1_2(text: str, value: object) -> None:
    (read,) = parse_sweep(f"script_path: a.py\nx:\n  - {text}", source="s.yaml").parameters["x"]
    assert (read, type(read)) == (value, type(value))


def test_a_scalar_is_a_list_of_one_also_with_plus() -> None:
    spec = parse_sweep("script_path: a.py\n+new.key: 3\n++other: [1]\nempty:", source="s.yaml")
    assert spec.parameters == {"+new.key": (3,), "++other": (1,), "empty": (None,)}


def test_sections() -> None:
    spec = parse_sweep(
        """\
script_path: a.py
slurm:
  nodes: 4
  time: 8:0:0
  container:
  env: {WANDB_MODE: offline, N: 3}
  sbatch: {exclusive: true, qos: high, nice: 100}
dag:
  schedule: 0 3 * * *
  start_date: 2026-01-31
  timezone: Europe/Berlin
  tags: [a, b]
""",
        source="s.yaml",
    )
    assert (spec.slurm.nodes, spec.slurm.time) == (4, "8:0:0")
    assert "container" in spec.slurm.model_fields_set
    assert "account" not in spec.slurm.model_fields_set
    assert spec.slurm.env == {"WANDB_MODE": "offline", "N": "3"}
    assert spec.slurm.sbatch == {"exclusive": True, "qos": "high", "nice": 100}
    assert spec.dag.tags == ("a", "b")


def test_all_errors_are_reported_at_once_with_key_value_and_expectation() -> None:
    assert faults(
        """\
config_path: [1]
optim.lr: {a: 1}
empty: []
two words: 1
+x: 1
++x: 2
deep: [{"it's": 1}]
slurm: {node: 1, nodes: two, gpus_per_node: true, time: 1:2:3:4, sbatch: {job-name: a}, env: {COMMAND: x}}
dag: {schedule: "@daily", timezone: Mars, retries: -1}
"""
    ) == [
        "config_path: expected a path on the cluster, got a list: [1]",
        "optim.lr: expected a list of values, got a mapping (write nested keys with dots: optim.lr)",
        "empty: expected a list of values, got an empty one",
        "two words: expected a parameter's name such as lr, optim.lr, +a.b or --lr",
        "++x: sets the same parameter as '+x'; remove one of them",
        "slurm.nodes: expected an integer, got 'two'",
        "slurm.gpus_per_node: expected an integer, got True; for a type write gres: gpu:a100:4",
        "slurm.time: expected minutes, h:m:s, d-h, d-h:m:s or UNLIMITED (as sbatch --time takes it), got '1:2:3:4'",
        "slurm.env: the variable 'COMMAND' is reserved: airflow-slurm-sweep sets it for each job",
        "slurm.sbatch: the option 'job-name' is reserved; use the setting 'jobname'",
        "slurm.node: unknown key 'node'; did you mean 'nodes'? Valid keys: account, batch_script, chain, container, env, "
        "existing, extra_nodes, gpu_request, gpus_per_node, jobname, log_file, max_parallel_jobs, mounts, nodes, partition, profile, "
        "queue_limit, retry, sbatch, setup, stream_log, submit, time, warn, workdir, and the long options of sbatch",
        "dag.timezone: expected a timezone such as Europe/Berlin, got 'Mars'",
        "dag.retries: expected greater than or equal to 0, got -1",
    ]


@pytest.mark.parametrize("option", ["cpus_per_task: 8.0", "constraint: 1.10"])
def test_a_number_with_a_point_is_no_option_of_sbatch(option: str) -> None:
    (fault,) = faults(f"script_path: a.py\nslurm: {{{option}}}\n")
    assert "expected text, got a number with decimals, of which YAML drops zeros; " in fault


@pytest.mark.parametrize("value", ["[1]", "true", "null", "{variable: a, connection: b}", "{password: s3cret}"])
def test_a_value_of_the_wrong_kind_is_one_error_that_shows_no_secret(value: str) -> None:
    fault, other = faults(f"script_path: a.py\nslurm: {{env: {{K: {value}}}, sbatch: {{qos: [a]}}}}\n")
    assert fault.startswith("slurm.env.K: expected text, or a secret as {variable: NAME} or {connection: ID}, got ")
    assert "s3cret" not in fault
    assert other == "slurm.sbatch.qos: expected text, a whole number, or true or false, got a list"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "expected keys with values, got nothing"),
        ("- a", "expected keys with values, got a list"),
        ("a: 1\nlr:[1, 2]\nb: 2", "line 2: not YAML: could not find expected ':'; does a blank lack behind a colon?"),
        ("a: 1\nlr: 'x\nb: 2\nc: 3", "line 2: not YAML: found unexpected end of stream"),
        ("a: [1", "line 2: not YAML: did not find expected ',' or ']'"),
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' stands in line 1 too, with another value; delete one of them"),
        ("script_path: a.py\nslurm:\n  nodes: 1\n  nodes: 2", "line 4: the key 'nodes' stands in line 3 too, with another value; delete one of them"),
        ("1: 2", "1: expected text as a key; put it in quotes"),
        ("~: 1", "null: expected text as a key; put it in quotes"),
        ("a: 1\n---\nb: 2", "line 2: a second document begins here; put it into a file of its own"),
        ("a: 1\n\tb: 2", "line 2: a tab stands where YAML takes blanks only; write blanks"),
        ("a:\n\t- 2", "line 2: a tab stands where YAML takes blanks only; write blanks"),
        ("ä: @x", "line 1: a value cannot begin with @; put it in quotes"),
        ("\ufeffa: 1\nb: `x", "line 2: a value cannot begin with `; put it in quotes"),
        ("a: !!int abc", "line 1: not YAML: 'abc' cannot be read as int"),
        ("a: !!int ''", "line 1: not YAML: '' cannot be read as int"),
        ("a: !!bool x", "line 1: not YAML: 'x' cannot be read as bool"),
        ("a: [!!float x]", "line 1: not YAML: 'x' cannot be read as float"),
        (f"a: {'9' * 5000}", f"line 1: not YAML: '{'9' * 60}' cannot be read as int"),
        (
            "x-0: &v0 [1, 2]\n" + "".join(f"x-{n}: &v{n} [{f'*v{n - 1}, ' * 9}]\n" for n in range(1, 10)) + "lr: *v9",
            "its aliases make more than 1000000 values; write fewer, or a table: {csv: FILE}",
        ),
        (f"a: {'[' * 3000}{']' * 3000}", "lists and mappings are nested too deep; write them into the script's config"),
        (f"script_path: a.py\na: {{range: [0, 1{'0' * 400}]}}", f"a: expected a form such as {{range: [0, 10, 2]}}, without its end; got {{range: [0, 1{'0' * 400}]}}"),
        ("script_path: a.py\na: {range: [0, 1e9]}", "a: {range: [0, 1000000000.0]} has 1000000000 values, but at most 100000 are read; give it fewer"),
        ("script_path: a.py\nslurm: {account: 00123}", "line 2: 00123 begins with 0, which readers of YAML take for different numbers; write 123, or '00123' in quotes"),
        ("script_path: a.py\na: [-010, 1]", "line 2: -010 begins with 0, which readers of YAML take for different numbers; write -10, or '-010' in quotes"),
        ("a: &a [*a]", "line 1: not YAML: found unconstructable recursive node"),
        ("script_path: a.py\nx: {[a]: 1}", "line 2: not YAML: found unhashable key"),
        ("script_path: a.py\nslurm: {c: 8}", "slurm: 'c' is a short option of sbatch; write cpus_per_task"),
        ("script_path: a.py\nslurm: {sbatch: {p: 8}}", "slurm.sbatch: 'p' is a short option of sbatch; write partition"),
        ("script_path: a.py\nslurm: {mem: 1G, sbatch: {mem: 2G}}", "slurm: 'mem' stands below sbatch too; remove one of them"),
        ("script_path: a.py\nslurm: {mem: 1G, mem_per_cpu: 2G}", "slurm.sbatch: mem and mem-per-cpu exclude each other in Slurm; keep one of them"),
        ("script_path: a.py\nslurm: {mem: 0, mem_per_cpu: 2G}", "slurm.sbatch: mem and mem-per-cpu exclude each other in Slurm; keep one of them"),
        ("script_path: a.py\nslurm: {cpus_per_task: 4, cpus-per-task: 8}", "slurm: 'cpus-per-task' stands there twice, with - and with _; remove one of them"),
        ("script_path: a.py\nslurm: {sbatch: {cpus_per_task: 4, cpus-per-task: 8}}", "slurm: 'cpus-per-task' stands there twice, with - and with _; remove one of them"),
        ("script_path: a.py\nslurm: {exclusive: no}", "slurm.sbatch: 'exclusive' has no value 'no'; write true or false"),
        ("script_path: a.py\nslurm: {sbatch: {hold: Off}}", "slurm.sbatch: 'hold' has no value 'Off'; write true or false"),
        ("script_path: a.py\nslurm: {job-name: a}", "slurm.sbatch: the option 'job-name' is reserved; use the setting 'jobname'"),
        ("script_path: a.py\n_common: &l [1e-4, 1e-3]\noptim.lr: *l", "_common: holds an anchor and is no parameter; name the key 'x-common'"),
        ("script_path: a.py\n_base: [&a 1]\nlr: [*a, 2]", "_base: holds an anchor and is no parameter; name the key 'x-base'"),
        ("script_path: a.py\n_base: [[{b: [&a 1]}, 2], 3]\nlr: [*a, 2]", "_base: holds an anchor and is no parameter; name the key 'x-base'"),
        ("script_path: a.py\noptim: {lr: &l [1, 2]}\nb: *l", "optim: expected a list of values, got a mapping (write nested keys with dots: optim.lr)"),
        ("script_path: a.py\ncommon: &l {nodes: 2}\nslurm: *l", "common: holds an anchor and is no parameter; name the key 'x-common'"),
        ("script_path: a.py\nslurm: {<<: 1}", "line 2: not YAML: << merges mappings only"),
        ("script_path: a.py\nlr: {1e-4, 1e-3}", "lr: expected a list of values, got a mapping; write lr: [0.0001, 0.001]"),
        ("script_path: a.py\nlr: {5}", "lr: expected a list of values, got a mapping; write lr: [5]"),
        ("script_path: a.py\nlr: {1..5}", "lr: expected a list of values, got a mapping; write lr: {range: [1, 6]}"),
        ("script_path: a.py\noptim: {lr: }", "optim: expected a list of values, got a mapping (write nested keys with dots: optim.lr)"),
        ("script_path: a.py\noptim: {}", "optim: expected a list of values, got a mapping (write nested keys with dots: optim.lr)"),
        ("script_path: a.py\nlr: {values: [1, 2], value: 3}", "lr: expected {values: ...} alone, got value beside it"),
        ("script_path: a.py\nlr: {value: 3, min: 0, max: 1}", "lr: expected {value: ...} alone, got max, min beside it"),
        ("script_path: a.py\nlr: {choices: [1, 2]}", "lr: expected a list of values, got a mapping; write lr: [1, 2]"),
        ("script_path: a.py\na: !!python/object:os.system x", "line 2: not YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object:os.system'; tags are not taken: write the value itself"),
        ("script_pth: a.py", "script_pth: unknown key 'script_pth'; did you mean 'script_path'?"),
        ("script_path: a.py\nslurm: [1]", "slurm: expected keys with values, got a list"),
        ("script_path: a.py\nslurm: {jobname: ../up}", "slurm.jobname: expected a name of letters, digits and _ . + = @ - (it names a directory too; 200 at most), got '../up'"),
        ("script_path: a.py\ndag: {schedule: '@daily'}", "dag.start_date: missing; the schedule '@daily' needs the date of the first run, such as 2026-01-31"),
        ("script_path: a.py\ndag: {start_date: 20260131}", "dag.start_date: expected a date such as 2026-01-31 or 2026-01-31T03:00, got 20260131"),
        ("script_path: a.py\ndag: {schedule: '@daily', start_date: '2026-01-31T00:00:00+02:00'}", "dag: start_date: 2026-01-31T00:00:00+02:00 has an offset, which says nothing of daylight saving; add the timezone of the schedule, such as timezone: Europe/Berlin"),
        ("script_path: a.py\ndag: {schedule: {assets: []}}", "dag.schedule: expected a cron expression, a preset such as @daily, or assets such as {assets: [sweep_a]}, got {'assets': []}"),
        ("script_path: a.py\ndag: {schedule: {asset: a}}", "dag.schedule: expected a cron expression, a preset such as @daily, or assets such as {assets: [sweep_a]}, got {'asset': 'a'}"),
        ("script_path: a.py\ndag: {schedule: 5}", "dag.schedule: expected a cron expression, a preset such as @daily, or assets such as {assets: [sweep_a]}, got 5"),
        ("script_path: a.py\nsweep: {objective: {metric: a, goal: up}}", "sweep.objective.goal: expected 'maximize' or 'minimize', got 'up'"),
        ("script_path: a.py\nsweep: {objective: {metric: a}}", "sweep.objective.goal: missing; expected the keys metric, goal"),
        ("script_path: a.py\nsweep: {objective: reward}", "sweep.objective: expected keys with values, got text"),
        ("script_path: a.py\nsweep: {objective: {metric: a, goal: minimize, name: b}}", "sweep.objective.name: unknown key 'name'. Valid keys: goal, metric"),
        ("script_path: a.py\nslurm: {cluster: big}", "slurm.cluster: unknown key 'cluster'; it is called 'profile'"),
        ("script_path: a.py\nslurm:\n  nodes:", "slurm.nodes: expected an integer, got nothing"),
        ("script_path: -c\n", "script_path: expected a path on the cluster, got text: '-c'"),
    ],
)  # fmt: skip
def test_an_error(text: str, fault: str) -> None:
    assert faults(text) == [fault]


@pytest.mark.parametrize(
    "setting",
    [
        "account: 1.10",
        "partition: 1.5",
        "constraint: 1.10",
        "env: {V: 12.10}",
        "sbatch: {constraint: 1.0}",
        "jobname: 1.0",
    ],
)
def test_a_number_with_decimals_is_no_text_since_its_zeros_are_lost(setting: str) -> None:
    (fault,) = faults(f"script_path: a.py\nslurm: {{{setting}}}")
    assert "expected text, got a number with decimals, of which YAML drops zeros; " in fault


@pytest.mark.parametrize("key", ["scriptpath", "scirpt_path", "script_paht", "script-path", "Script_path"])
def test_a_misspelt_script_path_is_found(key: str) -> None:
    assert faults(f"{key}: a.py") == [f"{key}: unknown key {key!r}; did you mean 'script_path'?"]


@pytest.mark.parametrize("key", ["output_path", "ckpt_path", "transcript_path", "script", "subscript", "--script_path"])
def test_a_parameter_that_resembles_script_path_is_a_parameter(key: str) -> None:
    for text in (f"{key}: 1", f"{key}: 1\ncommand: python t.py {{flags}}"):
        assert parse_sweep(text, source="s.yaml").parameters == {key: (1,)}
    assert parse_sweep("command: python t.py {flags}\nscript_pth: 1", source="s.yaml").size == 1


@pytest.mark.parametrize(
    "text",
    [
        *(f"sweep: {{{key}: }}" for key in ("exclude", "include", "rules", "repeat")),
        *(f"slurm: {{{key}: }}" for key in ("env", "sbatch", "setup", "retry", "log_file")),
        "slurm: {chain: {jobs: 2, until: }}",
        "dag: {tags: , notify: }",
    ],
)
def test_an_empty_key_is_an_empty_list_or_mapping(text: str) -> None:
    assert parse_sweep(f"script_path: a.py\n{text}", source="s.yaml").size == 1


def test_options_beside_an_empty_sbatch_are_kept() -> None:
    assert parse_sweep("script_path: a.py\nslurm: {mem: 1G, sbatch: }", source="s").slurm.sbatch == {"mem": "1G"}


def test_a_job_name_may_be_a_template() -> None:
    spec = parse_sweep('script_path: a.py\nslurm: {jobname: "grpo_{{ ds_nodash }}"}', source="s.yaml")
    assert spec.slurm.jobname == "grpo_{{ ds_nodash }}"


def test_too_many_combinations_are_refused_before_they_are_built() -> None:
    huge = "script_path: a.py\n" + "".join(f"p{i}: [{', '.join(map(str, range(100)))}]\n" for i in range(20))
    assert faults(huge) == [f"{100**20} combinations, but at most 1000 are allowed (setting max_combinations)"]
    assert len(faults("script_path: a.py\na: [1, 2]", max_combinations=1)) == 1


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    for name, said in [("none.yaml", "cannot be read: No such file"), ("latin.yaml", "expected UTF-8 text")]:
        with pytest.raises(SweepFileError, match=f"^{name}: {said}"):
            load_sweep(tmp_path / name)


def test_a_cluster_profile(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("ssh_conn_id: big\nlog: /lustre/me/\naccount: a\ncontainer: null\n")
    profile = load_profile(path)
    assert (profile.ssh_conn_id, profile.log, profile.container) == ("big", "/lustre/me", None)
    path.write_text("log: relative\njobname: x\n")
    with pytest.raises(SweepFileError, match="log: expected an absolute path") as caught:
        load_profile(path)
    assert "jobname: unknown key" in str(caught.value)


def test_jobs_may_be_submitted_as_an_array() -> None:
    text = "script_path: a.py\nlr: [1, 2]\nslurm: {submit: array}\n"
    assert parse_sweep(text, source="s.yaml").slurm.submit == "array"


@pytest.mark.parametrize("more", ["chain: 2", "retry: [{on: NODE_FAIL}]"])
def test_a_limit_of_parallel_jobs_is_refused_with_arrays_of_chains(more: str) -> None:
    text = f"script_path: a.py\nlr: [1, 2]\nslurm: {{submit: array, max_parallel_jobs: 3, {more}}}\n"
    with pytest.raises(SweepFileError, match=r"slurm: submit is array, and max_parallel_jobs is 3: Slurm does not"):
        parse_sweep(text, source="s.yaml")
    with pytest.raises(SweepFileError, match=r"slurm.submit: .*'each' or 'array'"):
        parse_sweep(text.replace("array", "all"), source="s.yaml")


@pytest.mark.parametrize(
    "line",
    ["x-common: &l [1, 2]", ".common: &l [1, 2]", "x-nested: {a: &l [1, 2]}", "x-text: &t a\nx-common: &l [1, 2]"],
)
def test_keys_with_x_or_a_dot_in_front_hold_anchors_and_are_no_parameters(line: str) -> None:
    spec = parse_sweep(f"script_path: a.py\n{line}\nlr: *l\nvalue.lr: *l", source="s.yaml")
    assert spec.parameters == {"lr": (1, 2), "value.lr": (1, 2)}


def test_a_key_with_an_underscore_in_front_is_a_parameter_unless_it_holds_an_anchor() -> None:
    assert parse_sweep("script_path: a.py\n_target_: [a.B]", source="s").parameters == {"_target_": ("a.B",)}
    spec = parse_sweep("script_path: a.py\nlr: [&a 1, &b 2]\n_target_: [*a, x]\nz: [y, &c 3]\n_y: *b", source="s")
    assert spec.parameters == {"lr": (1, 2), "_target_": (1, "x"), "z": ("y", 3), "_y": (2,)}


def test_a_key_with_two_dashes_in_front_is_a_parameter_whatever_follows() -> None:
    spec = parse_sweep("script_path: a.py\n--slurm: [1]\n--lr: 2", source="s")
    assert spec.parameters == {"--slurm": (1,), "--lr": (2,)}


def test_mappings_are_merged_where_the_key_is_not_quoted() -> None:
    text = "script_path: a.py\nx-a: &a {nodes: 1, time: 1:0:0}\nx-b: &b {nodes: 3, qos: q}\nslurm: {<<: [*a, *b], time: 2:0:0}"
    slurm = parse_sweep(text, source="s").slurm
    assert (slurm.nodes, slurm.time, slurm.sbatch) == (1, "2:0:0", {"qos": "q"})
    assert faults("script_path: a.py\nslurm: {'<<': {}}")[0].startswith("slurm.<<: unknown key")


@pytest.mark.parametrize("value", ["1", "[1e-4, a]", "{a: [1]}", ".nan", ""])
def test_a_key_given_twice_with_equal_values_is_a_warning(value: str) -> None:
    text = f"script_path: a.py\nx-a: {value}\nx-a: {value}\nlr: 1\nslurm:\n  nodes: 2\n  nodes: 2"
    assert parse_sweep(text, source="s.yaml").warnings == (
        "s.yaml: line 3: the key 'x-a' stands in line 2 too, with the same value",
        "s.yaml: line 7: the key 'nodes' stands in line 6 too, with the same value",
        "s.yaml: x-a is left out: it is for anchors; a parameter of that name is '--x-a'",
    )


@pytest.mark.parametrize("second", ["1.0", "'1'", "true", "[1]"])
def test_values_of_different_types_are_not_equal(second: str) -> None:
    (fault,) = faults(f"script_path: a.py\nlr: 1\nlr: {second}")
    assert fault == "line 3: the key 'lr' stands in line 2 too, with another value; delete one of them"


def test_options_of_sbatch_stand_beside_the_settings_in_sweeps_and_profiles(tmp_path: Path) -> None:
    words = "cpus_per_task: 8\nmem-per-gpu: 32G\nqos: high\nexclusive: true\nconstraint:\nsbatch: {mail_type: END}\n"
    expected = {
        "cpus-per-task": 8, "mem-per-gpu": "32G", "qos": "high", "exclusive": True, "constraint": False, "mail-type": "END"
    }  # fmt: skip
    section = "".join(f"  {line}\n" for line in words.splitlines())
    assert parse_sweep(f"script_path: a.py\nslurm:\n{section}", source="s").slurm.sbatch == expected
    (tmp_path / "p.yaml").write_text(words)
    assert load_profile(tmp_path / "p.yaml").sbatch == expected
