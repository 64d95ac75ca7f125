"""A picture of what a combination costs, against the size of the sweep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from bench.report import Results


def plot(results: Results, path: Path) -> None:
    """Write a PNG: seconds and CPU seconds for a combination."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    time, cpu = figure.subplots(1, 2)
    lines = (
        (results.sweeps, "airflow-slurm-sweep", "o-"),
        (results.plain, "plain Airflow", "s"),
        (results.empty, "empty triggers", "x--"),
    )
    for runs, label, style in lines:
        if runs:
            at = [run.size for run in runs]
            time.plot(at, [run.seconds_each for run in runs], style, label=label)
            cpu.plot(at, [run.cpu_each for run in runs], style, label=label)
    sizes = sorted({run.size for run in (*results.sweeps, *results.plain, *results.empty)})
    for axes, title in ((time, "seconds for a combination"), (cpu, "CPU seconds for a combination")):
        axes.set(title=title, xlabel="combinations", xscale="log")
        axes.set_xticks(sizes, labels=map(str, sizes))
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    figure.suptitle(", ".join(f"{name} {results.machine[name]}" for name in ("airflow", "slurm", "cores")), fontsize=9)
    figure.savefig(path, format="png", dpi=120)
