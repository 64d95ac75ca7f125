"""Sweep files in the manner of other tools' public ones: each can be said here, by `convert` or by hand."""

from __future__ import annotations

import ast
import textwrap
from typing import NamedTuple

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep

from airflow_slurm_sweep.plan import plan_run
from airflow_slurm_sweep.slurm.parameters import word
from airflow_slurm_sweep.sweep.convert import convert
from airflow_slurm_sweep.sweep.overrides import Value, quote
from airflow_slurm_sweep.sweep.spec import parse_sweep
from tests.layers import make_layers


class File(NamedTuple):
    """Another tool's sweep file, how many jobs it becomes, and lines of ours that it becomes."""

    text: str
    size: int
    lines: str = ""


FILES = {
    # Weights & Biases
    "wandb: grid": File(
        "program: train.py\nmethod: grid\nparameters: {lr: {values: [0.1, 0.01]}, seed: {values: [1, 2, 3]}}", 6
    ),
    "wandb: quick start": File(
        """
        program: train.py
        name: sweepdemo
        method: random
        metric: {goal: minimize, name: validation_loss}
        parameters:
          batch_size: {distribution: q_log_uniform_values, q: 8, min: 32, max: 256}
          dropout: {values: [0.3, 0.4, 0.5]}
          epochs: {value: 1}
          learning_rate: {distribution: uniform, min: 0, max: 0.1}
          optimizer: {values: [adam, sgd]}
        """,
        40,
        "batch_size: {logint: [32, 256]}\nlearning_rate: {uniform: [0, 0.1]}\nepochs: [1]",
    ),
    "wandb: run_cap": File(
        "program: a.py\nmethod: random\nrun_cap: 20\nparameters: {alpha: {values: [0.5, 1.0]}, width: {values: [64, 128]}}",
        4,
        "sweep: {search: random, trials: 20}",
    ),
    "wandb: values as W&B passes them": File(
        "program: a.py\nparameters: {amp: {values: [true, false]}, x-y: {value: 1}, sizes: {values: [[1, 2], [3]]}}",
        4,
        "amp: ['True', 'False']\n--x-y: [1]\nsizes: ['[1, 2]', '[3]']",
    ),
    "wandb: switches, environment": File(
        """
        command: ["${interpreter}", a.py, "--data=${envvar:DATA}/a b", "${envvar:X}", "${args_no_boolean_flags}"]
        method: grid
        run_cap: 3
        parameters: {amp: {values: [true, false]}}
        """,
        2,
        "# Not taken over: run_cap: 3, since a grid runs whole.\n"
        """command: python a.py --data="$DATA"'/a b' "$X" {flags}\namp: [true, false]""",
    ),
    "hydra: texts": File(
        """
        hydra:
          launcher: {name: "${hydra.job.name}", partition: a}
          sweeper: {params: {prompt: "say hi,say no", sizes: "[1,2]", one: "'a,b'", w: "a: b, c"}}
        """,
        4,
        "# Not taken over: hydra.launcher.name.\nprompt: [say hi, say no]\nsizes: [[1, 2]]\nw: ['a: b', c]\nslurm: {partition: a}",
    ),
    "wandb: bayes, hyperband": File(
        """
        method: bayes
        metric: {name: val/auc, goal: maximize}
        run_cap: 25
        early_terminate: {type: hyperband, min_iter: 5, s: 2}
        parameters:
          model:
            parameters:
              max_depth: {distribution: int_uniform, min: 4, max: 12}
              learning_rate: {distribution: log_uniform, min: -4.6, max: -2.3}
              subsample: {distribution: uniform, min: 0.6, max: 1.0}
          data: {parameters: {split: {values: [0.15, 0.2]}}}
        """,
        25,
        "model.max_depth: {int: [4, 12]}\nmodel.learning_rate: {loguniform: [0.0100518, 0.100259]}\ndata.split: [0.15, 0.2]",
    ),
    "wandb: Hydra behind it": File(
        """
        program: scripts/train.py
        method: grid
        parameters: {trainer.ent_coef: {values: [0.005, 0.01]}}
        command: ["${env}", python, -m, scripts.train, +experiment=base, "${args_no_hyphens}"]
        """,
        2,
        "command: python -m scripts.train +experiment=base {overrides}",
    ),
    "wandb: inverse log": File(
        "method: random\nparameters: {beta: {distribution: inv_log_uniform_values, min: 0.9, max: 0.99}, m: {value: x}}",
        40,
        "beta: {loguniform: [0.9, 0.99]}",
    ),
    "wandb: normal": File(
        "method: random\nrun_cap: 9\nparameters: {x: {distribution: normal, mu: 0.5, sigma: 0.1}}",
        9,
        "x: {uniform: [0.3, 0.7]}",
    ),
    "wandb: probabilities": File(
        "method: grid\nparameters: {opt: {values: [adam, sgd], probabilities: [0.9, 0.1]}}", 2, "opt: [adam, sgd]"
    ),
    "wandb: quantised": File(
        "method: random\nrun_cap: 5\nparameters: {x: {distribution: q_uniform, min: 0, max: 1, q: 0.1}}",
        5,
        "x: {uniform: [0, 1], step: 0.1}",
    ),
    "wandb: tags of floats": File(
        "method: random\nrun_cap: 5\nparameters: {lr: {distribution: log_uniform_values, min: !!float 1e-5, max: 1e-2}}",
        5,
        "lr: {loguniform: [1.0e-05, 0.01]}",
    ),
    "wandb: texts that look like lists": File(
        'method: grid\nparameters: {filters: {values: ["[32, 64]", "[64, 128]", "[]"]}}', 3
    ),
    "wandb: booleans and null": File(
        "method: grid\nparameters: {amp: {values: [true, false]}, w: {values: [null, 1]}}", 4
    ),
    # Hydra
    "hydra: comma lists": File(
        "defaults: [_self_]\nhydra: {mode: MULTIRUN, sweeper: {params: {model: 'a,b', lr: '1e-3,1e-4', seed: '0, 1, 2'}}}",
        12,
        "model: [a, b]\nlr: [0.001, 0.0001]\nseed: [0, 1, 2]",
    ),
    "hydra: template for Lightning": File(
        """
        defaults: [{override /hydra/sweeper: optuna}]
        optimized_metric: val/acc_best
        hydra:
          mode: MULTIRUN
          sweeper:
            _target_: hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper
            storage: null
            study_name: null
            n_jobs: 1
            direction: maximize
            n_trials: 20
            sampler: {_target_: optuna.samplers.TPESampler, seed: 1234}
            params:
              model.optimizer.lr: interval(0.0001, 0.1)
              data.batch_size: choice(32, 64, 128, 256)
              model.net.lin1_size: choice(64, 128, 256)
        """,
        20,
        "model.optimizer.lr: {uniform: [0.0001, 0.1]}\ndata.batch_size: [32, 64, 128, 256]\n"
        "sweep: {objective: {metric: val/acc_best, goal: maximize}, search: random, trials: 20}",
    ),
    "hydra: tags": File(
        "hydra: {sweeper: {n_trials: 50, params: {lr: 'tag(log, interval(1e-5, 1e-2))', wd: 'interval(0.0, 0.1)', b: 'choice(x, y)'}}}",
        50,
        "lr: {loguniform: [1.0e-05, 0.01]}\nwd: {uniform: [0.0, 0.1]}\nb: [x, y]",
    ),
    "hydra: search_space": File(
        """
        hydra:
          sweeper:
            sampler: {seed: 10}
            n_trials: 10
            search_space:
              lr: {type: float, low: 1e-4, high: 1e-3, log: true}
              optimizer: {type: categorical, choices: [SGD, Adam]}
              layers: {type: int, low: 1, high: 4}
              dropout: {type: float, low: 0.0, high: 0.5, step: 0.1}
        """,
        10,
        "lr: {loguniform: [0.0001, 0.001]}\noptimizer: [SGD, Adam]\nlayers: {int: [1, 4]}\n"
        "dropout: {uniform: [0.0, 0.5], step: 0.1}",
    ),
    "hydra: nested optuna_config": File(
        "hydra: {sweeper: {optuna_config: {n_trials: 30}, params: {lr: {type: float, low: 1e-6, high: 1e-4, log: true}}}}",
        30,
        "sweep: {search: random, trials: 30}",
    ),
    "hydra: Ax": File(
        """
        hydra:
          sweeper:
            ax_config:
              max_trials: 12
            params:
              quadratic.x: {type: range, bounds: [-5.0, 10.0]}
              depth: {type: range, bounds: [1, 8]}
              kind: {type: choice, values: [a, b]}
              c: {type: fixed, value: 3}
        """,
        12,
        "quadratic.x: {uniform: [-5.0, 10.0]}\ndepth: {int: [1, 8]}\nkind: [a, b]\nc: [3]",
    ),
    "hydra: nevergrad": File(
        "hydra: {sweeper: {optim: {budget: 8}, params: {lr: {lower: 1e-4, upper: 1.0, log: true}, n: {lower: 1, upper: 9, integer: true}, db: [a, b]}}}",
        8,
        "lr: {loguniform: [0.0001, 1.0]}\nn: {int: [1, 9]}\ndb: [a, b]",
    ),
    "hydra: multirun.yaml": File(
        "hydra: {mode: MULTIRUN, overrides: {hydra: [], task: ['optim.lr=1e-3,1e-4', 'seed=range(1,4)', +x=2]}}",
        6,
        "optim.lr: [0.001, 0.0001]\nseed: [1, 2, 3]\n+x: [2]",
    ),
    "hydra: submitit": File(
        """
        defaults: [{override hydra/launcher: submitit_slurm}]
        hydra:
          sweeper: {params: {seed: "0, 1, 2, 3, 4"}}
          launcher: {tasks_per_node: 1, cpus_per_task: 8, gpus_per_node: 1, timeout_min: 4320, mem_gb: 30, partition: gpu}
        """,
        5,
        "slurm: {ntasks-per-node: 1, cpus_per_task: 8, gpus_per_node: 1, time: 4320, mem: 30G, partition: gpu}",
    ),
    "hydra: config groups": File(
        "hydra: {sweeper: {params: {+experiment: 'a,b', optimizer@opt: 'adam,sgd', db/engine: 'x,y'}}}", 8
    ),
    # seml
    "seml: grid": File(
        """
        seml: {executable: main.py, name: gnn, output_dir: logs, conda_environment: x, project_root_dir: ..}
        slurm: {experiments_per_job: 1, sbatch_options: {gres: "gpu:1", mem: 16G, cpus-per-task: 2, time: 0-08:00}}
        fixed: {dataset: cora, hidden_sizes: [16]}
        grid: {lr: {type: choice, options: [0.1, 0.01]}, wd: {type: loguniform, min: 1e-5, max: 1e-1, num: 5}}
        """,
        10,
        "command: python main.py with {overrides}\nhidden_sizes: [[16]]\nwd: {geomspace: [1.0e-05, 0.1, 5]}\n"
        "slurm: {gres: 'gpu:1', mem: 16G, cpus-per-task: 2, time: '0-08:00'}",
    ),
    "seml: random": File(
        """
        seml: {executable: main.py}
        fixed: {max_epochs: 500}
        random:
          samples: 3
          seed: 821
          max_epochs: {type: randint, min: 200, max: 1000}
          regularization_params: {dropout: {type: uniform, min: 0.0, max: 0.7, seed: 222}}
        """,
        3,
        "max_epochs: {int: [200, 999]}\nregularization_params.dropout: {uniform: [0.0, 0.7]}",
    ),
    "seml: grid and random": File(
        """
        seml: {executable: main.py}
        random: {samples: 4, learning_rate: {type: loguniform, min: 1e-5, max: 1e-3}}
        grid: {dataset: {type: choice, options: [small, large]}}
        """,
        8,
    ),
    "seml: zip": File(
        """
        seml: {executable: main.py}
        grid:
          depth: {type: choice, options: [2, 4], zip_id: size}
          width: {type: choice, options: [64, 128], zip_id: size}
          seed: {type: range, min: 0, max: 3, step: 1}
        """,
        6,
        "depth, width: [[2, 64], [4, 128]]\nseed: {range: [0, 3, 1]}",
    ),
    "seml: parameter_collection": File(
        "seml: {executable: a.py}\ngrid: {model: {type: parameter_collection, params: {n: {type: choice, options: [1, 2]}}}}",
        2,
        "model.n: [1, 2]",
    ),
    # Ray Tune, RLlib
    "rllib: grid_search": File(
        """
        cartpole-ppo:
          env: CartPole-v1
          run: PPO
          stop: {training_iteration: 10}
          config: {gamma: 0.99, lr: {grid_search: [0.0001, 0.001]}, model: {fcnet_hiddens: [64, 64]}}
        """,
        2,
        "gamma: [0.99]\nlr: [0.0001, 0.001]\nmodel.fcnet_hiddens: [[64, 64]]",
    ),
    "ray: calls": File(
        """
        param_space:
          lr: tune.loguniform(1e-4, 1e-1)
          layers: tune.randint(1, 5)
          act: tune.choice(["relu", "tanh"])
          momentum: tune.quniform(0.1, 0.9, 0.1)
          sizes: [64, 64]
        tune_config: {num_samples: 12}
        """,
        12,
        "lr: {loguniform: [0.0001, 0.1]}\nlayers: {int: [1, 4]}\nact: [relu, tanh]\nsizes: [[64, 64]]",
    ),
    # Optuna, NNI, Hyperopt, build matrices, plain grids
    "optuna": File(
        "n_trials: 7\nsearch_space: {lr: {type: float, low: 1e-5, high: 1e-1, log: true}, n: {type: int, low: 8, high: 512, log: true}}",
        7,
        "lr: {loguniform: [1.0e-05, 0.1]}\nn: {logint: [8, 512]}",
    ),
    "nni": File(
        """
        searchSpace:
          features: {_type: choice, _value: [128, 256]}
          lr: {_type: loguniform, _value: [0.0001, 0.1]}
          momentum: {_type: uniform, _value: [0, 1]}
          steps: {_type: quniform, _value: [10, 50, 10]}
        maxTrialNumber: 10
        """,
        10,
        "features: [128, 256]\nlr: {loguniform: [0.0001, 0.1]}\nmomentum: {uniform: [0, 1]}\nsteps: {uniform: [10, 50], step: 10}",
    ),
    "nni: its command": File(
        "trialCommand: python3 mnist.py\nsearchSpace: {budget: {_type: choice, _value: [1, 2]}}\nmaxTrialNumber: 2",
        2,
        "command: python3 mnist.py {flags}\nbudget: [1, 2]",
    ),
    "ray: metric": File(
        "param_space: {x: {grid_search: [1, 2]}}\ntune_config: {metric: loss, mode: min}",
        2,
        "sweep: {objective: {metric: loss, goal: minimize}}",
    ),
    "hyperopt": File(
        "search_space: {lr: \"hp.loguniform('lr', -9.21034, 0)\", n: \"hp.quniform('n', 2, 8, 2)\"}\nmax_trials: 6",
        6,
        "lr: {loguniform: [0.0001, 1.0]}\nn: {uniform: [2, 8], step: 2}",
    ),
    "matrix: exclude, include": File(
        """
        strategy:
          matrix:
            model: [8B, 70B]
            lr: [1, 2]
            exclude: [{model: 70B, lr: 2}]
            include: [{model: 8B, lr: 3}, {model: 70B, tp: 8}]
        """,
        4,
    ),
    "plain grid": File("hyperparameters: {lr: [0.1, 0.01], bs: [16, 32, 64]}", 6, "lr: [0.1, 0.01]"),
    "plain grid: nested": File(
        """
        hyperparameters:
          optimizer: {name: adam, lr: [1, 2]}
          loss: {type: [l1, l2], value: [1, 2]}
          head: {type: linear, params: {bias: [true, false]}}
          reg: {type: focal, value: 2}
          clip: {min: [0, 1]}
        """,
        32,
        "optimizer.name: [adam]\noptimizer.lr: [1, 2]\nloss.type: [l1, l2]\nloss.value: [1, 2]\n"
        "head.bias: [true, false]\nreg.type: [focal]\nreg.value: [2]\nclip.min: [0, 1]",
    ),
    "plain grid: a parameter called params": File(
        "hyperparameters: {opt: {name: [adam, sgd], params: {lr: [1, 2]}}}",
        4,
        "opt.name: [adam, sgd]\nopt.params.lr: [1, 2]",
    ),
    "ray: a constant called type": File(
        "param_space: {x: {grid_search: [1, 2]}, e: {type: EpsilonGreedy, step: 3}}",
        2,
        "e.type: [EpsilonGreedy]\ne.step: [3]",
    ),
    "hydra: a list of one direction": File(
        "optimized_metric: acc\nhydra: {sweeper: {direction: [maximize], params: {x: '1,2'}}}",
        2,
        "sweep: {objective: {metric: acc, goal: maximize}}",
    ),
    "hydra: direction in optuna_config": File(
        "optimized_metric: acc\nhydra: {sweeper: {optuna_config: {direction: maximize}, params: {x: '1,2'}}}",
        2,
        "sweep: {objective: {metric: acc, goal: maximize}}",
    ),
}


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_a_file_of_another_tool_is_converted_and_planned(file: File) -> None:
    converted = convert(textwrap.dedent(file.text), "theirs.yaml")
    missing = [line for line in file.lines.splitlines() if line not in converted.splitlines()]
    assert missing == [], converted
    assert planned(converted) == file.size


