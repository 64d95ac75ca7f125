"""Who asks for a job, and the names of Dag runs and tasks that the cluster keeps."""

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Who asks for a job: one try of one task of one Dag run. The cluster keeps it beside the job's id.

    ``id`` is Airflow's id of the task instance, a UUID of version 7: another one for each try, also where a Dag run was
    deleted and made again.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    id: str
    installation: str  # which Airflow: two may have the same Dag and run ids on one log directory

    @property
    def run(self) -> str:
        """The Dag run, as the record names it."""
        return run_name(self.installation, self.dag_id, self.run_id)

    @property
    def task(self) -> str:
        """The task, as the record names it."""
        return task_name(self.task_id, self.map_index)

    @property
    def instance(self) -> str:
        """The id, as the record names it."""
        return _word(self.id)


def run_name(installation: str, dag_id: str, run_id: str) -> str:
    """Return a Dag run's name: three words, and no other Dag run's."""
    return f"{_word(installation)} {_word(dag_id)} {_word(run_id)}"


def task_name(task_id: str, map_index: int) -> str:
    """Return a task instance's name in its Dag run: two words, and no other's."""
    return f"{_word(task_id)} {map_index}"


def _word(name: str) -> str:
    """Return a name as one word: as it is in Airflow's own forms, else percent-encoded."""
    return quote(name, safe=":+~@,", errors="surrogatepass") or "%"
