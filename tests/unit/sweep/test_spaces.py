"""Spaces: which combinations run, held against the plainest program that says the same."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_slurm_sweep.errors import SweepFileError
from airflow_slurm_sweep.sweep.sampling import points
from airflow_slurm_sweep.sweep.spec import SweepSpec, load_sweep, parse_sweep

SCALARS = st.one_of(st.integers(-3, 9), st.booleans(), st.sampled_from(["a", "b", "70B"]), st.floats(-2, 2, width=16))
VALUES = st.lists(SCALARS, min_size=1, max_size=4)


def sweep(text: str, most: int = 1000) -> SweepSpec:
    return parse_sweep(f"script_path: a.py\n{text}", source="s.yaml", max_combinations=most)


def ran(spec: SweepSpec) -> list[dict[str, Any]]:
    return [dict(each.parameters) for each in spec.space.combinations]


def fault(text: str, most: int = 1000) -> str:
    with pytest.raises(SweepFileError) as caught:
        sweep(text, most)
    return str(caught.value).removeprefix("s.yaml: ")


def is_met(said: Any, value: Any) -> bool:
    """Say of one value what the documentation says."""
    is_number = type(value) in (int, float)
    if isinstance(said, dict):
        above, below = said.get("above"), said.get("below")
        return (
            (above is None or (is_number and value > above))
            and (below is None or (is_number and value < below))
            and ("not" not in said or not is_met(said["not"], value))
        )
    among = said if isinstance(said, list) else [said]
    return any(value == each and (type(value) is bool) == (type(each) is bool) for each in among)


def reference(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the combinations of a grid, as the documentation of ``sweep:`` has it."""
    section = document.get("sweep", {})
    axes = {key: value for key, value in document.items() if key != "sweep"}
    found: list[dict[str, Any]] = []
    is_product = not section.keys() & {"exclude", "include"}
    for values in itertools.product(*axes.values()):
        each = dict(zip(axes, values, strict=True))
        if (is_product or repr(each) not in map(repr, found)) and not any(
            all(is_met(said, each[key]) for key, said in condition.items()) for condition in section.get("exclude", [])
        ):
            found.append(each)
    for said in section.get("include", []):
        each = {key: said[key] for key in axes}
        if repr(each) not in map(repr, found):
            found.append(each)
    result = []
    for each in found:
        own = dict(each)
        for rule in section.get("rules", []):
            if all(is_met(said, each[key]) for key, said in rule["if"].items()):
                own |= rule["set"]
        for seed in dict.fromkeys(section.get("repeat", {}).get("seed", [None])):
            result.append({**own, **({} if seed is None else {"seed": seed})})
    return result


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    axes = {key: draw(VALUES) for key in draw(st.sampled_from([["x"], ["x", "y"], ["x", "y", "z"]]))}

    def condition() -> dict[str, Any]:
        keys = draw(st.lists(st.sampled_from(sorted(axes)), min_size=1, unique=True))
        limit = st.floats(-2, 2, width=16)
        word = st.fixed_dictionaries({}, optional={"above": limit, "below": limit, "not": SCALARS}).filter(bool)
        return {key: draw(st.one_of(st.sampled_from(axes[key]), VALUES, word)) for key in keys}

    section: dict[str, Any] = {}
    if draw(st.booleans()):
        section["exclude"] = [condition() for _ in range(draw(st.integers(1, 2)))]
    if draw(st.booleans()):
        section["include"] = [{key: draw(SCALARS) for key in axes} for _ in range(draw(st.integers(1, 2)))]
    if draw(st.booleans()):
        section["rules"] = [
            {"if": condition(), "set": {draw(st.sampled_from(["p", "q"])): draw(SCALARS)}}
            for _ in range(draw(st.integers(1, 2)))
        ]
    if draw(st.booleans()):
        section["repeat"] = {"seed": draw(st.lists(st.integers(0, 5), min_size=1, max_size=3))}
    return {**axes, **({"sweep": section} if section else {})}


@settings(max_examples=150, deadline=None)
@given(documents())
def test_a_grid_has_the_combinations_of_the_plain_definition_in_its_order(document: dict[str, Any]) -> None:
    expected = reference(document)
    text = yaml.safe_dump(document, sort_keys=False)
    if not expected:
        assert fault(text) == "sweep.exclude leaves no combination; exclude less"
        return
    spec = sweep(text)
    assert list(map(repr, ran(spec))) == list(map(repr, expected))
    assert spec.size == len(expected)
    assert [each.index for each in spec.space.combinations] == list(range(1, len(expected) + 1))


