"""What each job runs: commands, placeholders and presets, and the faults that only these tell."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from shlex import split

import pytest

from airflow_slurm_sweep.errors import SettingsError, SweepFileError
from airflow_slurm_sweep.plan import RunPlan, layers_of, plan_run
from airflow_slurm_sweep.slurm.job import JOB_SCRIPT, JobRequest
from airflow_slurm_sweep.slurm.submit.answer import submitted_job
from airflow_slurm_sweep.sweep.command import read_command
from airflow_slurm_sweep.sweep.layers import Folders
from airflow_slurm_sweep.sweep.presets import load_preset
from airflow_slurm_sweep.sweep.run_command import warnings
from airflow_slurm_sweep.sweep.settings import RunOptions
from airflow_slurm_sweep.sweep.simple_commands import last_command, lost_status
from airflow_slurm_sweep.sweep.spec import load_sweep, parse_sweep
from tests.layers import make_layers


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("x {a}", "x 'A B'"),
        ("x --a={a}/{b}", "x --a='A B'/B"),
        ("echo ${a} {{a}} {{print $1}} {a,b} {1..3} ${x:-{b}}", "echo ${a} {a} {print $1} {a,b} {1..3} ${x:-B}"),
        ("awk '{print $1}' # {a}\nx {b}", "awk '{print $1}' # {a}\nx B"),
        ("echo '{other}' \"{'k': 1}\" '{{a}}'", "echo '{other}' \"{'k': 1}\" '{a}'"),
        ('x "$(basename {b})"', 'x "$(basename B)"'),
        ("cat <<E {a}\n$B\nE\necho {b}", "cat <<E 'A B'\n$B\nE\necho B"),
        ("x \\{a} a#{b} <<<{b}", "x \\{a} a#B <<<B"),
        ("x {none} y", "x y"),
        (
            "x {a,b} {c:.3f} {c ${a:-1} {{a:.3f}} \\{a:x} '{a:.3f}' \"{b!r} {b\"",
            "x {a,b} {c:.3f} {c ${a:-1} {a:.3f} \\{a:x} '{a:.3f}' \"{b!r} {b\"",
        ),
        ("{ x; } {b}", "{ x; } B"),
        ("x {{{b}}} {{{{b}}}} {{ ${a}; {b}; }} }}", "x {B} {{b}} { ${a}; B; } }}"),
        ("x {none}", "x"),
    ],
)
def test_placeholders_are_replaced_where_the_shell_reads_a_word(text: str, rendered: str) -> None:
    words = {"a": ["A B"], "b": ["B"], "none": []}
    assert read_command(text, dict.fromkeys(words, "")).render(words.__getitem__) == rendered


@pytest.mark.parametrize("said", ["{a:.3f}", "{a!r}", "{a:}", "{a"])
@pytest.mark.parametrize("text", ["x SAID", "x --a=SAID {b}", "x $(y SAID)", "x SAID; y", "SAID\ny", '"$(x SAID)"'])
def test_a_placeholder_with_a_format_or_without_its_brace_is_an_error(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(said)} is no placeholder; write {{a}}, which has the value"):
        read_command(text.replace("SAID", said), {"a": "", "b": ""})


@pytest.mark.parametrize(
    ("text", "where", "cure"),
    [
        ("echo '{a}'", "quotes", "or write $SWEEP_A there, in double quotes"),
        ("echo $'\\'{a}'", "quotes", "or write $SWEEP_A there, in double quotes"),
        ('echo "{a}"', "double quotes", "or write $SWEEP_A there, in double quotes"),
        ('echo "$(basename "{a}")"', "double quotes", "or write $SWEEP_A there, in double quotes"),
        ('echo "${x:-"{a}"}"', "double quotes", "or write $SWEEP_A there, in double quotes"),
        ("bash -c 'x {flags}'", "quotes", "take it out of there, as in bash -c '… \"$@\"' _ {flags}"),
        ("echo `echo {a}`", "backticks", "write $(…) in place of the backticks"),
        ("cat <<E\n{a}\nE", "a here-document", "or write $SWEEP_A there, behind a delimiter without quotes"),
        ("cat <<-'E F' <<G\nx\n\tE F\n{flags}\nG", "a here-document", "; take it out of there"),
    ],
)
def test_a_placeholder_within_quotes_is_an_error_that_says_what_to_write(text: str, where: str, cure: str) -> None:
    with pytest.raises(ValueError, match=rf"^the placeholder \{{\w+\}} stands within {where}, .*{re.escape(cure)}$"):
        read_command(text, {"a": "SWEEP_A", "flags": ""})


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("{run_dir}", "$BASE_LOG_DIR there"),
        ("{nodes}", "$NUM_ACTOR_NODES there"),
        ("{gpus_per_node}", "$GPUS_PER_NODE there"),
        ("{parameters_file}", "$BASE_LOG_DIR/parameters.json there"),
        ("{--amp}", "$SWEEP_AMP there"),
        ("{job_name}", "_ {job_name}"),
    ],
)
def test_a_placeholder_within_quotes_has_the_variable_that_the_job_finds(text: str, cure: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(cure)):
        plain(f'command: x "{text}" {{flags}}\n--amp: [true, false]')


@pytest.mark.parametrize("said", ["$SWEEP_LRR", "${SWEEP_LRR}", "$(y '$SWEEP_LRR')"])
def test_a_variable_of_no_parameter_is_an_error(said: str) -> None:
    with pytest.raises(
        SettingsError, match=r"SWEEP_LRR}? is the variable of no parameter, .* did you mean \$SWEEP_LR\?"
    ):
        plain(f"command: x {{flags}} {said}\nlr: 1")


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("x $SWEEP_X", "slurm: {env: {SWEEP_X: a}}"),
        ("x $SWEEP_X", "slurm: {setup: export SWEEP_X=1}"),
        ("x $SWEEP_X", "sweep: {rules: [{if: {lr: 1}, slurm: {env: {SWEEP_X: a}}}]}"),
        ("for SWEEP_X in 1 2; do x $SWEEP_X; done", ""),
        ("true ${SWEEP_X:=1}; x $SWEEP_X # $SWEEP_Y", ""),
        ("x ${SWEEP_X:-}", ""),
    ],
)
def test_a_variable_that_something_sets_may_stand_in_the_command(command: str, more: str) -> None:
    assert len(plain(f"command: 'a {{flags}}; {command}'\nlr: [1, 2]\n{more}").jobs) == 2


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("x --lr {{ lr }}", "{{ lr }} is the text { lr }, no placeholder; write {lr}"),
        ("x '--lr={{lr }}' {flags}", "{{lr }} is the text {lr }, no placeholder; write {lr}"),
        ("x {{ run_dir}} {flags}", "{{ run_dir}} is the text { run_dir}, no placeholder; write {run_dir}"),
        *(
            (
                text,
                f"nothing sets {said}, so that it would be empty; write {{lr}} or $SWEEP_LR. Where",
            )
            for text, said in [
                ("x --out runs/$lr", "$lr"),
                ("x {flags} lr=${lr}", "${lr}"),
                ('x {flags} --lr="$lr"', "$lr"),
                ("echo 'lr' read; x $(y $lr) {flags}", "$lr"),
                ("source venv/bin/activate && x $lr {flags}", "$lr"),
            ]
        ),
    ],
)
def test_a_parameter_in_the_form_of_jinja_or_of_the_shell_is_an_error(command: str, fault: str) -> None:
    with pytest.raises(SettingsError, match=f"^command: {re.escape(fault)}"):
        plain(f"command: |\n  {command}\nlr: 1")


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("x {{lr}} {{{{ lr }}}} {{ other }} # {{ lr }} $lr", ""),
        ("awk '{print $lr}' \\$lr $$lr ${lr:-} $LR $lr_max `y $lr`", ""),
        ("cat <<E\n  $lr\n  E", ""),
        ("lr=5; x $lr", ""),
        ("lr=${lr:-5}; x $lr", ""),
        ("time source values.sh; x $lr", ""),
        ("x $lr", "slurm: {setup: source scripts/activate.sh}"),
        ("for lr in 1 2; do x $lr; done", ""),
        ("read -r a lr < f; x $lr", ""),
        ("export a lr; x $lr", ""),
        ("((lr = 5)); x $lr", ""),
        (": ${lr:=5}; x $lr", ""),
        ("if y; then . ./values; fi; x $lr", ""),
        ("x $lr", "slurm: {env: {lr: a}}"),
        ("x $lr", "slurm: {setup: lr=1}"),
        ("x $SEED", "SEED: 1"),
    ],
)
def test_what_only_looks_like_a_parameter_is_the_shells(command: str, more: str) -> None:
    assert plain(f"command: |\n  a {{flags}}; {command}\nlr: 1\n{more}").jobs


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ("{env: {RUN: 'run-{lr}'}}", "env: RUN: {lr} is a placeholder of `command` only, got 'run-{lr}'; in `setup` "),
        (
            "{setup: 'mkdir -p out/{lr}'}",
            "setup: {lr} is a placeholder of `command` only, got 'mkdir -p out/{lr}'; in ",
        ),
    ],
)
def test_a_placeholder_of_a_parameter_outside_of_the_command_is_an_error(section: str, fault: str) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(fault)}.*SWEEP_LR is its value$"):
        plain(f"command: a {{flags}}\nlr: 1\nslurm: {section}")
    assert plain("command: a {flags}\nlr: 1\nslurm: {env: {A: '${lr} {{lr}} {x}'}, setup: \"echo '{lr}' {x}\"}").jobs


# Exit status

PIPE = "a pipe has the exit status of its last command, tee, "
LATER = "the job has the exit status of touch, so that it succeeds although the training before it fails; "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x {flags} | tee log", PIPE),
        ("cd y && x {flags} 2>&1 |& grep -v warn | tee {run_dir}/log && touch done", PIPE),
        ("set -e\nx --lr $SWEEP_LR \\\n  | tee log", PIPE),
        ("x {flags} > >(tee log)", ""),
        ("set -euo pipefail\nx {flags} | tee log", ""),
        ("x {flags} | tee log; exit ${PIPESTATUS[0]}", ""),
        ("x --re 'a|b' {flags} \\| tee # | tee", ""),
        ("x {flags} || echo failed | tee log", ""),
        ("case $A in\n  a|b) x {flags} | tee log ;;\nesac", ""),
        ("cat <<E | tee log\na | tee\nE\nx {flags}", ""),
        ("echo {json} | tee log\nx {flags}", ""),
        ("x {flags} | tee config.json\npython y --config config.json", ""),
        ("x {flags} | tee log\ngrep -q finished log", ""),
        ("y {lr} | x", ""),
        ("(x {flags} | tee log)", ""),
        ("#!/bin/bash -e\nx {flags}\n\ntouch done # so", LATER),
        ("cd y && x {flags}; echo; touch done", LATER),
        ("x {flags} && touch done", ""),
        ("x {flags} || touch failed", ""),
        ("set -x -e\nx {flags}\ntouch done", ""),
        ("x {flags}\nstatus=$?\ntouch done\nexit $status", ""),
        ("trap y EXIT\nx {flags}\ntouch done", ""),
        ("if x {flags}; then touch done; fi", ""),
        ("x {flags}\ny\ntouch done", ""),
        ("x {flags}\n# touch done", ""),
        ("sed s/a/{lr}/ b > c\nx c", ""),
        ("touch begun\nx {flags}", ""),
        ("nohup x {flags} > log 2>&1 & # later", "it ends in `&`, "),
        ("x {flags} \\&", ""),
        ("x {flags} &\nwait", "`wait` alone succeeds although the training fails; "),
        ("x {flags} &\nwait $!", ""),
    ],
)
def test_a_command_that_hides_the_exit_status_of_the_training(text: str, said: str) -> None:
    assert lost_status(text, "").startswith(said)
    assert bool(lost_status(text, "")) == bool(said)
    assert bool(lost_status(text, "module load x\nset -eo pipefail")) == said.startswith("it ends")


def test_a_hidden_exit_status_is_a_warning() -> None:
    planned = plain("command: x {flags} | tee log\nlr: 1")
    assert planned.notes[1:] == [f"s.yaml: command: {lost_status('x {flags} | tee log', '')}"]
    assert plain("command: x {flags} | tee log\nlr: 1\nslurm: {setup: set -o pipefail}").notes[1:] == []


@pytest.mark.parametrize(
    ("env", "notes"),
    [
        (
            "{A: $HOME/x}",
            ['env: A has $HOME as it is, since no shell replaces it there; write in `setup`: export A="…"'],
        ),
        (
            "{PATH: '/opt/x:/y'}",
            [
                "env: PATH has neither /usr/bin nor /bin, where a job finds rm, mv and date; write in `setup`: export "
                "PATH=/opt/x:/y:$PATH"
            ],
        ),
        ("{PATH: '/opt/x:/bin', A: '+ $LINENO', B: pa$s, LD_PRELOAD: $ORIGIN/x, C: {variable: $X}}", []),
    ],
)
def test_values_of_env_in_which_no_shell_replaces_anything_are_warned_of(env: str, notes: list[str]) -> None:
    planned = plain(f"command: x {{flags}}\nlr: 1\nslurm: {{env: {env}}}")
    assert planned.notes[1:] == [f"s.yaml: slurm: {note}" for note in notes]


# The checks of a sweep file with its preset


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "script_path: a.py\nslurm: {nodes: 1}\ncluster.num_nodes: [1, 2]",
            "cluster.num_nodes: the parameter is 1, 2, but slurm.nodes is 1; remove one of them",
        ),
        (
            "script_path: a.py\nslurm: {gpus_per_node: 8}\n+cluster.gpus_per_node: 4",
            "+cluster.gpus_per_node: the parameter is 4, but slurm.gpus_per_node is 8; remove one of them",
        ),
        ("script_path: my script.py", "slurm.jobname: missing; the name 'my script.py' is not a valid job name"),
        (
            "lr: 1",
            "script_path: missing; the command is 'uv run {script_path} {config_arguments} {overrides}'. Name the "
            "training script, relative to the working directory on the cluster, or a command of yours",
        ),
        ("preset: plain\nlr: 1", "command: missing; write in the sweep file or the profile what each job runs"),
        ("command: a {lrr}\nlr: 1", "command: unknown placeholder {lrr}; did you mean {lr}? Valid ones: {base}, "),
        ("command: a {flags}\nlr: [[1, 2]]", "lr: [1, 2] has no form as a flag, since a repeated flag counts once"),
        ("command: a {index}\nindex: 1", "command: {index} is a parameter and a placeholder of ours; call"),
        ("command: a {flags}\na.b: 1\na_b: 2", "the parameters 'a.b' and 'a_b' are both SWEEP_A_B in the environment"),
        (
            'script_path: a.py\ndeep: [{"it\'s": 1}]',
            'deep: Hydra\'s grammar cannot express the mapping key "it\'s" (it has no quoted keys), in {"it\'s": 1}',
        ),
        ("command: a {config_path}\nlr: 1", "config_path: missing; the command is 'a {config_path}'. Name the config"),
        (
            "command: python a.py ${args}\nlr: 1",
            "command: ${args} is a macro of W&B's, which no shell knows; write {flags}",
        ),
        (
            "command: python a.py --data ${envvar:DATA} {flags}\nlr: 1",
            "command: ${envvar:DATA} is a macro of W&B's, which no shell knows; write $DATA",
        ),
        ("command: echo '{lr}'\nlr: 1", "command: the placeholder {lr} stands within quotes"),
        ("command: 'for i in 1; do x; done'\nlr: 1", "command: the command has no placeholder of parameters, and is"),
        ("command: python t.py; echo end\nlr: 1", "command: the command has no placeholder of parameters, and is more"),
        (
            "preset: nemo\nscript_path: a",
            "preset 'nemo': there is no such preset; existing ones: hydra, nemo-rl, plain",
        ),
    ],
)
def test_faults_that_only_the_preset_tells(tmp_path: Path, text: str, fault: str) -> None:
    folders = Folders(include=tmp_path, sweeps=tmp_path, clusters=tmp_path)
    with pytest.raises((SweepFileError, SettingsError)) as caught:
        layers_of(parse_sweep(text, source="s.yaml"), folders, {})
    assert str(caught.value).removeprefix("s.yaml: ").startswith(fault)


# Any command


def plain(text: str, **options: object) -> RunPlan:
    spec = parse_sweep(text, source="s.yaml")
    below = make_layers({"log": "/log"}, preset="plain", command=spec.command)
    return plan_run(replace(spec, name="mine"), below, RunOptions.model_validate(options))


OF_PLAIN = (
    "metrics.json",
    "metrics.jsonl",
    "metrics.csv",
    "lightning_logs/*/metrics.csv",
    "checkpoint-*/trainer_state.json",
)


@pytest.mark.parametrize(
    ("sweep", "profile", "files", "names"),
    [
        ("", {}, OF_PLAIN, {}),
        ("sweep: {metrics: a.csv}", {"metrics": "b.csv"}, ("a.csv",), {}),
        ("", {"metrics": ["b.csv", "c/*.json"]}, ("b.csv", "c/*.json"), {}),
        ("sweep: {metrics: {files: [a.jsonl], names: {val: reward}, step: it}}", {}, ("a.jsonl",), {"val": "reward"}),
        ("sweep: {objective: {metric: reward, goal: maximize}}", {}, OF_PLAIN, {}),
        ("sweep: {metrics: {names: {val: reward}}}", {"metrics": {"step": "it"}}, OF_PLAIN, {"val": "reward"}),
    ],
)
def test_metrics_stand_in_the_sweep_or_the_profile_or_the_preset(
    sweep: str, profile: dict[str, object], files: tuple[str, ...], names: dict[str, str]
) -> None:
    spec = parse_sweep(f"command: a {{flags}}\nlr: [1, 2]\n{sweep}\n", source="s.yaml")
    below = make_layers({"log": "/log", **profile}, preset="plain", command=spec.command)
    job = plan_run(replace(spec, name="mine"), replace(below, sweep=spec.sweep)).jobs[0]
    assert (job.metrics, job.metric_names, job.metric_step) == (files, names, "it" if names else "")
    assert job.objective == ("reward" if spec.sweep.objective else "")
    assert JobRequest.from_json(json.loads(json.dumps(job.to_json()))).metric_names == names
    submitted = submitted_job(job, "7")
    assert (submitted.metrics, submitted.metric_names, submitted.objective) == (files, names, job.objective)


@pytest.mark.parametrize(
    ("metrics", "fault"),
    [
        ("metrics.txt", "expected a file whose name ends in .json, .jsonl, .ndjson, .csv, .tsv, got 'metrics.txt'"),
        ("['{name}.json']", "expected no placeholders but {job_id} and {run_dir}, got {name}"),
        ("{file: a.json}", "unknown key 'file'; did you mean 'files'?"),
        ("3", "expected keys with values, got a number"),
    ],
)
def test_faulty_metrics_are_faults_of_the_file(metrics: str, fault: str) -> None:
    with pytest.raises(SweepFileError, match=re.escape(fault)):
        parse_sweep(f"command: a {{flags}}\nlr: [1, 2]\nsweep: {{metrics: {metrics}}}\n", source="s.yaml")


def test_plain_needs_a_log_directory_and_nothing_else() -> None:
    first, second = plain("command: python train.py {flags} --out {run_dir}\nlr: [0.1, 1e-6]\nseed: 3\n").jobs
    assert first == JobRequest(
        ssh_conn_id="slurm",
        name="mine_sweep_1",
        label="lr=0.1",
        index=1,
        parameters={"lr": 0.1, "seed": 3},
        swept=["lr"],
        command="python train.py --lr=0.1 --seed=3 --out /log/mine/mine_sweep_1",
        run_dir="/log/mine/mine_sweep_1",
        folders=[],
        overrides=(),
        inputs=[],
        script=JOB_SCRIPT,
        metrics=OF_PLAIN,
    )
    assert second.command == "python train.py --lr=1e-06 --seed=3 --out /log/mine/mine_sweep_2"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("{flags}", ["--lr=-1", "--amp", "--t=true", "--note=it's $(x)", "--model.name=-q"]),
        ("{flags_spaced}", ["--lr", "-1", "--amp", "--t", "true", "--note", "it's $(x)", "--model.name=-q"]),
        ("{lr} {amp} {off} {none} {model.name}", ["-1", "true", "false", "null", "-q"]),
        ("{index} {job_name} {nodes} {gpus_per_node} {base} {log} {lr}", ["1", "mine", "2", "0", "mine", "/log", "-1"]),
        ("{parameters_file} x={run_dir}/{lr}", ["/log/mine/mine/parameters.json", "x=/log/mine/mine/-1"]),
        (
            "{overrides}",
            ["lr=-1", "amp=True", "off=False", "none=null", "t='true'", 'note="it\'s $(x)"', "model.name='-q'"],
        ),
    ],
)
def test_placeholders(command: str, words: list[str]) -> None:
    text = (
        f'command: "x {command}"\nlr: -1\namp: true\noff: false\nnone: null\nt: "true"\nnote: it\'s $(x)\n'
        "model.name: -q\n"
    )
    (job,) = plain(text, nodes=2).jobs
    assert split(job.command)[1:] == words


def test_spaced_flags_are_read_by_argparse() -> None:
    parser = ArgumentParser()
    parser.add_argument("--x", type=float)
    for value in ("-1e-5", "-.inf", "-1", "-0.5", "1e-5"):
        (job,) = plain(f"command: a {{flags_spaced}}\nx: {value}").jobs
        assert parser.parse_args(split(job.command)[1:]).x == float(value.replace(".inf", "inf"))


@pytest.mark.parametrize("more", ["slurm: {env: {SWEEP_LR: '7'}}", "slurm: {env: {SWEEP_LR: {variable: lr}}}"])
def test_the_environment_may_not_replace_a_parameter(more: str) -> None:
    with pytest.raises(SettingsError, match=r"^env: SWEEP_LR is the variable of a parameter; remove it"):
        plain(f"command: a {{flags}}\nlr: 1\n{more}")


def test_a_list_has_a_word_for_each_element_where_it_stands_alone() -> None:
    (job,) = plain("command: x --sizes {sizes} --m {m} {json}\nsizes: [[64, a b]]\nm: [[{a: .nan}]]\n").jobs
    assert split(job.command) == [
        *("x", "--sizes", "64", "a b", "--m", '{"a": "NaN"}'),
        '{"sizes": [64, "a b"], "m": [{"a": "NaN"}]}',
    ]
    with pytest.raises(SettingsError, match=r"the placeholder \{sizes\} stands for 2 words here; put blanks around it"):
        plain("command: x --sizes={sizes}\nsizes: [[64, 128]]\n")


@pytest.mark.parametrize("name", ["flags", "flags_spaced"])
def test_a_list_that_stands_alone_is_no_flag(name: str) -> None:
    text = f"command: 'x {{{name}}} --layers {{layers}}'\nlayers: [[1, 2], 3]\namp: true"
    assert [split(job.command) for job in plain(text).jobs] == [
        ["x", "--amp", "--layers", "1", "2"],
        ["x", "--amp", "--layers", "3"],
    ]


def test_parameters_without_a_placeholder_are_flags_at_the_end_and_the_notes_say_so() -> None:
    planned = plain("command: |\n  module load x\n  python train.py\nlr: [1, 2]")
    assert [job.command for job in planned.jobs] == [f"module load x\npython train.py --lr={lr}" for lr in (1, 2)]
    assert planned.notes[1:] == [
        "The command has no placeholder of parameters: {flags} is put at the end of python train.py"
    ]
    named = plain("command: x {lr} $SWEEP_SEED\nlr: [1]\nseed: 2\nother: 3")
    assert named.notes[1:] == ["other: the command finds it as $SWEEP_OTHER only"]


@pytest.mark.parametrize(
    "mention", ["--config base_parameters.json", "${SWEEP_LR_MAX:-1}", "# uses $SWEEP_LR\n  python b.py"]
)
def test_a_mention_of_something_else_does_not_switch_the_flags_off(mention: str) -> None:
    (job,) = plain(f"command: |\n  true {mention}\nlr: 1").jobs
    assert job.command.endswith(" --lr=1")


def test_parameters_that_are_read_from_the_file_are_noted() -> None:
    planned = plain("command: python a.py $PWD/parameters.json\nlr: 1")
    assert planned.jobs[0].command == "python a.py $PWD/parameters.json"
    assert planned.notes[1:] == ["The command finds its parameters in parameters.json only"]


def test_a_reserved_name_with_dashes_is_a_hydra_override_without_them() -> None:
    (job, _) = plain("command: x {overrides}\n--preset: [a, b]").jobs
    assert job.command == "x preset=a"


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("python t.py --tag v1#2 2>&1", "python t.py --tag v1#2 2>&1"),
        ("cd x && python t.py", "python t.py"),
        ("export A=$(date '+%s %N') B=\"a; b\"; conda activate x\nA=1 python t.py", "A=1 python t.py"),
        ("# why\nif [ -f v ]; then source v; fi # so\npython t.py \\\n  --out {run_dir} <<< x", None),
        ("cd x || exit 1\necho {{ > log 2>&1; x", "x"),
        *((text, text) for text in ("bash t.sh -c conf", "bash -x --norc t.sh", "python -c x", "sh t.sh \\\n -c 1")),
        *((text, "") for text in ("bash -c 'x'", 'apptainer exec x.sif /bin/sh -lc "x"', "bash -euo pipefail -c 'x'")),
        *((text, "") for text in ("cd x; time zsh -l -ec 'x'", "bash \\\n  -c 'x'")),
        *(
            (text, "")
            for text in ("python t.py <<EOF\nhello\nEOF", "python t.py; echo finished", "python t.py\necho end")
        ),
        *(
            (text, "")
            for text in ("python t.py || exit 1", "python t.py | tee log", "python t.py 2>&1 >", "x 'a", 'x "a')
        ),
        *(
            (text, "")
            for text in ("x $(a", "x `a", "(cd x; y)", "{ cd x; y; }", "x # so", "x;", "x &", "x \\", "f() { x; }")
        ),
        *(
            (text, "")
            for text in ("x & wait", "a && b", "cd x; fi", "if true; then x", "x >&", "case a in a) b;; esac")
        ),
    ],
)
def test_flags_go_to_the_last_command_where_only_preparations_stand_before_it(text: str, last: str | None) -> None:
    assert last_command(text) == (text.rpartition("so\n")[2] if last is None else last)


@pytest.mark.parametrize(
    ("text", "preset", "note", "base"),
    [
        (
            "command: python t.py {flags}\nscript_path: other.py",
            "nemo-rl",
            "script_path: the command does not use",
            "s",
        ),
        ("command: python t.py {flags}\nconfig_path: c.yaml", "plain", "config_path: the command does not use it", "s"),
        ("command: python t.py {flags}\nscript_path: t.py", "nemo-rl", "", "t"),
        ("command: python {script_path} {flags}\nscript_path: t.py", "nemo-rl", "", "t"),
        ("command: python t.py {flags}\nscript_path: t.py\nconfig_path: c.yaml", "nemo-rl", "", "t"),  # for its counts
        (
            "script_path: t.py\nnodes: 2",
            "nemo-rl",
            "nodes is passed to the script; for Slurm write slurm: {nodes: …}",
            "t",
        ),
        ("script_path: t.py\n++nodes: 2\ngrpo.time: 1", "nemo-rl", "", "t"),
        ("command: python t.py {flags}\nnodes: 2", "plain", "", "s"),
    ],
)
def test_what_a_sweep_says_in_vain_is_noted_and_names_nothing(
    text: str, preset: str, note: str, base: str, tmp_path: Path
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    spec = load_sweep(path)
    layers = make_layers({"log": "/l", "account": None, "container": None}, preset=preset)
    planned = plan_run(spec, layers)
    assert [job.name for job in planned.jobs] == [base]
    assert planned.notes[1:] == warnings(spec, layers)
    assert note in "".join(planned.notes[1:])
    assert len(planned.notes) == 1 + bool(note)
    assert spec.what == ("t.py" if base == "t" else "python t.py {flags}")


def test_overrides_of_the_form_are_yaml_where_the_command_takes_no_hydra_overrides() -> None:
    planned = plain("command: x {flags}\nlr: [1, 2]\nseed: 7", overrides=["lr=5e-1", "note=a b", "amp=true"])
    (job,) = planned.jobs
    assert split(job.command) == ["x", "--seed=7", "--lr=0.5", "--note=a b", "--amp"]
    assert job.parameters == {"seed": 7, "lr": 0.5, "note": "a b", "amp": True}


@pytest.mark.parametrize("more", ["# formerly {overrides}", "${overrides}", "{{overrides}}"])
def test_overrides_that_stand_where_no_placeholder_does_are_not_in_hydras_grammar(more: str) -> None:
    (job,) = plain(f'command: "x {{flags}} {more}"\nlr: [1, 2]', overrides=["lr=5"]).jobs
    assert split(job.command, comments=True)[:2] == ["x", "--lr=5"]


@pytest.mark.parametrize("key", ["lr", "+lr", "++lr", "--lr"])
def test_an_override_in_hydras_grammar_is_a_parameter_that_stands_once_in_the_overrides(key: str) -> None:
    (job,) = plain(f"command: x {{json}} $SWEEP_LR {{overrides}}\n'{key}': [1, 2]\nseed: 7", overrides=["lr=9"]).jobs
    assert split(job.command) == ["x", json.dumps({"seed": 7, key: 9}), "$SWEEP_LR", "seed=7", "lr=9"]
    assert job.parameters == {"seed": 7, key: 9}
    (job,) = plain("command: x --run {lr} {overrides}\nlr: [1, 2]", overrides=["lr='a b'"]).jobs
    assert split(job.command) == ["x", "--run", "a b", "lr='a b'"]
    (job,) = plain(f"command: x {{overrides}}\n'{key}': [1, 2]\nseed: 7", overrides=["~lr"]).jobs
    assert (split(job.command), job.parameters) == (["x", "seed=7", "~lr"], {"seed": 7})


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("+lr=1", "overrides: expected name=value, got '+lr=1'"),
        ("a b=1", "overrides: expected a parameter's name such as lr or --lr, got 'a b'"),
        ('"lr"=1', "overrides: expected a parameter's name such as lr or --lr, got '\"lr\"'"),
        ("lr=", "overrides: lr: expected a value, got nothing; write lr=null"),
        ("lr=1,2", "overrides: lr: expected one value, got '1,2'; write lr=\"1,2\" to mean the text"),
        ("lr=choice(1, 2)", "overrides: lr: expected one value, got 'choice(1, 2)'"),
    ],
)
def test_an_override_that_no_parameter_can_have_is_an_error(override: str, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        plain("command: x {flags}\nlr: 1\n--seed: 1", overrides=[override])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a:1}", {"a": 1}),
        ("{10:0.1}", {10: 0.1}),
        ("1_000", 1000),
        (r"a\,b", "a,b"),
        (r"'it\'s'", "it's"),
        ("007", "007"),
    ],
)
def test_an_override_of_a_parameter_has_the_value_that_hydra_reads(text: str, value: object) -> None:
    (job,) = plain("command: x {overrides}\nm: [1, 2]", overrides=[f"m={text}"]).jobs
    assert (split(job.command)[1], job.parameters) == (f"m={text}", {"m": value})


@pytest.mark.parametrize("value", ["3,4", "choice(3,4)", "a,b", "[1],[2]"])
def test_an_override_in_hydras_grammar_has_one_value(value: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"overrides: a: expected one value, got '{value}'; write a=")):
        plain("command: x {overrides}\na: [1, 2]", overrides=[f"a={value}"])
    (job,) = plain("command: x {overrides}\na: [1, 2]", overrides=[f"a='{value}'"]).jobs
    assert split(job.command) == ["x", f"a='{value}'"]


@pytest.mark.parametrize(
    ("override", "command"),
    [
        ("lr = 0.1 ", "x --lr=0.1"),
        (" lr=0.1", "x --lr=0.1"),
        ('lr="1,2"', "x --lr=1,2"),
        ("lr=''", "x --lr="),
        ("lr=null", "x"),
        ("lr=#fff", "x '--lr=#fff'"),
        ("lr=exp #1", "x '--lr=exp #1'"),
        ("lr='#1' # one", "x '--lr=#1'"),
        ("lr=Answer: yes", "x '--lr=Answer: yes'"),
        ("lr=[1, 2]: x", "x '--lr=[1, 2]: x'"),
        *(
            (f"lr={text}", f"x '--lr={text}'")
            for text in ("-", "- 5", "|", ">", "---", "--- 5", "&x", "&x 5", "? b", "*x")
        ),
    ],
)
def test_an_override_is_a_parameter_where_the_command_takes_none(override: str, command: str) -> None:
    (job,) = plain("command: x {flags}\nlr: 1", overrides=[override]).jobs
    assert split(job.command) == split(command)


def test_a_key_that_begins_with_dashes_is_a_parameter_whatever_its_name() -> None:
    (job,) = plain("command: x {flags}\n--slurm: 1\n--dag: true").jobs
    assert split(job.command) == ["x", "--slurm=1", "--dag"]


# Presets


def test_hydra_gets_its_run_directory_and_its_config() -> None:
    spec = parse_sweep("script_path: app.py\nconfig_path: conf/big.yaml\nlr: [1e-6]\n", source="s.yaml")
    (job,) = plan_run(replace(spec, name="h"), make_layers({"log": "/log"}, preset="hydra")).jobs
    assert job.command == "python app.py --config-dir conf --config-name big hydra.run.dir=/log/h/h lr=1e-06"
    assert job.inputs == ["app.py", "conf/big.yaml"]


def test_a_preset_of_ones_own_builds_on_another(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "preset: nemo-rl\nautomatic: {logger.wandb_enabled: null, a: '{nodes}'}\nrequired: []\npartition: null\n"
    )
    spec = parse_sweep("script_path: app.py", source="s.yaml")
    (job,) = plan_run(spec, make_layers({"log": "/log", "nodes": 2}, preset="mine", presets=tmp_path)).jobs
    assert split(job.command)[3:] == [
        "logger.log_dir=/log/nemo-rl/app/logs",
        "logger.wandb.name=app",
        "checkpointing.checkpoint_dir=/log/nemo-rl/app/checkpoints",
        "cluster.num_nodes=2",
        "a=2",
    ]
    assert (job.partition, job.gpus_per_node, job.container) == (None, 8, None)
    (tmp_path / "mine.yaml").write_text("preset: mine\n")
    with pytest.raises(SettingsError, match="preset 'mine': it builds on itself"):
        load_preset("mine", tmp_path)
    (tmp_path / "parent.yaml").write_text("mem: 32G\ncpus_per_task: 4\nsetup: [module load a]\n")
    (tmp_path / "mine.yaml").write_text(
        "preset: parent\nmem_per_cpu: 4G\nsbatch: {cpus-per-task: 8}\nsetup: [module load b]\n"
    )
    mine = load_preset("mine", tmp_path)
    assert (mine.sbatch, mine.setup) == ({"mem-per-cpu": "4G", "cpus-per-task": 8}, ("module load a", "module load b"))
    (tmp_path / "parent.yaml").write_text("preset: plain\nsbatch: {signal: USR2}\n")
    (tmp_path / "mine.yaml").write_text("preset: parent\nwarn: 60\n")
    with pytest.raises(SweepFileError, match=r"^presets/mine.yaml: warn is 60, but sbatch has signal too"):
        load_preset("mine", tmp_path)


def test_a_variable_of_hydras_in_a_preset_is_no_placeholder(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("preset: hydra\nautomatic: {a.out: '${hydra.run.dir}/{job_name}', b: '${c}'}\n")
    spec = parse_sweep("script_path: app.py", source="s.yaml")
    (job,) = plan_run(spec, make_layers({"log": "/log"}, preset="mine", presets=tmp_path)).jobs
    assert [word.partition("=")[2] for word in split(job.command)[-2:]] == ["'${hydra.run.dir}/app'", "'${c}'"]


@pytest.mark.parametrize(
    ("profile", "sweep", "chosen"),
    [
        ("", "script_path: a.py", "nemo-rl"),
        ("", "command: a", "plain"),
        ("command: a", "lr: 1", "plain"),
        ("preset: hydra", "command: a", "hydra"),
        ("preset: hydra", "preset: nemo-rl\nscript_path: a.py", "nemo-rl"),
    ],
)
def test_which_preset_counts(tmp_path: Path, profile: str, sweep: str, chosen: str) -> None:
    (tmp_path / "default.yaml").write_text(f"log: /log\n{profile}\n")
    folders = Folders(include=tmp_path, sweeps=tmp_path, clusters=tmp_path)
    assert layers_of(parse_sweep(sweep, source="s.yaml"), folders, {}).preset_name == chosen