SEML = "seml: {executable: a.py}\ngrid: {d: {type: choice, options: [1]}, "
WANDB = "program: a.py\nmethod: random\nparameters: {d: {values: [1]}, lr: {distribution: "
HYDRA = "hydra: {sweeper: {params: {x: '1,2'}, "


@pytest.mark.parametrize(
    ("text", "unsaid"),
    [
        (SEML + "a: {type: choice, options: [1, 2], zip_id: z}, b: {type: choice, options: [1], zip_id: z}}", "a, b: their lists have one zip_id and different lengths"),
        (SEML + "a: {type: range, min: 0, max: 1, step: 0}}", "a: {type: range, min: 0, max: 1, step: 0}, which is no list"),
        (SEML + "a: {type: uniform, min: 0, max: 1, num: 200000}}", "a: {type: uniform, min: 0, max: 1, num: 200000}, which is no list"),
        (WANDB + "uniform, min: 0, max: .inf}}", "lr: {distribution: uniform, min: 0, max: .inf}, which is no list"),
        (WANDB + "log_uniform, min: 0, max: 1e299}}", "lr: {distribution: log_uniform, min: 0, max: 1.0e+299}, which is no list"),
        (WANDB + "uniform, min: 0, max: 1}}\ncommand: 3", "command: 3"),
        ("param_space: {c: tune.uniform(0,1), b: [1]}", "c: tune.uniform(0, which is no list"),
        ("jobs: {b1: {strategy: {matrix: {a: [1]}}}, b2: {strategy: {matrix: {a: [3], b: [5]}}}}", "jobs.b2.strategy.matrix: {a: [3], b: [5]}, another sweep: "),
        ("params: {a: [1]}\nhyperparameters: {a: [2], b: [1]}", "hyperparameters: {a: [2], b: [1]}, another sweep: "),
        ("strategy: {max-parallel: 2, matrix: {a: [1]}}", "strategy.max-parallel, which has no"),
        ("matrix: {a: [1]}\ninclude: [{a: 3}]", "include, which has no"),
        ("searchSpace: {a: [1]}\ntuner: {classArgs: {optimize_mode: maximize}}", "tuner, which has no"),
        ("param_space: {a: [1]}\ntune_config: {num_samples: 3, scheduler: asha}", "tune_config.scheduler, which has no"),
        ("seml: {executable: a.py}\nfixed: {a: 1}\nslurm: {experiments_per_job: 2}", "slurm.experiments_per_job, which has no"),
        (WANDB + "uniform, min: 0, max: 1}}\nmetric: {name: a, target: 1}", "metric.target, which has no"),
        ("hydra: {sweeper: {params: {lr: null, x: 'a=1,b=2'}}}", "x: a=1,b=2, which is no list of values that is read here"),
        ("hydra: {sweeper: {params: {lr: 1, x: 'sort(3,1,reverse=true)'}}}", "x: sort(3,1,reverse=true), which is no list"),
        ("hydra: {sweeper: {params: {lr: 1}}, launcher: {timeout_min: [1]}}", "hydra.launcher.timeout_min"),
        ("hydra: {sweeper: {params: {lr: 1}}, launcher: {array_parallelism: 0}}", "hydra.launcher.array_parallelism"),
        (WANDB + "uniform, min: 0, max: 1, quant: 2}}", "lr.quant, which has no counterpart here"),
        (WANDB + "uniform, min: 0, max: 1}}\nmetric: acc", "metric: acc, which has no name and goal"),
        (WANDB + "uniform, min: 0, max: 1}}\nmetric: {goal: maximize}", "metric.goal: maximize, since the file gives no name"),
        (WANDB + "uniform, min: 0, max: 1}}\nmetric: {name: acc}", "the goal, which the file does not say: minimize"),
        (HYDRA + "direction: [maximize, minimize]}}\noptimized_metric: a", "optimized_metric: a, since the report ranks by one"),
        (HYDRA + "direction: [maximize, minimize]}}", "hydra.sweeper.direction: [maximize, minimize], since the report ranks by one"),
        (HYDRA + "direction: maximize}}", "hydra.sweeper.direction: maximize, since the file gives no name of a metric"),
        (HYDRA + "direction: up}}\noptimized_metric: a", "hydra.sweeper.direction: up, since the goal is neither"),
        (HYDRA + "direction: maximize}}\noptimized_metric: '${m}'", "optimized_metric: ${m}, since the file gives no name"),
        ("param_space: {a: [1]}\ntune_config: {mode: max}", "tune_config.mode: max, since the file gives no name"),
    ],
)  # fmt: skip
def test_what_is_not_taken_over_is_named_and_the_rest_loads(text: str, unsaid: str) -> None:
    converted = convert(text, "theirs.yaml")
    assert f"# Not taken over: {unsaid}" in converted
    assert parse_sweep(converted, source="ours.yaml").size >= 1


