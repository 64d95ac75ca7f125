"""What people write and nobody reads as they mean it: it is an error, or a warning, and never only a value."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_slurm_sweep.errors import SweepFileError
from airflow_slurm_sweep.plan import layers_of
from airflow_slurm_sweep.sweep.layers import Folders
from airflow_slurm_sweep.sweep.run_command import warnings
from airflow_slurm_sweep.sweep.spec import load_sweep

NBSP = "\u00a0"


def said_of(text: str, folder: Path) -> str:
    """Return the fault of a sweep file, or its warnings, a line each."""
    path = folder / "sweeps" / "s.yaml"
    path.parent.mkdir()
    path.write_text(text if "command:" in text else f"command: python t.py {{flags}}\n{text}", encoding="utf-8")
    try:
        spec = load_sweep(path, source="s.yaml")
        return "\n".join(warnings(spec, layers_of(spec, Folders.around(path), os.environ | {"LOG": "/logs"})))
    except SweepFileError as error:
        return f"error: {error}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # The work is another job's, or a session's.
        ("command: sbatch job.sh {flags}\nlr: [1, 2]", "sbatch hands the work on, so that the job ends at once and says"),
        ("command: |\n  cd x\n  sbatch --export=LR={lr} job.sh\nlr: [1, 2]", "with its #SBATCH lines as keys of slurm:"),
        ("command: qsub t.sh\nlr: [1, 2]", "qsub hands the work on"),
        ("command: tmux new -d \"python t.py $SWEEP_LR\"\nlr: [1, 2]", "tmux hands the work on"),
        ("command: setsid python t.py {flags} & disown\nlr: [1, 2]", "it ends in `&`"),
        # A value is what stands there.
        ('lr: [1, 2]\nout: "{run_dir}/ckpt"', "out has {run_dir} as it is, in all jobs; for its value, write {run_dir}/ckpt into the command instead"),
        ('lr: [1, 2]\nname: "lr_{lr}"', "name has {lr} as it is"),
        ("lr: [1, 2]\nout: $BASE_LOG_DIR/ckpt", "out has $BASE_LOG_DIR/ckpt as it is"),
        ("lr: [1, 2]\ndata: ~/data", "data has ~/data as it is"),
        # YAML cuts at commas.
        ("betas: [(0.9, 0.999), (0.95, 0.98)]", "error: s.yaml: betas: YAML has cut ((0.9, 0.999), (0.95, 0.98)) at each comma"),
        ("aug: [crop(32, 4), flip]", "YAML has cut"),
        ('kernel: ["(1, 2)", (3, 4)]', "YAML has cut"),
        # Characters as copied from a page.
        (f"lr: [1, 2]\nslurm:\n{NBSP}{NBSP}nodes: 2", "a blank in it is no plain one"),
        (f"lr: [1,{NBSP}2]", "has characters as copied from a page; write 2"),
        ("opt: [“adam”, “sgd”]", 'has characters as copied from a page; write "adam"'),
        ("lr: [1， 2]", "has characters as copied from a page; write 1, 2"),
        ("lr: １", "write 1 (or"),
        ("lr: 1e−4", "write 1e-4 (or"),
        ("model: gpt2\u200b", "write gpt2 (or"),
        ("command: python t.py —lr {lr}\nlr: [1, 2]", "'—lr' begins with —, as copied from a page; write '--lr'"),
        ("command: python t.py ––lr {lr}\nlr: [1, 2]", "write '--lr'"),
        ("command: python t.py {flags} --name “my run”\nlr: [1, 2]", "'“my' begins with “"),
        # Schedules.
        ('dag: {schedule: "0 0 3 * * *", start_date: 2026-01-31}', "expected five fields, such as 0 3 * * * for daily at three, got 6"),
        ('dag: {schedule: "0 3 31 2 *", start_date: 2026-01-31}', "no date is ever as '0 3 31 2 *' says"),
        # Settings among the parameters.
        ("slurm.nodes: 2", "slurm.nodes: is a setting; write slurm: {nodes: 2} (or, for a parameter of that name, --slurm.nodes)"),
        ("sweep.repeat: 3", "write sweep: {repeat: 3}"),
        ('dag.schedule: "@daily"', "write dag: {schedule: '@daily'}"),
        ("Slurm: {nodes: 2}", "Slurm: did you mean slurm?"),
        ("slrum: {nodes: 2}", "slrum: did you mean slurm?"),
        ("env: {A: 1}", "env: is a setting; it stands below slurm:"),
        ("objective: {metric: loss, goal: minimize}", "it stands below sweep:"),
        ("partition: gpu", "s.yaml: partition is passed to the script; for Slurm write slurm: {partition: …}"),
        ("time: 1:00:00", "time is passed to the script"),
        ('schedule: "@daily"', "for Airflow write dag: {schedule: …}"),
        ("#SBATCH --mem=32G\nlr: 1", "line 2: #SBATCH --mem=32G is a comment of YAML's"),
        # Variables.
        ("command: python t.py {flags} --out $run_dir\nlr: 1", "nothing sets $run_dir, so that it would be empty; write {run_dir}"),
        ("command: python t.py {flags} --out runs/$LR\nlr: [1, 2]", "$LR is no variable of the parameter, and may be empty; write $SWEEP_LR"),
        # Files that are ours.
        ("command: python t.py {flags}\ngrid: {lr: [1, 2]}", "grid: parameters stand at top level, nested ones with dots: lr: […] or grid.lr: […]"),
        ("command: python t.py {flags}\nstrategy: {name: ddp}", "strategy.name: […]"),
        # Several values as one.
        ("opt:\n  -adam\n  -sgd", "for several values write opt: [adam, sgd]"),
        ("lr: [0.1 0.2, 0.3]", "'0.1 0.2' is one text"),
        ("lr:\n  - 0.1,\n  - 0.2,", "'0.1,' is no number, for its comma; write 0.1"),
        ("lr: [1, 2, ..., 5]", "'...' is a value like the others"),
        ("lr: [1, 2, etc]", "'etc' is a value like the others"),
        ("seed: 1-5", "write seed: {range: [1, 6]}"),
        ("seed: 1 to 5", "write seed: {range: [1, 6]}"),
        ("seed: $(seq 1 5)", "write seed: {range: [1, 6]}"),
        ("seed: '{1..5}'", "write seed: {range: [1, 6]}"),
        ("opt: adam, sgd", "write opt: [adam, sgd]"),
        ("lr: [1, 2]\nsweep: {repeat: {seed: 3}}", "seed has one value, so that nothing is repeated"),
        # Conditions.
        ("lr: [0.1, 1]\nsweep: {exclude: [{lr: {gt: 0.1}}]}", "expected {above: 1}, {below: 2} or {not: [3, 4]}, got {gt: 0.1}"),
        ("lr: [0.1, 1]\nsweep: {exclude: [{lr: '>0.1'}]}", "expected {above: 1}"),
        ("lr: [0.1, 1]\nsweep: {exclude: [{lr: {not: {above: 0.1}}}]}", "expected {above: 1}"),
        ("seed: {min: 1, max: 5}", "write seed: {int: [1, 5]}"),
        ("lr: {space: loguniform, lower: 1e-5, upper: 1e-2}", "write lr: {loguniform: [1.0e-05, 0.01]}"),
        ("lr: {prior: log-uniform, low: 1e-5, high: 1e-2}", "write lr: {loguniform: [1.0e-05, 0.01]}"),
        ("lr: {min: 1e-5, max: 1e-2, scale: log}", "write lr: {loguniform: [1.0e-05, 0.01]}"),
        ("lr: {min: 1e-5, max: 1e-2, log: no}", "write lr: {uniform: [1.0e-05, 0.01]}"),
        ("lr: {strategy: loguniform, values: [1e-6, 1e-3]}", "write lr: {loguniform: [1.0e-06, 0.001]}"),
        ("matrix: {kind: random, params: {lr: {kind: uniform, value: [0.1, 1]}}}\n# command: none", "this is a file of Polyaxon"),
        ("cmd: python train.py {flags}\n# command: none", "unknown key 'cmd'; did you mean 'command'?"),
        ("script: python train.py\n# command: none", "did you mean 'command'?"),
        ("slurm: {mail_type: END,FAIL}", "slurm.FAIL: unknown key 'FAIL', without a value; within {…}, a text with a comma needs quotes"),
        ("slurm: {chain: true}", "expected keys with values, got true or false; write chain: {jobs: 6}"),
        ("slurm: {gpus_per_node: a100:4}", "for a type write gres: gpu:a100:4"),
        ("slurm: {mem: 1.5G}", "mem: expected a whole number of MiB, or with K, M, G or T, as 32G, got '1.5G'"),
        ("slurm: {mem_per_cpu: 4 GB}", "got '4 GB'"),
        ("slurm: {env: {CUDA_VISIBLE_DEVICES: 0,1}}", "got nothing; within {…}, a text with a comma needs quotes"),
        # YAML's own words.
        ("x: !include a.yaml", "tags are not taken: write the value itself"),
        ("a: 1\nlr:[1, 2]", "does a blank lack behind a colon?"),
        ("data: *.csv", "a text with *, & or # at its beginning needs quotes"),
    ],
)  # fmt: skip
def test_what_is_misread_is_said(text: str, said: str, tmp_path: Path) -> None:
    assert said in said_of(text, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "command: python t.py {flags} && sbatch eval.sh {lr}\nlr: [1, 2]",
        "command: sbatch --wait job.sh {flags}\nlr: [1, 2]",
        "command: |\n  job=$(sbatch --parsable x.sh {lr})\n  while squeue -j $job; do sleep 9; done\nlr: [1, 2]",
        "command: python t.py {flags} --note \"a — b\" '—x'\nlr: [1, 2]",
        "command: tmux -V; python t.py {flags}\nlr: [1, 2]",
        "command: OUT=1 RUN_DIR=x python t.py {flags} --out $BASE_LOG_DIR\nlr: [1, 2]",
        "command: export LR=1; python t.py {flags} --lr2 $LR\nlr: [1, 2]",
        'prompt: ["Say {question}", "He said “yes”", "a − b", "Grüße, Welt"]',
        "act: ['(', 'f(x)', ':)']",
        "slurm.of_mine: 2\nsweep.width: [1, 2]",
        "command: x {json}\nmodel: {value: {mem: 1}}",
        "output: [a, b]\ninput: c\nnodes: 3\nschedule: [cosine, linear]\ntime: 3\nnetwork: x",
        "fold: ['2-1', '16:9', '2024-1']",
        "command: x {json}\nsizes: [[1, 2], [3, 4]]\nnote: and so on, etc",
        "lr: [0.1, 1]\nsweep: {exclude: [{lr: {above: 0.5}}]}",
        "op: ['<', '>']\nsweep: {exclude: [{op: '<'}]}",
        "dag: {schedule: '@hourly', start_date: 2026-01-31}",
        "dag: {schedule: '*/5 3 * * 1-5', start_date: 2026-01-31}",
        "flag: [-x, --yes]",
        "lr: 1  # SBATCH is none here",
        "lr: [1, 2]\nsweep: {repeat: {seed: [1, 2]}}",
        f"lr: [1, 2]  #{NBSP}a remark",
        "wd: [null, '', a]",
        "dirs: [usr, etc]",
        "at: ['12:30', '9:05']",
        "at: '12:30'",
        "slurm: {mem: 32GB, tmp: 10g}",
        "slurm: {mem: 0}",
    ],
)
def test_what_only_looks_so_is_left_alone(text: str, tmp_path: Path) -> None:
    assert said_of(text, tmp_path) == ""