@st.composite
def searches(draw: st.DrawFn) -> dict[str, Any]:
    forms = [
        {"uniform": [0, 1]},
        {"uniform": [0, 0.5], "step": 0.1},
        {"loguniform": [1e-6, 1e-2]},
        {"int": [2, 12]},
        {"int": [2, 12], "step": 5},
        {"logint": [1, 512]},
        ["a", "b", "c"],
        [1],
    ]
    axes = {key: draw(st.sampled_from(forms)) for key in draw(st.sampled_from([["x"], ["x", "y"], ["x", "y", "z"]]))}
    section: dict[str, Any] = {"search": "random", "trials": draw(st.integers(1, 30)), "seed": draw(st.integers(0, 3))}
    if draw(st.booleans()):
        section["exclude"] = [{"x": {"above": draw(st.sampled_from([0, 0.25, 6, 20]))}}]
    return {**axes, "sweep": section}


def count(form: Any) -> float:
    if isinstance(form, list):
        return len(form)
    word, (low, high) = next(iter(form.items()))
    if word in ("int", "logint"):
        return int((high - low) // form.get("step", 1)) + 1
    return round((high - low) / form["step"]) + 1 if "step" in form else float("inf")


@settings(max_examples=100, deadline=None)
@given(searches())
def test_a_search_has_its_trials_without_repetition_in_the_space_and_the_same_again(document: dict[str, Any]) -> None:
    text = yaml.safe_dump(document, sort_keys=False)
    section = document["sweep"]
    try:
        spec = sweep(text)
    except SweepFileError:
        assert fault(text).startswith("sweep.exclude leaves ")
        return
    found = ran(spec)
    assert len({repr(each) for each in found}) == len(found), "one combination twice"
    axes = {key: form for key, form in document.items() if key != "sweep"}
    product = 1.0
    for form in axes.values():
        product *= count(form)
    if "exclude" not in section:
        assert len(found) == min(section["trials"], product)
    for each in found:
        assert not any(is_met(said["x"], each["x"]) for said in section.get("exclude", []))
        for key, form in axes.items():
            if isinstance(form, list):
                assert each[key] in form
            else:
                low, high = next(iter(form.values()))
                assert low <= each[key] <= high
                assert isinstance(each[key], int) == bool({"int", "logint"} & form.keys())
    assert ran(sweep(text)) == found
    if len(found) == section["trials"] > 1:
        fewer = {**document, "sweep": {**section, "trials": section["trials"] - 1}}
        assert (
            ran(sweep(yaml.safe_dump(fewer, sort_keys=False)))[: section["trials"] // 2]
            == found[: section["trials"] // 2]
        )


def test_points_fill_the_cube_more_evenly_than_chance() -> None:
    """Of 64 points each half of each of ten axes has close to half, and each quarter of two axes close to a quarter."""
    found = list(itertools.islice(points(10, 1), 64))
    for first, second in itertools.combinations(range(10), 2):
        quarter = sum(point[first] < 0.5 and point[second] < 0.5 for point in found)
        assert 8 <= quarter <= 24
    assert all(28 <= sum(point[axis] < 0.5 for point in found) <= 36 for axis in range(10))


def test_a_finite_space_is_exhausted() -> None:
    spec = sweep("a: [1, 2, 3]\nb: [1, 2, 3]\nsweep: {search: random, trials: 40, exclude: [{a: 1, b: 1}]}")
    assert sorted((each["a"], each["b"]) for each in ran(spec)) == [
        (a, b) for a in (1, 2, 3) for b in (1, 2, 3) if (a, b) != (1, 1)
    ]
    assert spec.warnings == ("s.yaml: sweep.trials: 40, but the space has only 8 combinations; all of them run",)


def test_what_little_an_exclusion_leaves_of_a_large_space_is_found() -> None:
    text = "a: {range: [0, 300]}\nb: {range: [0, 300]}\nsweep: {search: random, trials: 20, exclude: [{a: {above: 0}}]}"
    assert len({each["b"] for each in ran(sweep(text))}) == 20


def test_a_product_of_a_million_million_takes_no_time() -> None:
    axes = "".join(f"{key}: {{range: [0, 1000]}}\n" for key in "abcd")
    began = time.process_time()
    spec = sweep(f"{axes}sweep: {{search: random, trials: 40, exclude: [{{a: 1, b: 2}}]}}")
    assert (spec.size, len(ran(spec))) == (40, 40)
    assert time.process_time() - began < 3  # a third of a second on an idle machine
    assert fault(axes) == "1000000000000 combinations, but at most 1000 are allowed (setting max_combinations)"
    assert fault(f"{axes}sweep: {{exclude: [{{a: 1}}]}}").startswith(
        "1000000000000 combinations, of which sweep.exclude leaves some out, but at most 100000 can be looked through; "
    )


def test_the_limit_holds_after_exclusion_and_with_repeats() -> None:
    text = "a: {range: [0, 50]}\nb: {range: [0, 50]}\nsweep: {exclude: [{a: {above: 9}}]"
    assert sweep(f"{text}}}").size == 500
    assert fault(f"{text}, repeat: {{seed: [1, 2, 3]}}}}") == (
        "1500 combinations, but at most 1000 are allowed (setting max_combinations)"
    )
    assert sweep("a: [1, 2]\nb: [1, 2]\nsweep: {search: random, trials: 5000}").size == 4
    many = "sweep: {search: random, trials: 5000000000, exclude: [{a: 1, b: 1}]}"
    assert sweep(f"a: [1, 2]\nb: [1, 2]\n{many}").size == 3
    assert fault("a: {int: [1, 9000]}\nsweep: {search: random, trials: 600, repeat: {seed: [1, 2]}}").startswith(
        "1200 comb"
    )


def test_two_hundred_files_load_within_two_seconds() -> None:
    text = (
        "optim.lr: {loguniform: [1e-7, 1e-4]}\nmodel: [8B, 70B]\ndepth: {int: [2, 12]}\n"
        "sweep:\n  search: random\n  trials: 40\n  repeat: {seed: [1, 2, 3]}\n"
        "  exclude: [{model: 70B, depth: {above: 8}}]\n"
        "  rules: [{if: {model: 70B}, set: {tp: 8}, slurm: {nodes: 8, time: 12:0:0}}]\n"
    )
    began = time.process_time()
    for _ in range(20):
        assert sweep(text).size == 120
    assert (time.process_time() - began) * 10 < 2


def test_included_combinations_are_the_first_trials() -> None:
    text = "lr: {loguniform: [1e-7, 1e-4]}\nkl: [0.01, 0.02]\nbatch: 32\nsweep:\n  search: random\n  trials: 5\n"
    found = ran(sweep(f"{text}  include: [{{lr: 3e-6, kl: 0.05}}, {{lr: 2e-6, kl: 0.01, batch: 64}}]\n"))
    assert found[:2] == [{"lr": 3e-6, "kl": 0.05, "batch": 32}, {"lr": 2e-6, "kl": 0.01, "batch": 64}]
    assert found[2:] == ran(sweep(text))[:3]


def test_an_included_combination_outside_of_a_small_space_is_a_trial_more() -> None:
    spec = sweep("a: [1, 2]\nb: [1, 2]\nsweep: {search: random, trials: 10, include: [{a: 9, b: 9}, {a: 1, b: 1}]}")
    assert sorted(tuple(each.values()) for each in ran(spec)) == [(1, 1), (1, 2), (2, 1), (2, 2), (9, 9)]


def test_a_rule_sets_what_is_not_swept_and_a_list_there_is_one_value() -> None:
    text = "model: [8B, 70B]\ntp: 1\nsweep: {rules: [{if: {model: 70B}, set: {tp: 8, layers: [1, 2]}}]}"
    assert ran(sweep(text)) == [{"model": "8B", "tp": 1}, {"model": "70B", "tp": 8, "layers": [1, 2]}]


def test_joint_choices_change_together() -> None:
    spec = sweep('"model.dim, model.heads": [[512, 8], [1024, 16]]\nlr: [1, 2]')
    assert ran(spec) == [
        {"model.dim": dim, "model.heads": heads, "lr": lr} for dim, heads in ((512, 8), (1024, 16)) for lr in (1, 2)
    ]
    assert spec.parameters == {"model.dim": (512, 1024), "model.heads": (8, 16), "lr": (1, 2)}


def test_each_parameter_has_its_own_included_values() -> None:
    spec = sweep("a: 1\nb: 1\nc: 5\nsweep: {include: [{a: 2}, {a: 3, b: 4}]}")
    assert spec.parameters == {"a": (1, 2, 3), "b": (1, 4), "c": (5,)}


def test_a_table_is_read_beside_the_sweep_file_by_its_header(tmp_path: Path) -> None:
    (tmp_path / "samples.csv").write_text('\ufeffr1,note,sample\n1e-5,"a, b",007\n,x,TRUE\n2.5,y,s-3\n')
    (tmp_path / "s.yaml").write_text('script_path: a.py\n"sample, --r1": {csv: samples.csv}\n')
    assert ran(load_sweep(tmp_path / "s.yaml")) == [
        {"sample": "007", "--r1": 1e-5},
        {"sample": True, "--r1": None},
        {"sample": "s-3", "--r1": 2.5},
    ]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("x,y\n1,2\n,\n ,\n\n3,\n,\n", [1, 3]),
        ('x\n1\n""\n\n3\n', [1, None, 3]),  # a column alone may hold nulls
    ],
)
def test_rows_of_a_table_that_are_empty_are_skipped(tmp_path: Path, text: str, rows: list[object]) -> None:
    (tmp_path / "t.csv").write_text(text)
    (tmp_path / "s.yaml").write_text("script_path: a.py\nx: {csv: t.csv}\n")
    assert [each["x"] for each in ran(load_sweep(tmp_path / "s.yaml"))] == rows


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("True", True), ("FALSE", False), ("Null", None), ("~", None), ("-1.5e3", -1500.0), ("12345e7", 123450000000.0),
        ("0", 0), ("0.5", 0.5), ("-007", "-007"), ("1e999", "1e999"), ("\u0661", "\u0661"), ("tRUE", "tRUE"),
    ],
)  # fmt: skip
def test_a_cell_is_read_as_yaml_reads_it_and_stays_text_with_zeros_in_front(
    tmp_path: Path, cell: str, value: object
) -> None:
    (tmp_path / "t.csv").write_text(f"x,y\n{cell},1\n")
    (tmp_path / "s.yaml").write_text("script_path: a.py\nx: {csv: t.csv}\n")
    ((read,),) = [spec.values() for spec in ran(load_sweep(tmp_path / "s.yaml"))]
    assert (read, type(read)) == (value, type(value))