@pytest.mark.parametrize(
    ("space", "value"),
    [
        ("program: a.py\nparameters", "{max: 4}"),
        ("program: a.py\nparameters", "{values: 0.1}"),
        ("program: a.py\nparameters", "{values: {a: 1}}"),
        ("program: a.py\nparameters", "{distribution: foo, min: 0, max: 1}"),
        ("program: a.py\nparameters", "{distribution: normal}"),
        ("program: a.py\nparameters", "{mu: 0, sigma: 1}"),
        ("program: a.py\nparameters", "{name: adam, lr: [1, 2]}"),
        ("program: a.py\nparameters", "{parameters: {a: {value: 1}}, b: 1}"),
        ("program: a.py\nparameters", "{parameters: {}}"),
        ("search_space", "{low: 1}"),
        ("search_space", "{type: int}"),
        ("search_space", "{type: int, low: 1}"),
        ("search_space", "{type: int, low: 4, high: 1}"),
        ("search_space", "{type: foo, low: 1, high: 2}"),
        ("search_space", "{type: categorical, choices: 3}"),
        ("hyperparameters", "{type: log, minval: -4}"),
        ("hyperparameters", "{type: double, minval: 0, maxvall: 1}"),
        ("hyperparameters", "{mean: 0, stddev: 1}"),
        ("hyperparameters", "{type: foo, min: 0, max: 1, num: 3}"),
        ("param_space", "{grid_search: 0.1}"),
        ("param_space", "{type: int, low: 1}"),
        ("searchSpace", "{_value: 3}"),
    ],
)
def test_incomplete_or_unknown_range_becomes_no_parameter(space: str, value: str) -> None:
    converted = convert(f"{space}: {{d: [1], x: {value}}}", "theirs.yaml")
    assert f"# Not taken over: x: {value}, which is no list of values and no range that is read here." in converted
    assert [*parse_sweep(converted, source="ours.yaml").parameters] == ["d"]


