"""Synthetic objectives of ten mixed parameters, for `bench.search`; also as a job's program.

python -m bench.objectives bowl PARAMETERS.json METRICS.json    # after one to three seconds
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Mapping
from math import cos, log10, pi, sin
from pathlib import Path
from typing import Any

Objective = Callable[[Mapping[str, Any]], float]


def unit(p: Mapping[str, Any]) -> list[float]:
    """Return the numbers among the parameters, from 0 to 1."""
    return [
        log10(p["lr"]) / 6 + 1,
        log10(p["decay"]) / 6 + 1,
        p["dropout"] / 0.8,
        p["momentum"],
        p["warmup"],
        (p["layers"] - 1) / 11,
        (log10(p["width"]) - log10(8)) / (log10(1024) - log10(8)),
    ]


def named(p: Mapping[str, Any]) -> float:
    """Return what the choices cost."""
    cost = {"adam": 0.0, "lion": 0.05, "sgd": 0.2, "rmsprop": 0.3}[p["optimizer"]]
    return cost + {"gelu": 0.0, "relu": 0.04, "tanh": 0.15}[p["activation"]] + (0.0 if p["norm"] else 0.1)


def bowl(p: Mapping[str, Any]) -> float:
    """One optimum, of which two parameters tell most."""
    weights, best = (2.0, 0.3, 1.0, 0.2, 0.1, 0.5, 0.5), (0.5, 0.4, 0.2, 0.9, 0.1, 0.6, 0.7)
    return named(p) + sum(w * (x - b) ** 2 for w, x, b in zip(weights, unit(p), best, strict=True))


def ridge(p: Mapping[str, Any]) -> float:
    """Two parameters that must change together, the others as in `bowl`."""
    x = unit(p)
    return (
        named(p)
        + 3 * (x[0] + 0.5 * x[6] - 0.8) ** 2
        + 0.4 * (x[0] - 0.5) ** 2
        + (x[2] - 0.25) ** 2
        + 0.3 * (x[5] - 0.7) ** 2
    )


def waves(p: Mapping[str, Any]) -> float:
    """Many small optima on the way to the large one."""
    x = unit(p)
    return (
        bowl(p)
        + 0.05 * (1 - cos(6 * pi * (x[0] - 0.5)))
        + 0.03 * (1 - cos(6 * pi * (x[2] - 0.2)))
        + 0.02 * (1 - sin(pi * x[3]))
    )


OBJECTIVES: dict[str, Objective] = {"bowl": bowl, "ridge": ridge, "waves": waves}

if __name__ == "__main__":
    name, read, written = sys.argv[1:]
    time.sleep(random.uniform(1, 3))  # no secret
    Path(written).write_text(json.dumps({"loss": OBJECTIVES[name](json.loads(Path(read).read_text()))}))
