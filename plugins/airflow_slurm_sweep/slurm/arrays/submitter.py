"""Submissions that arrive one by one and go to Slurm as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from airflow_slurm_sweep.errors import CrowdedError, SlurmSweepError
from airflow_slurm_sweep.slurm.arrays.script import MAX_ELEMENTS, grouped
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.job import SubmittedJob
from airflow_slurm_sweep.slurm.submit.script import Submission

_SINGLES = 25  # submissions in one script, as many as tasks/cluster.py sends where there are no arrays


class Arrays:
    """Makes arrays of what is submitted together, as large as the site accepts.

    A site that limits how many jobs a user may have refuses an array as a whole. So the size is halved after such a
    refusal, and doubled after a success.
    """

    def __init__(self, client: SlurmClient) -> None:
        self._client = client
        self._at_most = MAX_ELEMENTS

    async def submit_all(self, submissions: Sequence[Submission]) -> list[Callable[[], SubmittedJob]]:
        """Do what `SlurmClient.submit_all` does, with an sbatch for each group of `grouped`."""
        groups = grouped(submissions, self._at_most)
        if self._at_most == 1:
            self._at_most = 2  # the next time
        answers: dict[int, Callable[[], SubmittedJob]] = {}
        for group in (group for group in groups if len(group) > 1):
            answers |= zip(group, await self._submit_array([submissions[position] for position in group]), strict=True)
        singles = [group[0] for group in groups if len(group) == 1]
        for start in range(0, len(singles), _SINGLES):
            some = singles[start : start + _SINGLES]
            answers |= zip(some, await self._submit_singles([submissions[position] for position in some]), strict=True)
        return [answers[position] for position in range(len(submissions))]

    async def _submit_array(self, group: Sequence[Submission]) -> list[Callable[[], SubmittedJob]]:
        try:
            answers = await self._client.submit_array(group)
        except SlurmSweepError as error:
            if isinstance(error, CrowdedError):
                self._at_most = len(group) // 2
            return _failures(error, len(group))
        self._at_most = min(MAX_ELEMENTS, 2 * self._at_most)
        return answers

    async def _submit_singles(self, some: Sequence[Submission]) -> list[Callable[[], SubmittedJob]]:
        try:
            return await self._client.submit_all(some)
        except SlurmSweepError as error:
            return _failures(error, len(some))


def _failures(error: SlurmSweepError, count: int) -> list[Callable[[], SubmittedJob]]:
    """Return an answer for each submission that was sent together: the error concerns only these."""
    return [partial(_fail, type(error), str(error))] * count


def _fail(kind: type[SlurmSweepError], message: str) -> SubmittedJob:
    raise kind(message)