def test_a_matrix_of_polyaxons() -> None:
    converted = convert(
        """
matrix:
  kind: random
  numRuns: 20
  params:
    lr: {kind: uniform, value: [0.001, 0.1]}
    opt: {kind: choice, value: [adam, sgd]}
    wd: {kind: logspace, value: "-4:-1:4"}
    units: {kind: range, value: "32:128:32"}
    drop: {kind: linspace, value: {start: 0, stop: 1, num: 5}}
""",
        "p.yaml",
    )
    assert "# Not taken over: wd: {kind: logspace, value: '-4:-1:4'}, which is no list of values" in converted
    spec = parse_sweep(converted, source="s.yaml")
    assert (spec.space.trials, spec.size) == (20, 20)
    assert spec.parameters.keys() == {"lr", "opt", "units", "drop"}
    assert {each.parameters["units"] for each in spec.space.combinations} == {32, 64, 96}


def test_incomplete_range_of_hydra_becomes_no_parameter() -> None:
    converted = convert("hydra: {sweeper: {params: {d: 1, x: {lower: 1}, y: {init: 3}}}}", "theirs.yaml")
    assert [*parse_sweep(converted, source="ours.yaml").parameters] == ["d"]


def test_incomplete_range_below_parameters_of_wandb_is_named_with_dots() -> None:
    text = "program: a.py\nparameters: {m: {parameters: {n: {parameters: {a: {value: 1}, b: {max: 3}}}}}}"
    converted = convert(text, "theirs.yaml")
    assert "# Not taken over: m.n.b: {max: 3}, which is no list" in converted
    assert [*parse_sweep(converted, source="ours.yaml").parameters] == ["m.n.a"]


