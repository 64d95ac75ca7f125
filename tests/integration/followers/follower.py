"""A Dag that begins when a sweep has succeeded: what somebody would do with its best combination."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, get_current_context, task

SWEEP = Asset("sweep_told")

with DAG("follower", schedule=[SWEEP]):

    @task
    def look() -> Any:
        (event,) = get_current_context()["triggering_asset_events"][SWEEP]
        return event.extra

    look()
