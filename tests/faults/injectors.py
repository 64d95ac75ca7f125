"""The faults that come at a moment: one function each, and tables of them. Each returns once the fault is mended."""

from __future__ import annotations

import re
import shutil
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_slurm_sweep.errors import ClusterRefusedError, ClusterUnavailableError
from airflow_slurm_sweep.names import RECORD
from airflow_slurm_sweep.slurm.attempt import Attempt
from sandbox.processes import send, title, tree, wait_until
from tests.faults.airflow_parts import TRIGGERER_THRESHOLD
from tests.full import FULL
from tests.integration.login import Login

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.parts import Part
    from tests.faults.stage import Stage


AWAY = 60.0 if FULL else 15.0  # seconds


def triggerer_killed(stage: Stage) -> None:
    """Kill a triggerer with SIGKILL, and start it again."""
    _kill(stage, stage.rng.choice(stage.theatre.airflow.triggerers))


def scheduler_killed(stage: Stage) -> None:
    """Kill the scheduler with SIGKILL, with all that it started or alone, and start it again."""
    _kill(stage, stage.theatre.airflow.scheduler)


def api_server_killed(stage: Stage) -> None:
    """Kill the API server with SIGKILL, with its children, which would keep its port; and start it again."""
    part = stage.theatre.airflow.api_server
    part.kill(whole=True)
    stage.note(f"{part.name} killed")
    part.start()


def _kill(stage: Stage, part: Part) -> None:
    whole = stage.rng.random() < 0.5
    part.kill(whole=whole)
    stage.note(f"{part.name} killed{', with all that it had started' if whole else ''}")
    part.start()


def triggerer_stalled(stage: Stage) -> None:
    """Stall a triggerer until the other one has taken over its triggers, and for 60 s in a full run; then let it go."""
    part = stage.rng.choice(stage.theatre.airflow.triggerers)
    least = 60.0 if FULL else TRIGGERER_THRESHOLD + 4.0
    began = time.monotonic()
    part.freeze()
    stage.note(f"{part.name} stalled")
    # Triggers of the stalled one carry its id until the other one, which runs, takes them.
    taken = wait_until(
        lambda: time.monotonic() - began > least and len(set(stage.tasks.triggerers.values())) <= 1, least + 20
    )
    part.thaw()
    stage.note(f"{part.name} goes on, its triggers {'were' if taken else 'were not'} taken over")


def controller_restarted(stage: Stage) -> None:
    """Restart slurmctld; nobody gets an answer for a moment."""
    stage.theatre.box.stop("slurmctld")
    stage.note("slurmctld stopped")
    stage.pause(1, 4)
    stage.theatre.box.start("slurmctld")


def sshd_stopped(stage: Stage) -> None:
    """Stop sshd and its sessions, for 60 s in a full run, and start it again."""
    stage.theatre.box.stop("sshd")
    stage.note(f"sshd stopped for {AWAY:.0f} s")
    time.sleep(AWAY)
    stage.theatre.box.start("sshd")
    stage.note("sshd runs again")


def connections_cut(stage: Stage) -> None:
    """Kill the sshd processes of all sessions; what they had started goes on."""
    listener = stage.theatre.box.status()["sshd"]
    if listener is not None:
        sessions = [pid for pid in tree([listener]) if pid != listener and title(pid).startswith("sshd")]
        send(signal.SIGKILL, sessions)
        stage.note(f"{len(sessions)} SSH connections cut")


def other_airflow(stage: Stage) -> None:
    """Let another Airflow, with the same Dag and run ids, submit into the run directories: it is refused, each time."""
    records = {index: stage.run_dir(index) / RECORD for index in stage.combinations}
    runs = [index for index, file in records.items() if file.exists() and re.search(r"^job \d", file.read_text(), re.M)]
    box = stage.theatre.box
    for index in runs[:5]:
        login = Login(box=box, folder=box.directory / "elsewhere")
        request = login.request(name=stage.name(index), run_dir=str(stage.run_dir(index)), index=index + 1)
        attempt = Attempt(
            dag_id=stage.dag_id,
            run_id=stage.run_id,
            task_id="combination.submit",
            map_index=index,
            try_number=1,
            id="0",
            installation="staging",
        )
        with suppress(ClusterUnavailableError):  # the cluster goes wrong for it, too
            try:
                login.submit(request, attempt)
                raise AssertionError(f"{request.name} was submitted for another Airflow")
            except ClusterRefusedError as error:
                stage.note(f"another Airflow: {error}")


def database_restarted(stage: Stage) -> None:
    """Restart Airflow's database."""
    _without_database(stage, 0)


def database_away(stage: Stage) -> None:
    """Stop Airflow's database, for 60 s in a full run, and start it again."""
    _without_database(stage, AWAY)


def _without_database(stage: Stage, seconds: float) -> None:
    airflow = stage.theatre.airflow
    assert airflow.postgres, "scripts/setup --tests installs Postgres"
    airflow.postgres.stop()
    stage.note(f"Postgres stopped for {seconds:.0f} s")
    time.sleep(seconds)
    airflow.postgres.start_again()
    stage.note("Postgres runs again")

    def is_back() -> bool:  # a service manager starts what has ended
        for part in airflow.parts:
            if not part.lives:
                part.start()
                stage.note(f"{part.name} had ended")
        return airflow.is_healthy()

    if not wait_until(is_back, 90):
        # A scheduler that ends may wait for a worker of its LocalExecutor for ever, until a liveness probe ends it.
        airflow.scheduler.kill(whole=True)
        assert wait_until(is_back, 150), "Airflow did not come back"


def api_server_away(stage: Stage) -> None:
    """Stop Airflow's API server, for 60 s in a full run, and start it again."""
    part = stage.theatre.airflow.api_server
    part.kill(whole=True)
    stage.note(f"{part.name} killed for {AWAY:.0f} s")
    time.sleep(AWAY)
    part.start()
    assert wait_until(stage.theatre.airflow.is_healthy, 150), "Airflow did not come back"


def name_unknown(stage: Stage) -> None:
    """Cut the connections, and take the login node's name out of DNS, for 60 s in a full run."""
    if names := stage.theatre.names:
        names.go()
        stage.note(f"the login node's name is unknown for {AWAY:.0f} s")
        connections_cut(stage)
        time.sleep(AWAY)
        names.come()
        stage.note("the name is known again")


def directories_lost(stage: Stage) -> None:
    """Delete the run directory of a live job, and the record of another."""
    live = {name: job_id for job_id, name in stage.live_jobs().items()}
    one, other = stage.rng.sample([index for index in stage.combinations if stage.name(index) in live], 2)
    stage.excuse(one)
    shutil.rmtree(stage.run_dir(one))
    (stage.run_dir(other) / RECORD).unlink()
    stage.note(f"the run directory of {stage.name(one)} and the record of {stage.name(other)} are gone")


SERVICES: dict[str, Callable[[Stage], None]] = {
    function.__name__: function for function in (database_restarted, database_away, api_server_away, name_unknown)
}
AIRFLOW: dict[str, Callable[[Stage], None]] = {
    function.__name__: function for function in (triggerer_killed, scheduler_killed, triggerer_stalled)
}
CLUSTER: dict[str, Callable[[Stage], None]] = {
    function.__name__: function for function in (controller_restarted, sshd_stopped, connections_cut, other_airflow)
}
