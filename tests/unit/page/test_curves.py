"""What the page takes of running jobs' curves."""

from __future__ import annotations

import time

from airflow_slurm_sweep.names import LIVE_KEY_PREFIX, WAIT
from airflow_slurm_sweep.page.curves import all_curves, latest, live_curves
from airflow_slurm_sweep.page.xcoms import live_views
from airflow_slurm_sweep.slurm.history import History, fitted
from airflow_slurm_sweep.slurm.snapshot import CURVES, view


def test_the_table_has_the_latest_value_and_none_of_a_job_that_diverged() -> None:
    history = History()
    for step in (1, 2):
        history.add("loss", step, step / 2)
    curves = fitted({0: (history, {}), 1: (history, {"loss": 0.75}), 2: (history, {"loss": 1.0})}, 1024)
    xcoms = {(WAIT, f"{LIVE_KEY_PREFIX}a", 0): {**view({}, time.time()), CURVES: curves}}
    assert latest(live_curves(live_views(xcoms, time.time()))) == {1: {"loss": 0.75}, 2: {"loss": 1}}
    assert all_curves({}, xcoms)["loss"] == {index: [[1, 2], [0.5, 1]] for index in range(3)}
