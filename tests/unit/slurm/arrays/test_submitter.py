"""Arrays as large as the site takes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from array_jobs import ATTEMPT, job

from airflow_slurm_sweep.errors import ClusterUnavailableError, CrowdedError, SlurmSweepError
from airflow_slurm_sweep.slurm.arrays.submitter import ArraySubmitter
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.submit.answer import SubmissionAnswer, submitted_job
from airflow_slurm_sweep.slurm.submit.script import Submission


class Cluster(SlurmClient):
    """Takes arrays of a certain size; notes what it was asked."""

    def __init__(self, room: int = 1000, *errors: SlurmSweepError) -> None:
        self.room = room
        self.asked: list[tuple[str, list[str]]] = []
        self._errors = list(errors)

    async def submit_array(self, submissions: Sequence[Submission]) -> list[SubmissionAnswer]:
        if len(submissions) > self.room:
            self.asked.append(("crowded", [job.name for job, _ in submissions]))
            raise CrowdedError("AssocMaxSubmitJobLimit")
        return self._submit("array", submissions)

    async def submit_all(self, submissions: Sequence[Submission]) -> list[SubmissionAnswer]:
        return self._submit("each", submissions)

    def _submit(self, how: str, submissions: Sequence[Submission]) -> list[SubmissionAnswer]:
        self.asked.append((how, [job.name for job, _ in submissions]))
        if self._errors:
            raise self._errors.pop(0)
        return [submitted_job(job, "7") for job, _ in submissions]


def ask(arrays: ArraySubmitter, *numbers: int | str, base: str = "s_") -> list[str]:
    """Return each one's job, by name, or error."""

    async def work() -> list[SubmissionAnswer]:
        return await arrays.submit_all([(job(number, base), ATTEMPT) for number in numbers])

    return [str(each) if isinstance(each, SlurmSweepError) else each.job_name for each in asyncio.run(work())]


def test_groups_in_arrays_and_the_rest_one_by_one_each_gets_its_answer() -> None:
    cluster = Cluster()
    assert ask(ArraySubmitter(cluster), 3, "x", 1, 2, "y") == ["s_3", "s_x", "s_1", "s_2", "s_y"]
    assert cluster.asked == [("array", ["s_1", "s_2", "s_3"]), ("each", ["s_x", "s_y"])]


def test_a_single_submission_makes_no_array() -> None:
    cluster = Cluster()
    ask(ArraySubmitter(cluster), 3)
    assert cluster.asked == [("each", ["s_3"])]


def test_an_error_is_that_of_its_group() -> None:
    cluster = Cluster(1000, ClusterUnavailableError("connection lost"))
    assert ask(ArraySubmitter(cluster), 1, 2, "x") == ["connection lost", "connection lost", "s_x"]


def test_a_site_with_a_limit_gets_smaller_arrays_and_larger_ones_later() -> None:
    cluster = Cluster(3)
    arrays = ArraySubmitter(cluster)
    numbers = range(1, 9)
    assert ask(arrays, *numbers) == ["AssocMaxSubmitJobLimit"] * 8
    assert ask(arrays, *numbers) == ["AssocMaxSubmitJobLimit"] * 8
    assert ask(arrays, *numbers) == [f"s_{number}" for number in numbers]
    assert [(how, len(names)) for how, names in cluster.asked[-4:]] == [("array", 2)] * 4
    cluster.room = 1000
    ask(arrays, *numbers)
    assert [(how, len(names)) for how, names in cluster.asked[4:]][-1] == ("array", 8)


def test_submissions_go_one_by_one_where_no_array_fits_and_arrays_are_tried_again() -> None:
    cluster = Cluster(0)
    arrays = ArraySubmitter(cluster)
    for _ in range(3):
        ask(arrays, 1, 2)
    assert [how for how, _ in cluster.asked] == ["crowded", "each", "crowded"]


@pytest.mark.parametrize("count", [26, 60])
def test_not_too_many_one_by_one_in_a_script(count: int) -> None:
    cluster = Cluster()
    ask(ArraySubmitter(cluster), *[f"{number}x" for number in range(count)])
    assert max(len(names) for _, names in cluster.asked) == 25
