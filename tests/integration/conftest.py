"""Real Slurm clusters that the integration tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Eight nodes without accounting; finished jobs stay visible to squeue for 300 s."""
    # A short name: the paths of unix sockets are limited to 107 bytes.
    with Sandbox(tmp_path_factory.mktemp("c")) as box:
        yield box


@pytest.fixture(scope="session")
def cluster_accounting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Eight nodes with accounting, and a controller that forgets: sacct works, unknown accounts are refused."""
    with Sandbox(tmp_path_factory.mktemp("a"), accounting=True, min_job_age=2) as box:
        yield box


@pytest.fixture(scope="session")
def cluster_forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Two nodes without accounting that forget a job 2 s after its end."""
    with Sandbox(tmp_path_factory.mktemp("f"), nodes=2, min_job_age=2) as box:
        yield box