def test_a_repeat_may_stand_in_a_table(tmp_path: Path) -> None:
    (tmp_path / "seeds.csv").write_text("seed\n1\n2\n")
    (tmp_path / "s.yaml").write_text("script_path: a.py\nlr: 3\nsweep: {repeat: {seed: {csv: seeds.csv}}}\n")
    assert ran(load_sweep(tmp_path / "s.yaml")) == [{"lr": 3, "seed": 1}, {"lr": 3, "seed": 2}]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("include: [{lr: 3, +lr: 4}]", "+lr: sets the same parameter as 'lr'; remove one of them"),
        ("rules: [{if: {lr: 1}, set: {tp: 8, +tp: 4}}]", "+tp: sets the same parameter as 'tp'; remove one of them"),
        (
            "rules: [{if: {lr: 1}, set: {tp: 8}}, {if: {lr: 2}, set: {+tp: 4}}]",
            "+tp: sets the same parameter as 'tp'; remove one of them",
        ),
        (r'include: [{lr: "a\0b"}]', "sweep.include.0.lr: a value cannot contain a NUL character"),
        (r'rules: [{if: {lr: 1}, set: {tp: ["\0"]}}]', "sweep.rules.0.set.tp: a value cannot contain a NUL character"),
    ],
)
def test_included_and_ruled_values_are_held_to_the_same_rules_as_swept_ones(section: str, said: str) -> None:
    assert said in fault(f"lr: [1, 2]\nsweep: {{{section}}}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "csv: t.csv cannot be read: "),
        ("", "csv: t.csv has no column 'a'; its header has: nothing"),
        ("b,c\n1,2\n", "csv: t.csv has no column 'a'; its header has: b, c"),
        ("a,b\n", "csv: expected 1 to 100000 rows below the header of t.csv, got none"),
        ("a,b,a\n1,2,3\n", "csv: t.csv has two columns 'a'; rename one of them"),
        ('a,b\n1,"2\n3,4\n', "csv: t.csv cannot be read: unexpected end of data"),
        ("\n\na,b\n" + "\n1,2" * 100_001, "csv: expected 1 to 100000 rows below the header of t.csv, got 100001"),
        ("a,b\n1,2\n1,2,3\n", "csv: row 2 of t.csv has 3 cells, and the header 2; quote a cell that contains a comma"),
    ],
)
def test_a_table_that_cannot_be_read_is_a_fault(text: str | None, said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "t.csv").write_text(text)
    (tmp_path / "s.yaml").write_text('script_path: a.py\n"a, b": {csv: t.csv}\n')
    with pytest.raises(SweepFileError) as caught:
        load_sweep(tmp_path / "s.yaml")
    assert said in str(caught.value)


