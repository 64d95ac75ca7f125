"""Values that are another tool's syntax, and whole files of other tools."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from yamlcore import CCoreLoader

from airflow_slurm_sweep.errors import SweepFileError
from airflow_slurm_sweep.sweep.convert import convert
from airflow_slurm_sweep.sweep.foreign import as_yaml
from airflow_slurm_sweep.sweep.overrides import Value
from airflow_slurm_sweep.sweep.spec import parse_sweep
from airflow_slurm_sweep.sweep.values import protected

WANDB = """\
program: train.py
method: bayes
metric: {name: loss, goal: minimize}
command: ["${env}", python3, "${program}", "${args}", --tag, "a {b}"]
early_terminate: {type: hyperband}
parameters:
  lr: {values: [1e-4, 1e-3]}
  optimizer: {value: "adam,w"}
  model: {parameters: {depth: {values: [2, 4]}, dropout: {min: 0.0, max: 0.5}}}
  slurm: {value: x}
"""
HYDRA = """\
defaults: [_self_, {override hydra/sweeper: basic}]
hydra:
  sweeper: {params: {lr: "choice(1e-4,1e-3)", +n: "range(2,6)", model: "a,b", z: "interval(0,1)", optimizer: adam}}
  overrides: {task: ["seed=1,2", wd=0.1]}
