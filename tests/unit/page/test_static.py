"""The page's own files, and what of them needs no browser; npm checks the JavaScript besides."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_slurm_sweep import page

FILES = sorted((Path(page.__file__).parent / "static").iterdir())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_lines_and_files_are_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 120] == []
    assert len(lines) <= 300


Evaluate = Callable[[str], Any]


@pytest.fixture(scope="module")
def evaluate(tmp_path_factory: pytest.TempPathFactory) -> Evaluate:
    """Return the value of an expression, in Node; ``await load("dom")`` gives what dom.js exports."""
    folder = tmp_path_factory.mktemp("page") / "static"
    shutil.copytree(FILES[0].parent, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    program = """
        const element = { append() {}, setAttribute() {} };
        globalThis.document = { baseURI: "http://localhost/slurm_sweep/", createElementNS: () => element };
        const load = (name) => import(`./${name}.js`);
        console.log(JSON.stringify(%s));
    """

    def evaluate(expression: str) -> Any:
        command = ["node", "--input-type=module", "--eval", program % expression]
        return json.loads(subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE).stdout)

    return evaluate


def test_a_whole_number_has_all_of_its_digits(evaluate: Evaluate) -> None:
    numbers = [1048576, -1234567, 0.12345678, 1e-6, 0]
    texts = evaluate(f'{numbers}.map((await load("dom")).short)')
    assert texts == ["1048576", "-1234567", "0.123457", "1e-6", "0"]


@pytest.mark.parametrize(("text", "zoomed"), [("1,5", [1, 5]), ("-Infinity,Infinity", None), ("1", None), ("", None)])
def test_curves_zoom_to_finite_steps(evaluate: Evaluate, text: str, zoomed: list[float] | None) -> None:
    assert evaluate(f'new (await load("zoom")).Zoom("{text}").range') == zoomed


def test_a_heat_map_of_no_combination_says_so(evaluate: Evaluate) -> None:
    points = '[{ parameters: ["1", "2"], y: 3, matches: false }]'
    found = evaluate(f'(await load("heatmap")).heatmap({points}, {{ x: 0, y: 1, names: ["a", "b"], metric: "loss" }})')
    assert found == "No combination that the filter leaves has loss."


def test_text_in_a_file_for_spreadsheets_is_no_formula(evaluate: Evaluate) -> None:
    texts = ["=1+x", "@a", "-x", "-1e-06", "-Infinity", "a=1"]
    lines = evaluate(f'(await load("csv")).csv([{{ id: "n", text: (row) => row }}], {texts})').splitlines()
    assert lines == ["n", "'=1+x", "'@a", "'-x", "-1e-06", "-Infinity", "a=1"]


EMPTY = dict.fromkeys(["name", "label", "stage", "state", "reason", "cause", "job_id", "nodes"], "")


@pytest.mark.parametrize(("words", "found"), [("failed:", [1]), ("nonzero", [1]), ("cuda failed: memory", [1])])
def test_words_filter_by_what_a_row_shows(evaluate: Evaluate, words: str, found: list[int]) -> None:
    failed = {"state": "FAILED", "reason": "NonZeroExitCode", "cause": "train.py: CUDA out of memory"}
    run = json.dumps({"parameters": [], "combinations": [{**EMPTY, "parameters": [], **row} for row in ({}, failed)]})
    matches = evaluate(f'{run}.combinations.map((await load("columns")).wordFilter({run}, "{words}"))')
    assert [place for place, is_match in enumerate(matches) if is_match] == found


@pytest.mark.parametrize(
    ("words", "found"),
    [("lr=1", [1]), ("optim.lr=1", [0]), ("seed=1", [1]), ("run=b", [1]), ("text=a=2", [1]), ("=2", [1])],
)
def test_a_word_filters_by_the_parameter_of_that_name(evaluate: Evaluate, words: str, found: list[int]) -> None:
    keys = [("optim.lr", "optim.lr"), ("lr", "lr"), ("data.seed", "seed"), ("compared run", "run"), ("text", "text")]
    parameters = [{"key": key, "name": name} for key, name in keys]
    rows = [["1", "2", "2", "A", "a=1"], ["2", "1", "1", "B", "a=2"]]
    run = json.dumps({"parameters": parameters, "combinations": [{**EMPTY, "parameters": row} for row in rows]})
    matches = evaluate(f'{run}.combinations.map((await load("columns")).wordFilter({run}, "{words}"))')
    assert [place for place, is_match in enumerate(matches) if is_match] == found