@pytest.mark.parametrize(
    "text", ["01,02", "007", "0x10,0o7", "1_000,2_000", "{a:1},{b:2}", "{lr:1e-3,name:adam}", "${a},${b}"]
)
def test_values_of_hydra_are_those_that_its_own_parser_reads(text: str) -> None:
    spec = parse_sweep(convert(f"hydra: {{sweeper: {{params: {{x: '{text}'}}}}}}", "theirs.yaml"), source="ours.yaml")
    read = OverridesParser.create().parse_override(f"x={text}").value()
    assert [*spec.parameters["x"]] == (read.list if isinstance(read, ChoiceSweep) else [read])


@pytest.mark.parametrize(
    "value",
    [None, ["relu", "tanh"], [{"a": [None, True]}], "None", "1", "true", "C:\\new", " a", "it's", True, 0.5, [1, 2]],
)
def test_a_value_of_seml_arrives_at_sacred(value: Value) -> None:
    text = yaml.safe_dump({"seml": {"executable": "a.py"}, "fixed": {"x": value}})
    spec = parse_sweep(convert(text, "theirs.yaml"), source="ours.yaml")
    (given,) = spec.parameters["x"]
    passed = {"python a.py with {overrides}": quote, 'python a.py with x="$SWEEP_X"': word}[str(spec.command)](given)
    assert of_sacred(passed) == value