"""


def fault(text: str) -> str:
    with pytest.raises(SweepFileError) as caught:
        parse_sweep(f"script_path: a.py\n{text}", source="s.yaml")
    return str(caught.value).removeprefix("s.yaml: ")


def values(text: str) -> tuple[object, ...]:
    return tuple(parse_sweep(f"script_path: a.py\nx: {text}", source="s.yaml").parameters["x"])


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1e-4,1e-3", "[1e-4, 1e-3]"),
        ("1e-4, 1e-3", "[1e-4, 1e-3]"),
        ("adam,sgd", "[adam, sgd]"),
        ("org/a-1B,org/b-3B", "[org/a-1B, org/b-3B]"),
        ("choice(1,2)", "[1, 2]"),
        ("choice(adam, sgd)", "[adam, sgd]"),
        ("choice([1,2],[3,4])", "[[1, 2], [3, 4]]"),
        ("hp.choice('x', [1, 2])", "[1, 2]"),
        ("int(choice(8,64))", "[8, 64]"),
        ("float(choice(8,64))", "[8.0, 64.0]"),
        ("str(choice(8,64))", "['8', '64']"),
        ("shuffle(range(1,4))", "[1, 2, 3]"),
        ("choice(range(1,4))", "[1, 2, 3]"),
        ("true, false", "[true, false]"),
        ("null, 1e-4", "[null, 1e-4]"),
        ("1e-4, none", "[1e-4, none]"),
        ("[1,2],[3,4]", "[[1, 2], [3, 4]]"),
        ("tune.choice([1, 2])", "[1, 2]"),
        ("trial.suggest_categorical('a', ['x', 'y'])", "[x, y]"),
        ("'a','b'", "[a, b]"),
        ("'a b', 'c'", "[a b, c]"),
        ("01,02", "[1, 2]"),
        ("list(range(5))", "[0, 1, 2, 3, 4]"),
        ("tuple(np.arange(0, 1, 0.5))", "[0.0, 0.5]"),
        ("range(2,6)", "[2, 3, 4, 5]"),
        ("range(3)", "[0, 1, 2]"),
        ("range(0, 1, 0.25)", "[0.0, 0.25, 0.5, 0.75]"),
        ("range(6,2,-2)", "[6, 4]"),
        ("np.linspace(0,1,3)", "[0.0, 0.5, 1.0]"),
        ("logspace(-3, -1, 3)", "[0.001, 0.01, 0.1]"),
        ("geomspace(1, 100, 3)", "[1.0, 10.0, 100.0]"),
        ("range(50)", "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ...] with all 50 values"),
    ],
)
def test_a_list_of_another_tool_is_refused_with_the_list_to_write(text: str, meant: str) -> None:
    quoted = text.replace("'", "''")
    said = f"is another tool's list of values; write x: {meant} (or, to mean the text itself: "
    assert said in fault(f"x: '{quoted}'")


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,000", "1000"), ("-12,000,000.5", "-12000000.5"), ("1,024", "1024"), ("0,001", "0.001")],
)
def test_a_comma_within_a_number_is_refused_with_the_number_to_write(text: str, number: str) -> None:
    assert fault(f"x: {text}").startswith(f"x: '{text}' is neither a number nor a list; write x: {number} (or, to mean")
    assert values(f"{number}") == (yaml.load(number, CCoreLoader),)


def test_the_text_itself_can_be_copied_from_the_message() -> None:
    for item in ("'a','b'", "choice('a', 2)"):
        quoted = fault(f"x: {as_yaml(item)}").partition("mean the text itself: ")[2].removesuffix(")")
        assert values(quoted) == (item,)


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        ("(1e-4, 1e-3)", "[1e-4, 1e-3]"),
        ("(1, 2,)", "[1, 2]"),
        ("('adam', 'sgd')", "['adam', 'sgd']"),
        ('\'("adam", "sgd")\'', '["adam", "sgd"]'),
        ('\'"adam", "sgd"\'', '["adam", "sgd"]'),
        ("'[1e-4, 1e-3]'", "[1e-4, 1e-3]"),
        ("'[adam, sgd]'", "[adam, sgd]"),
        ("'[[1, 2], [3, 4]]'", "[[1, 2], [3, 4]]"),
        ("'[\"baseline\"]'", '["baseline"]'),
        ("1e-4 1e-3", "[1e-4, 1e-3]"),
        ("[1e-4 1e-3]", "[1e-4, 1e-3]"),
        ("1e-4;1e-3", "[1e-4, 1e-3]"),
        ("1; 2; 3", "[1, 2, 3]"),
        ("[0.1|0.2]", "[0.1, 0.2]"),
        ("1..5", "{range: [1, 6]}"),
        ("[-1 ... 5]", "{range: [-1, 6]}"),
    ],
)
def test_a_text_that_is_nearly_always_several_values_is_a_warning_with_what_to_write(text: str, listed: str) -> None:
    for line in ("x: ", "y: 1\nsweep:\n  repeat:\n    x: "):
        spec = parse_sweep(f"script_path: a.py\n{line}{text}", source="s.yaml")
        (said,) = spec.warnings
        assert f" is one text; for several values write x: {listed}, for " in said
        (value,) = {each.parameters["x"] for each in spec.space.combinations}
        one_text = said.rpartition("for the text x: ")[2]
        quiet = parse_sweep(f"script_path: a.py\nx: {one_text}", source="s.yaml")
        assert (quiet.parameters["x"], quiet.warnings) == ((value,), ())
        assert parse_sweep(f"script_path: a.py\nx: {listed}", source="s.yaml").warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        "'[PAD]'", "'[/INST]'", "'[]'", "['[1, 2]']", "['(0.9, 0.95)']", "{value: 1 2}", "[1 2, 3 4]", "2024 01 31",
        "1 000", "1.2.3", "5..1", "1 a", "(a, b)", "(1)", "f(1, 2)", "'{\"a\": 1, \"b\": 2}'", "'[a] and [b]'", "1;a", "'|'", "..",
    ],
)  # fmt: skip
def test_a_text_that_may_be_meant_is_no_warning(text: str) -> None:
    spec = parse_sweep(f"script_path: a.py\nx: {text}", source="s.yaml")
    assert spec.warnings == ()


@pytest.mark.parametrize("text", ["128 " * 3000 + "x", "1 " * 3000 + "128" * 20 + "x"], ids=["words", "digits"])
def test_a_long_text_is_read_at_once(text: str) -> None:
    begun = time.monotonic()
    assert parse_sweep(f"script_path: a.py\nx: {text}", source="s.yaml").warnings == ()
    assert time.monotonic() < begun + 10


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("interval(0, 1)", "{int: [0, 1]}"),
        ("interval(0.0, 1)", "{uniform: [0.0, 1]}"),
        ("tag(log, interval(1e-5, 1e-3))", "{loguniform: [1.0e-05, 0.001]}"),
        ("int(interval(4, 8.0))", "{int: [4, 8]}"),
        ("tag(log, int(interval(4, 8)))", "{logint: [4, 8]}"),
        ("loguniform(1e-5,1e-3)", "{loguniform: [1.0e-05, 0.001]}"),
        ("tune.uniform(0, 1)", "{uniform: [0, 1]}"),
        ("tune.quniform(0, 1, 0.25)", "{uniform: [0, 1], step: 0.25}"),
        ("tune.randint(0, 10)", "{int: [0, 9]}"),
        ("hp.randint('x', 10)", "{int: [0, 9]}"),
        ("tune.lograndint(1, 65)", "{logint: [1, 64]}"),
        ("hp.loguniform('lr', -9.21034, -2.302585)", "{loguniform: [0.0001, 0.1]}"),
        ("trial.suggest_float('lr', 1e-5, 0.1, log=True)", "{loguniform: [1.0e-05, 0.1]}"),
        ("trial.suggest_int('n', 2, 8, step=2)", "{int: [2, 8], step: 2}"),
        ("tune.randn(1, 0.5)", "{uniform: [0.0, 2.0]}"),
    ],
)
def test_a_search_of_another_tool_is_refused_with_the_form_to_write(text: str, meant: str) -> None:
    said = f"x: {text!r} is another tool's search; write x: {meant} (or, to mean the text itself: "
    quoted = text.replace("'", "''")
    assert fault(f"x: '{quoted}'").startswith(said)
    assert fault(f"x: [1, '{quoted}']").startswith(said)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("x: [loguniform(1e-5,1e-3)]", "loguniform(1e-5"),
        ("x: [np.linspace(0,1,5)]", "np.linspace(0"),
        ("x: [choice(1,2), 3]", "choice(1"),
        ("x: [int(interval(1, 8))]", "int(interval(1"),
        ("x: [[choice(1,2)]]", "choice(1"),
        ("x: [{a: {b: choice(1,2)}}]", "choice(1"),
        ("'x, y': [[choice(1,2)]]", "choice(1"),
        ("x: 1\nsweep: {include: [{x: [choice(1,2)]}]}", "choice(1"),
        ("x: 1\nsweep: {rules: [{if: {x: 1}, set: {y: [choice(1,2)]}}]}", "choice(1"),
    ],
)
def test_a_call_that_yaml_has_cut_at_its_comma_is_refused(text: str, cut: str) -> None:
    assert f"{cut!r} is the beginning of another tool's call, which YAML has cut at its comma; write the" in fault(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("'x, y': [[VALUE, 2]]", "x, y"),
        ("x: [[VALUE, 3]]", "x"),
        ("x: [{a: [VALUE]}]", "x"),
        ("x: {values: [VALUE, 3]}", "x"),
        ("x: {value: VALUE}", "x"),
        ("x: 1\nsweep: {include: [{x: VALUE}]}", "sweep.include.0.x"),
        ("x: 1\nsweep: {rules: [{if: {x: 1}, set: {y: VALUE}}]}", "sweep.rules.0.set.y"),
    ],
)
def test_a_call_where_one_value_stands_is_refused_and_can_be_meant_as_text(text: str, place: str) -> None:
    said = fault(text.replace("VALUE", "'choice(1,2)'"))
    assert said.startswith(f"{place}: 'choice(1,2)' is another tool's call where one value stands; write the value")
    spec = parse_sweep("script_path: a.py\n" + text.replace("VALUE", "'\"choice(1,2)\"'"), source="s.yaml")
    assert "'choice(1,2)'" in repr([each.parameters for each in spec.space.combinations])


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("'x, y': [[FORM, 2]]", "x, y"),
        ("x: 1\nsweep: {include: [{x: FORM}]}", "sweep.include.0.x"),
        ("x: 1\nsweep: {rules: [{if: {x: 1}, set: {y: FORM}}]}", "sweep.rules.0.set.y"),
    ],
)
def test_a_value_form_where_one_value_stands_is_a_warning(text: str, place: str) -> None:
    spec = parse_sweep("script_path: a.py\n" + text.replace("FORM", "{range: [0, 2]}"), source="s.yaml")
    (said,) = spec.warnings
    assert said.startswith(f"s.yaml: {place}: {{range: [0, 2]}} is one value here, a mapping")


@pytest.mark.parametrize("key", ["script_path", "dag"])
def test_a_key_of_the_file_cannot_differ_between_combinations(key: str) -> None:
    for text, place in (
        (f"x: 1\nsweep: {{rules: [{{if: {{x: 1}}, set: {{{key}: z}}}}]}}", f"sweep.rules.0.set.{key}"),
        (f"sweep: {{repeat: {{{key}: [y, z]}}}}", key),
        (f"'x, {key}': [[1, 2]]", key),
    ):
        problem = "cannot differ between combinations; write a parameter of that name with -- in front"
        assert fault(text) == f"{place}: {problem}"
        assert parse_sweep("script_path: a.py\n" + text.replace(key, f"--{key}"), source="s.yaml").size >= 1


@pytest.mark.parametrize(
    "text",
    [
        "choice(interval(1,4))",
        "choice(range(1,4), 9)",
        "choice(range(3), 9)",
        "glob(*)",
        "range(a)",
        "range(1,2,0)",
        "uniform(a, b)",
    ],
)
def test_a_search_that_names_no_values_is_refused(text: str) -> None:
    said = f"x: {text!r} is another tool's search; list the values to try, such as x: [1, 2] (or, to mean the text "
    assert fault(f"x: '{text}'").startswith(said)


@pytest.mark.parametrize("text", ["1,2", "adam,sgd", "choice(1,2)", "interval(0, 1)"])
def test_a_text_in_double_quotes_is_the_text_inside(text: str) -> None:
    assert values(f"""'"{text}"'""") == (text,)
    assert values(f"""'""{text}""'""") == (f'"{text}"',)


@pytest.mark.parametrize(
    "text",
    [
        "hello, world", "a, b and c", "/data/a,/data/b", "/lustre:/lustre,/home:/home", "[1,2]", "f(x),g(x)", "a=1,b=2",
        "1,a b", "f(x", "my_choice(1", "true, maybe", "[1],2", "(1,2)", "my_choice(1,2)", "say range(2,6)", '"quoted"', '"', ",", "1.5", "meta-llama/Llama-3.2-1B",
    ],
)  # fmt: skip
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert values(f"'{text}'") == (text,)


@given(
    st.text(alphabet="\"',()a1 ]/.", max_size=8)
    | st.sampled_from(["choice(1)", "choice(1", "1,2", "true, ~", "[1],[2]"]).flatmap(
        lambda text: st.sampled_from([text, f'"{text}"'])
    )
)
def test_each_text_can_be_said(text: str) -> None:
    each: list[Value] = [text, [text, 1], {"a": [text]}]
    for value in each:
        assert values(as_yaml([protected(value)])) == (value,)


def test_texts_with_commas_in_a_list_of_several_stay_as_they_are() -> None:
    assert values('["q_proj,v_proj", "q_proj,k_proj,v_proj"]') == ("q_proj,v_proj", "q_proj,k_proj,v_proj")


@pytest.mark.parametrize(
    ("text", "tool"),
    [
        (WANDB, "Weights & Biases"),
        (HYDRA, "Hydra"),
        ("defaults: [_self_, model: a]\nlr: 0.1", "Hydra"),
        ("strategy: {matrix: {lr: [1, 2]}}", "a build matrix"),
        ("matrix: {lr: [1, 2]}", "a build matrix"),
        ("search_space: {lr: {type: float}}\nn_trials: 5", "Optuna"),
        ("searchSpace: {lr: {_type: choice, _value: [1, 2]}}", "NNI"),
        ("param_space: {lr: {grid_search: [1, 2]}}", "Ray Tune"),
        ("parameters: {lr: [1, 2]}", "another sweep tool"),
    ],
)
def test_a_file_of_another_tool_is_one_error_that_names_the_command(text: str, tool: str) -> None:
    said = f"s.yaml: this is a file of {tool}; `airflow-slurm-sweep convert s.yaml` writes it as a sweep file"
    with pytest.raises(SweepFileError, match=f"^{said}$"):
        parse_sweep(text, source="s.yaml")


def test_a_sweep_of_wandb_becomes_ours() -> None:
    assert (
        convert(WANDB, "w.yaml")
        == """\