def test_three_thousand_rows_load_quickly(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{n},{n / 7}\n" for n in range(3000)))
    (tmp_path / "s.yaml").write_text('script_path: a.py\n"a, b": {csv: t.csv}\n')
    began = time.process_time()
    assert load_sweep(tmp_path / "s.yaml", max_combinations=3000).size == 3000
    assert time.process_time() - began < 3  # a third of a second on an idle machine


@pytest.mark.parametrize(
    ("form", "values"),
    [
        ("{range: [0, 10, 2]}", [0, 2, 4, 6, 8]),
        ("{range: [3]}", [0, 1, 2]),
        ("{range: [1, 0, -0.25]}", [1.0, 0.75, 0.5, 0.25]),
        ("{linspace: [0, 1, 5]}", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("{linspace: [0, 1, 11]}", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        ("{geomspace: [1e-6, 1e-3, 4]}", [1e-6, 1e-5, 1e-4, 1e-3]),
        ("{values: [1, a]}", [1, "a"]),
        ("{value: 3}", [3]),
        ("{distribution: categorical, values: [x, y]}", ["x", "y"]),
        ("{distribution: constant, value: x}", ["x"]),
        ("[{range: [0, 10, 2]}]", [{"range": [0, 10, 2]}]),
    ],
)
def test_a_form_is_a_list(form: str, values: list[object]) -> None:
    found = sweep(f"x: {form}").parameters["x"]
    assert list(map(repr, found)) == list(map(repr, values))


@pytest.mark.parametrize(
    ("form", "same"),
    [
        ("{distribution: uniform, min: 0, max: 1}", "{uniform: [0, 1]}"),
        ("{distribution: q_uniform, min: 0, max: 1, q: 0.25}", "{uniform: [0, 1], step: 0.25}"),
        ("{distribution: int_uniform, min: 2, max: 12}", "{int: [2, 12]}"),
        ("{distribution: log_uniform_values, min: 1e-7, max: 1e-4}", "{loguniform: [1e-7, 1e-4]}"),
        ("{distribution: q_log_uniform_values, min: 8, max: 512, q: 1}", "{logint: [8, 512]}"),
    ],
)
def test_a_distribution_of_wandb_is_the_form_of_ours(form: str, same: str) -> None:
    search = "\nsweep: {search: random, trials: 9}"
    assert ran(sweep(f"x: {form}{search}")) == ran(sweep(f"x: {same}{search}"))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{distribution: log_uniform, min: -9.21034, max: 0}", "write x: {loguniform: [0.0001, 1.0]}"),
        ("{distribution: normal, mu: 1, sigma: 0.5}", "write x: {uniform: [0.0, 2.0]}"),
        ("{min: 0, max: 8}", "write x: {int: [0, 8]}"),
        ("{min: 0.0, max: 0.5}", "write x: {uniform: [0.0, 0.5]}"),
        ("{values: [1, 2], probabilities: [0.1, 0.9]}", "write x: [1, 2]"),
        ("{distribution: q_uniform, min: 0, max: 1, q: 0.3}", "write x: {uniform: [0, 0.9], step: 0.3}"),
        ("{type: float, low: 1e-5, high: 0.1, log: true}", "write x: {loguniform: [1.0e-05, 0.1]}"),
    ],
)
def test_another_tools_mapping_is_refused_with_what_to_write(value: str, said: str) -> None:
    assert said in fault(f"x: {value}\nsweep: {{search: random, trials: 3}}")


@pytest.mark.parametrize(
    "form",
    ["uniform: [1000000, 1000001]", "loguniform: [0.1, 0.1000001]", "uniform: [1e12, 1.000000000001e12], step: 0.1"],
)
def test_numbers_of_a_narrow_range_differ(form: str) -> None:
    spec = sweep(f"x: {{{form}}}\nsweep: {{search: random, trials: 11}}")
    assert len({each["x"] for each in ran(spec)}) == 11


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x: {uniform: [1.0, 1.0000000000000002]}\nsweep: {search: random, trials: 9}", "the space has so few values that 2 of 9 trials were found; lower sweep.trials"),
        ("x: {range: []}", "x: expected a form such as {range: [0, 10, 2]}, without its end; got {range: []}"),
        ("x: {range: [0, 1, 0]}", "x: expected a form such as {range: "),
        ("x: {range: [0, 1000000]}", "x: {range: [0, 1000000]} has 1000000 values, but at most 100000 are read; give it fewer"),
        ("x: {range: [0, true]}", "x: expected a form such as {range: "),
        ("x: {range: [0, 2], step: 1}", "x: expected a form such as {range: "),
        ("x: {linspace: [0, 1]}", "x: expected a form such as {linspace: [0, 1, 5]}; got {linspace: [0, 1]}"),
        ("x: {geomspace: [0, 1, 3]}", "x: expected a form such as {geomspace: [1e-6, 1e-3, 4]}; got {geomspace: [0, 1, 3]}"),
        ("x: {uniform: [1, 0]}", "x: expected a form such as {uniform: [0.1, 0.4]}, or with a step"),
        ("x: {uniform: [0, 1], step: 0.3}", "x: expected a form such as {uniform: [0.1, 0.4]}, or with a step that divides it"),
        ("x: {loguniform: [0, 1]}", "x: expected a form such as {loguniform: [1e-7, 1e-4]}, both above 0; got"),
        ("x: {loguniform: [1, 9], step: 2}", "x: expected a form such as {loguniform: [1e-7, 1e-4]}, both above 0; got"),
        ("x: {int: [0.5, 2]}", "x: expected a form such as {int: [2, 12]}"),
        ("x: {logint: [0, 2]}", "x: expected a form such as {logint: [8, 512]}"),
        ("x: {uniform: [0, .inf]}", "x: expected a form such as {uniform: [0.1, 0.4]}"),
        ("x: {linspac: [0, 1, 5]}", "x: expected a list of values, got a mapping; did you mean {linspace: [0, 1, 5]}?"),
        ("x: {lr: 1}", "x: expected a list of values, got a mapping (write nested keys with dots: optim.lr)"),
        ("x: {csv: 1}", "x: expected {csv: FILE} with the name of a file beside the sweep file, got 1"),
        ("x: {csv: a.csv, b: 1}", "x: expected {csv: FILE} alone, got b beside it"),
        ("x: {csv: a.csv}", "x: csv: a.csv would stand beside the sweep file, but this sweep is text; list the values"),
        ('"a, b": [[1, 2], [3]]', "a, b: expected a list of lists of 2 values, such as [[a1, b1]], got [3]"),
        ('"a, b": 5', "a, b: expected a list of lists of 2 values, such as [[a1, b1]], got null"),
        ('"a, b": [[1, 2]]\nb: 1', "b: sets the same parameter as 'b'; remove one of them"),
        ('"a, a": [[1, 2]]', "a: sets the same parameter as 'a'; remove one of them"),
        ("x: {uniform: [0, 1]}", "x: {uniform: [0, 1]} is drawn by a search; add sweep: {search: random, trials: 40}"),
        ("x: 1\nsweep: {search: random}", "sweep: search is random, and trials is missing; add trials: 40"),
        ("x: 1\nsweep: {trials: 4}", "sweep: trials is of a search; add search: random"),
        ("x: 1\nsweep: {seed: 4}", "sweep: seed is of a search; add search: random"),
        ("x: 1\nsweep: {search: bayes, trials: 4}", "sweep.search: expected 'random' or 'tpe', got 'bayes'"),
        ("x: 1\nsweep: {search: random, trials: 0}", "sweep.trials: expected greater than or equal to 1, got 0"),
        ("x: [1, 2]\nsweep: {search: random, trials: 1, include: [{x: 1}, {x: 2}]}", "sweep: include has 2 combinations, but trials is 1; raise trials"),
        ("x: 1\nsweep: {exclude: {x: 1}}", "sweep.exclude: expected a list, got {'x': 1}"),
        ("x: 1\nsweep: {exclude: [{}]}", "sweep.exclude.0: expected parameters with values, such as {optim.lr: 1e-5}, got none"),
        ("x: 1\nsweep: {exclude: [{y: 1}]}", "sweep.exclude.0: 'y' is none of the parameters that can stand here: x"),
        ("x: 1\nsweep: {exclude: [{x: {above: a}}]}", "sweep.exclude.0: x: expected {above: 1}, {below: 2} or {not: [3, 4]}, got {above: a}"),
        ("x: 1\nsweep: {exclude: [{x: {above: 1, over: 2}}]}", "sweep.exclude.0: x: expected {above: 1}"),
        ("x: [1, 2]\ny: [1, 2]\nsweep: {include: [{x: 1}]}", "sweep.include.0: expected a whole combination; y is missing"),
        ("x: [1, 2]\nsweep: {include: [{x: 1, z: 1}]}", "sweep.include.0: 'z' is none of the parameters"),
        ("x: [1, 2]\nsweep: {rules: [{if: {x: 1}}]}", "sweep.rules.0: expected set or slurm beside if, such as slurm: {nodes: 8}"),
        ("x: [1, 2]\nsweep: {rules: [{set: {y: 1}}]}", "sweep.rules.0.if: missing; expected the keys if, set, slurm"),
        ("x: [1, 2]\nsweep: {rules: [{if: {x: 1}, set: {x: 3}}]}", "sweep.rules.0.set.x: is swept, and a rule may set other parameters only"),
        ("x: [1, 2]\nsweep: {rules: [{if: {x: 1}, set: {two words: 3}}]}", "sweep.rules.0.set.two words: expected a parameter's name"),
        ("x: [1, 2]\nsweep: {repeat: {s: [1, 2]}, rules: [{if: {x: 1}, set: {s: 3}}]}", "sweep.rules.0.set.s: is swept"),
        ("x: [1, 2]\nsweep: {rules: [{if: {x: 1}, slurm: {node: 3}}]}", "sweep.rules.0.slurm.node: unknown key 'node'; did you mean 'nodes'?"),
        ("x: [1, 2]\nsweep: {rules: [{if: {x: 1}, slurm: {submit: array}}]}", "sweep.rules.0.slurm: all jobs of a run have the same submit; set it in the section slurm"),
        ("x: 1\nsweep: {repeat: {s: {uniform: [0, 1]}}}", "sweep.repeat: expected lists of values, got {uniform: [0, 1]}"),
        ("x: 1\nsweep: {repeat: {x: [1, 2]}}", "x: sets the same parameter as 'x'; remove one of them"),
        ("x: 1\nsweep: {repeat: {s: []}}", "s: expected a list of values, got an empty one"),
        ("x: 1\nsweep: {exclude: [{x: 1}]}", "sweep.exclude leaves no combination; exclude less"),
        ("x: {uniform: [0, 1]}\nsweep: {search: random, trials: 9, exclude: [{x: {below: 2}}]}", "sweep.exclude leaves so little that 0 of 9 trials were found; exclude less"),
    ],
)  # fmt: skip
def test_a_wrong_form_is_one_fault_that_shows_what_to_write(text: str, said: str) -> None:
    assert fault(text).startswith(said)
    assert "\n" not in fault(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x: [1, 2]\nsweep: {exclude: [{x: 3}]}", "sweep.exclude.0: {x: 3} matches no combination"),
        ("x: [1, 2]\nsweep: {rules: [{if: {x: {above: 2}}, set: {y: 1}}]}", "sweep.rules.0: {x: {above: 2}} matches no combination"),
        ("x: [1, 2]\nsweep: {exclude: [{x: 1}], rules: [{if: {x: 1}, set: {y: 1}}]}", "sweep.rules.0: {x: 1} matches no combination"),
        ("x: {uniform: [0, 1]}\nsweep: {search: random, trials: 3, exclude: [{x: 0.5}]}", "sweep.exclude.0: {x: 0.5} matches no combination"),
        ("x: {int: [0, 9]}\nsweep: {search: random, trials: 3, exclude: [{x: {above: 9}}]}", "sweep.exclude.0: {x: {above: 9}} matches no combination"),
        ("x: {int: [0, 900]}\nsweep: {search: random, trials: 3, exclude: [{x: 77}]}", None),
        ("x: [1, 2, 1, 1.0, true]", "x: some values stand there twice, and their combinations run twice"),
        ("x: [1, 2, 1]\nsweep: {exclude: [{x: 2}]}", "x: some values stand there twice; each runs once"),
    ],
)  # fmt: skip
def test_what_never_matches_is_a_warning(text: str, said: str | None) -> None:
    assert sweep(text).warnings == (() if said is None else (f"s.yaml: {said}",))