def of_sacred(text: str) -> object:
    """Return what ``sacred.arg_parser`` makes of the text behind ``=``."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text.strip()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("params: {script_path: [a, b]}", "--script_path"),
        ("matrix: {a: [1, 2], include: [{a: 1, script_path: z}]}", "--script_path"),
        ("matrix: {a: [1], dag: [1, 2], exclude: [{dag: 1}]}", "--dag"),
        ("seml: {executable: a.py}\ngrid: {slurm: {type: choice, options: [1], zip_id: z}, b: {type: choice, options: [1], zip_id: z}}", "--slurm, b"),
    ],
)  # fmt: skip
def test_a_parameter_that_is_called_as_a_key_of_ours_has_dashes(text: str, key: str) -> None:
    converted = convert(text, "theirs.yaml")
    assert key in converted
    assert parse_sweep(converted, source="ours.yaml").size >= 1


# What no converter can take over, as people say it here.
BY_HAND = {
    "Hydra: pairs of overrides": ('"model, optim.lr": [[8B, 1e-5], [70B, 1e-6]]\nseed: {range: [0, 3]}', 6),
    "seml: sub-configurations": (
        "model: [gcn, gat]\nsweep: {rules: [{if: {model: gat}, set: {heads: 8}}]}",
        2,
    ),
    "Ray: sample_from on another value": (
        "alpha: {uniform: [0, 1]}\nkind: [a, b]\nsweep: {search: random, trials: 10, rules: [{if: {kind: a}, set: {beta: 1}}]}",
        10,
    ),
    "Lightning: flags of a CLI": (
        "trainer.max_epochs: 3\nmodel.lr: {geomspace: [1e-5, 1e-2, 4]}\ndata.batch_size: [32, 64]\n"
        "sweep: {repeat: {seed_everything: [1, 2, 3]}, objective: {metric: val_loss, goal: minimize}}",
        24,
    ),
    "W&B: only some pairs": (
        "lr: [0.1, 0.01, 0.001]\nbs: [16, 64]\nsweep: {exclude: [{lr: {above: 0.05}, bs: {below: 32}}, {lr: {not: [0.1, 0.01]}, bs: 64}]}",
        4,
    ),
    "Slurm: more memory for the large ones": (
        "model: [small, large]\nsweep: {rules: [{if: {model: large}, slurm: {mem: 200G, time: 2-0, partition: big}}]}",
        2,
    ),
}


@pytest.mark.parametrize(("text", "size"), BY_HAND.values(), ids=BY_HAND)
def test_what_no_converter_can_take_over_can_be_said(text: str, size: int) -> None:
    assert planned(f"command: python train.py {{overrides}}\n{text}") == size


def planned(text: str) -> int:
    spec = parse_sweep(text, source="ours.yaml")
    return len(plan_run(spec, make_layers({"log": "/l"}, preset="plain", command=spec.command)).jobs)


def test_there_are_forty() -> None:
    assert len(FILES) + len(BY_HAND) >= 40