# From w.yaml, a file of Weights & Biases.
# Not taken over: early_terminate, which has no counterpart here.
# Not taken over: method bayes: combinations are drawn at random.
# Not taken over: the number of trials, which the file does not say: 40.
# Not taken over: how the metric is read: the report reads it from files in each run directory, such as metrics.json (docs/results.md).
command: python3 train.py {flags} --tag 'a {{b}}'
lr: [0.0001, 0.001]
optimizer: ['"adam,w"']
model.depth: [2, 4]
model.dropout: {uniform: [0.0, 0.5]}
--slurm: [x]
sweep: {search: random, trials: 40, objective: {metric: loss, goal: minimize}}
"""
    )


def test_a_sweep_of_hydra_becomes_ours() -> None:
    assert (
        convert(HYDRA, "h.yaml")
        == """\
# From h.yaml, a file of Hydra.
# Not taken over: the program, which the file does not name: replace train.py.
# Not taken over: defaults, which the script's own config keeps.
# Not taken over: the number of trials, which the file does not say: 40.
command: python train.py {overrides}
lr: [0.0001, 0.001]
+n: [2, 3, 4, 5]
model: [a, b]
z: {int: [0, 1]}
optimizer: [adam]
seed: [1, 2]
wd: [0.1]
sweep: {search: random, trials: 40}
"""
    )


@pytest.mark.parametrize(
    "text", [WANDB, HYDRA, "matrix: {a: [1, 2]}", "searchSpace: {a: {_type: choice, _value: [1]}}"]
)
def test_the_parameters_of_a_converted_file_load(text: str) -> None:
    lines = [line for line in convert(text, "f.yaml").splitlines() if not line.startswith("command:")]
    assert parse_sweep("\n".join(["script_path: a.py", *lines]), source="s").parameters


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr: [1, 2]", "expected a sweep of another tool, got none"),
        ("parameters: {lr: {distribution: beta, min: 0, max: 1}}\nmethod: random", "holds no values to run over: "),
        ("param_space: {lr: 'uniform(a, b)'}", "holds no values to run over: "),
    ],
)
def test_a_file_that_cannot_be_said_is_an_error(text: str, said: str) -> None:
    with pytest.raises(SweepFileError, match=f"^f.yaml: {said}"):
        convert(text, "f.yaml")


def test_no_example_of_the_project_is_taken_for_another_tools() -> None:
    for path in (Path(__file__).parents[3] / "include" / "sweeps").glob("*.yaml"):
        assert parse_sweep(path.read_text(), source=path.name).size > 1
