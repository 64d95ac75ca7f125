"""Submissions that arrive one by one and go to Slurm as arrays."""

from collections.abc import Sequence

from airflow_slurm_sweep.errors import CrowdedError, SlurmSweepError
from airflow_slurm_sweep.slurm.arrays.script import MAX_ELEMENTS, grouped
from airflow_slurm_sweep.slurm.batching import batches
from airflow_slurm_sweep.slurm.client import SlurmClient
from airflow_slurm_sweep.slurm.submit.answer import SubmissionAnswer
from airflow_slurm_sweep.slurm.submit.script import Submission

_SINGLES = 25  # submissions in one script, as many as tasks/cluster.py sends where there are no arrays


class ArraySubmitter:
    """Submits jobs as arrays, as large as the site accepts.

    A site that limits how many jobs a user may have refuses an array as a whole. So the size is halved after such a
    refusal, and doubled after a success.
    """

    def __init__(self, client: SlurmClient) -> None:
        self._client = client
        self._at_most = MAX_ELEMENTS

    async def submit_all(self, submissions: Sequence[Submission]) -> list[SubmissionAnswer]:
        """Do what `SlurmClient.submit_all` does, with an sbatch for each group of `grouped`."""
        groups = grouped(submissions, self._at_most)
        self._at_most = max(2, self._at_most)  # the next time
        arrays = [group for group in groups if len(group) > 1]
        singles = [group[0] for group in groups if len(group) == 1]
        scripts = list(batches(singles, _SINGLES))
        answers: dict[int, SubmissionAnswer] = {}
        for submit, parts in ((self._submit_array, arrays), (self._client.submit_all, scripts)):
            for positions in parts:
                part = [submissions[position] for position in positions]
                try:
                    answers |= zip(positions, await submit(part), strict=True)
                except SlurmSweepError as error:  # of these submissions alone
                    answers |= dict.fromkeys(positions, error)
        return [answers[position] for position in range(len(submissions))]

    async def _submit_array(self, group: Sequence[Submission]) -> list[SubmissionAnswer]:
        try:
            answers = await self._client.submit_array(group)
        except CrowdedError:
            self._at_most = len(group) // 2
            raise
        self._at_most = min(MAX_ELEMENTS, 2 * self._at_most)
        return answers
