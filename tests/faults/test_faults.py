"""Sweeps under fault: nothing runs twice, nothing is lost, nothing ends wrongly, nothing is left behind.

Each test runs one sweep and breaks one side of it at random moments (FAULT_SEED repeats the choices). The cluster's
list of jobs is then compared with Airflow's tasks. `scripts/test --all` does it three times, and longer.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_slurm_sweep.names import PARAMETERS, STATE_DIR
from sandbox.processes import wait_until
from tests.faults import users
from tests.faults.disks import KINDS, Disks
from tests.faults.injectors import (
    AIRFLOW,
    CLUSTER,
    SERVICES,
    api_server_killed,
    directories_lost,
    scheduler_killed,
    triggerer_killed,
)
from tests.faults.login_node import SBATCH_FAULTS
from tests.faults.stage import SWEEPS, Stage
from tests.full import FULL
from tests.integration.sshd import another_host_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.stage import Theatre

pytestmark = [pytest.mark.sandbox, pytest.mark.slow("sweeps run for a minute, with faults at random moments")]
rounds = pytest.mark.parametrize("number", range(1, 4 if FULL else 2))
LONGEST = 20 if FULL else 10  # seconds of a job
HABITS = {"SBATCH_EXPORT": "NONE", "SQUEUE_PARTITION": "other", "SCANCEL_STATE": "PENDING", "SLURM_EXIT_ERROR": "0"}
FAILING = 0.2  # share of the jobs that exit with 3


def stage_of(theatre: Theatre, name: str, number: int) -> Stage:
    """A stage whose jobs are planned: 5 to `LONGEST` s, some of them fail."""
    stage = Stage(theatre, name, f"{name.partition('_')[0]}{number}", SWEEPS[name])
    for index in range(stage.size):
        status = 3 if stage.rng.random() < FAILING else 0
        theatre.login.plan_job(stage.name(index), (stage.rng.randint(5, LONGEST), status))
    return stage


@rounds
def test_airflow_dies(theatre: Theatre, number: int) -> None:
    """Triggerers and the scheduler are killed; a triggerer stalls and comes back."""
    stage = stage_of(theatre, "airflow_faults", number)
    order = ["triggerer_killed", "scheduler_killed", "triggerer_stalled"]
    if FULL:
        order += ["triggerer_killed", "triggerer_stalled"]
    stage.rng.shuffle(order)
    stage.trigger()
    stage.wait_for_jobs(3)
    for name in order:
        stage.pause(1, 5)
        AIRFLOW[name](stage)
    stage.finish()


@pytest.mark.all
@rounds
def test_what_airflow_stands_on_goes_away(theatre: Theatre, number: int) -> None:
    """Its database, its API server, DNS, a job's run directory and another's record."""
    stage = stage_of(theatre, "services", number)
    for index in range(stage.size):
        status = 3 if stage.rng.random() < FAILING else 0
        theatre.login.plan_job(stage.name(index), (stage.rng.randint(60, 150), status))
    order = stage.rng.sample([*SERVICES], len(SERVICES))
    stage.trigger()
    stage.wait_for_jobs(3)
    for number_of_fault, name in enumerate(order):
        if number_of_fault == 1:
            directories_lost(stage)  # while jobs live
        stage.pause(1, 5)
        SERVICES[name](stage)
    stage.finish()


@pytest.mark.all
@rounds
@pytest.mark.parametrize("name", ["chained", "retried"])
def test_jobs_are_followed_by_others(theatre: Theatre, name: str, number: int) -> None:
    """Triggerers die and stall, and sbatch goes wrong, as the second and third job of each combination come."""
    stage = stage_of(theatre, name, number)
    stage.again = {stage.name(index) for index in range(stage.size)}  # several jobs are what they are for
    for index in range(stage.size):
        # The chain goes on after any failure; its jobs end well.
        last = 3 if name == "retried" and stage.rng.random() < FAILING else 0
        theatre.login.plan_job(stage.name(index), (4, 75), (4, 75), (4, last))
        theatre.login.break_sbatch(stage.name(index), *stage.rng.sample(SBATCH_FAULTS, 3))
    order = ["triggerer_killed", "triggerer_stalled", "triggerer_killed"]
    stage.trigger()
    stage.wait_for_jobs(2)
    for fault in order:
        stage.pause(1, 6)
        AIRFLOW[fault](stage)
    stage.finish()
    for index in range(stage.size):
        ran = {event.job_id for event in theatre.login.events() if event.job_name == stage.name(index)}
        assert len(ran) == 3, f"{stage.name(index)}: {ran}"


@rounds
@pytest.mark.all
def test_airflow_dies_while_trials_are_proposed_and_stopped(theatre: Theatre, number: int) -> None:
    """Triggerers and the scheduler die, and sbatch goes wrong, in a search whose worse trials are stopped early."""
    stage = stage_of(theatre, "searched", number)
    for index in stage.rng.sample(range(stage.size), stage.size // 2):
        theatre.login.break_sbatch(stage.name(index), stage.rng.choice(SBATCH_FAULTS))
    stage.trigger()
    stage.wait_for_jobs(2)
    for fault in ["triggerer_killed", "triggerer_stalled", "scheduler_killed", "triggerer_killed"]:
        stage.pause(3, 12)
        AIRFLOW[fault](stage)
    assert stage.finish().again == 0, "a proposal ran twice"
    folder = Path(str(theatre.box.profile["log"]))
    (listed,) = {path for path in folder.rglob(f"{STATE_DIR}/*/proposals") if f"/{stage.name(0)}\n" in path.read_text()}
    run_dirs = listed.read_text().splitlines()
    assert sorted(run_dirs) == sorted({str(Path(run_dirs[0]).parent / stage.name(i)) for i in range(stage.size)})
    proposed = [(Path(run_dir) / PARAMETERS).read_text() for run_dir in run_dirs]
    assert len({*proposed}) == stage.size, "two trials have the same parameters"
    assert len([*(listed.parent / "rungs").iterdir()]) > 1
    rungs = {int(path.name): dict(line.split() for line in path.read_text().splitlines()[1:])
             for path in (listed.parent / "rungs").iterdir()}  # fmt: skip
    stops = stage.stops()
    theatre.report(f"{stage.jobname}: {len(stops)} stopped early")
    for name, note in stops.items():
        rung = str(round(math.log2(note["step"] / 2)))
        values = [float(each[rung]) for each in rungs.values() if rung in each]
        assert note["number"] >= 2
        assert note["place"] > max(1, note["number"] // 2), f"{name}: the rule would not stop it"
        assert note["value"] == float(rungs[int(name.rpartition("_")[2])][rung])
        assert note["place"] - 1 <= sum(value < note["value"] for value in values)
        assert note["number"] <= len(values)


@rounds
@pytest.mark.all
def test_airflow_dies_while_a_run_waits_for_approval(theatre: Theatre, number: int) -> None:
    """Each part of Airflow is killed; of six answers at once Airflow takes some, and a later one does not count."""
    stage = stage_of(theatre, "approved", number)
    airflow = theatre.airflow
    stage.trigger()
    assert wait_until(lambda: stage.tasks.state("approve", -1) == "awaiting_input", 150), stage.tasks.states
    deaths = [scheduler_killed, api_server_killed, *[triggerer_killed] * 3]
    stage.rng.shuffle(deaths)
    for die in deaths:
        stage.pause(1, 5)
        die(stage)
    assert wait_until(airflow.is_healthy, 150), "Airflow did not come back"
    assert airflow.call("GET", f"{stage.path}/taskInstances/approve")["state"] == "awaiting_input"
    assert not any(theatre.cluster.of(stage.name(index)) for index in range(stage.size)), "a job before the answer"
    airflow.scheduler.kill(whole=True)
    stage.note("scheduler killed before the answers")
    with ThreadPoolExecutor(6) as people:
        answers = [*people.map(lambda option: users.answer(stage, option), ["Approve"] * 6)]
    assert 200 in answers, answers
    assert set(answers) <= {200, 409}, answers
    api_server_killed(stage)
    airflow.scheduler.start()
    assert wait_until(airflow.is_healthy, 150), "Airflow did not come back"
    assert users.answer(stage, "Reject") == 409

    def is_approved() -> bool:
        state = stage.tasks.state("approve", -1)
        if state == "awaiting_input":  # Airflow lost the answers with its scheduler: the run asks again
            # Where the answer is faster than the end of the process that asked, Airflow takes the task for failed.
            stage.pause(5, 8)
            users.answer(stage, "Approve")
        return state == "success"

    assert wait_until(is_approved), "the run neither goes on nor asks again"
    stage.finish()
    for index in range(stage.size):
        ran = {event.job_id for event in theatre.login.events() if event.job_name == stage.name(index)}
        assert len(ran) == 1, f"{stage.name(index)}: {ran}"


@pytest.fixture
def disks(theatre: Theatre) -> Iterator[Disks]:
    disks = Disks(Path(str(theatre.box.profile["log"])))
    yield disks
    disks.unmount()


@rounds
def test_the_cluster_is_unreliable(theatre: Theatre, disks: Disks, number: int) -> None:
    """Everything between Airflow and Slurm goes wrong: connections, sshd, slurmctld, each command, the clock, the disk."""
    stage = stage_of(theatre, "cluster_faults", number)
    login = theatre.login
    indices = stage.rng.sample(range(stage.size), stage.size)
    stage.reserve_name()
    for kind in KINDS if Disks.possible() else ():
        index = indices.pop()
        disks.break_disk(kind, stage.name(index))
        stage.excuse(index)
        stage.note(f"disk of {stage.name(index)} {kind}")
    for number_of_fault, index in enumerate(indices[: stage.size * 3 // 4]):
        login.break_sbatch(stage.name(index), SBATCH_FAULTS[number_of_fault % len(SBATCH_FAULTS)])
    skew = stage.rng.choice([-1, 1]) * stage.rng.randint(600, 7200)
    login.skew_clock(skew)
    stage.note(f"clock of the login node {skew:+d} s off")
    login.greet("Welcome to the cluster!\n12345\n")
    stage.note("banner at each login")
    login.break_squeue(3)
    login.break_sacct(True)
    login.set_environment(**HABITS)
    stage.note(f"the login has {', '.join(HABITS)}; sacct fails")
    order = ["controller_restarted", "sshd_stopped", "connections_cut", "other_airflow"] + ["connections_cut"] * (
        2 if FULL else 0
    )
    stage.rng.shuffle(order)
    stage.trigger()
    stage.wait_for_jobs(3)
    for name in order:
        stage.pause(1, 6)
        CLUSTER[name](stage)
    disks.mend()
    stage.note("disks mended")
    try:
        stage.finish()
    finally:
        login.break_squeue(None)
        login.break_sacct(False)
        login.set_environment()
        login.skew_clock(0)
        login.greet("")


@rounds
def test_users_intervene(theatre: Theatre, number: int) -> None:
    """Tasks are cleared and marked while their jobs run, and while they are submitted."""
    stage = stage_of(theatre, "user_faults", number)
    acts = [users.clear_submit, users.clear_damaged, users.clear_wait, users.mark_failed, users.mark_success] * (
        3 if FULL else 1
    )
    victims = stage.rng.sample(range(stage.size), len(acts) + 1)
    slow = victims.pop()
    theatre.login.break_sbatch(stage.name(slow), "slow")
    for index in victims:
        theatre.login.plan_job(stage.name(index), (150, 0), (5, 0))
    for index, act in zip(victims, acts, strict=True):
        if act is users.clear_wait:
            theatre.login.plan_job(stage.name(index), (40, 0), (5, 0))
    theatre.login.plan_job(stage.name(slow), (150, 0))
    stage.trigger()
    users.intervene(stage, {**dict(zip(victims, acts, strict=True)), slow: users.mark_submit_failed})
    stage.finish()


@rounds
def test_a_run_is_stopped(theatre: Theatre, number: int) -> None:
    """The whole Dag run is marked failed, at a random moment: its jobs go."""
    stage = stage_of(theatre, "stopped", number)
    for index in range(stage.size):
        theatre.login.plan_job(stage.name(index), (150, 0))
    stage.trigger()
    stage.wait_for_jobs(stage.rng.randint(2, stage.size))
    stage.pause(0, 5)
    users.mark_run_failed(stage)
    stage.finish()


@pytest.mark.all
@rounds
def test_logins_are_refused_while_triggerers_restart(theatre: Theatre, number: int) -> None:
    """The host key is another one for a while, and no triggerer has been let in before: all jobs are waited for."""
    stage = stage_of(theatre, "refused_logins", number)
    for index in range(stage.size):
        theatre.login.plan_job(stage.name(index), (60, 0))
    stage.trigger()
    tasks = f"{stage.path}/taskInstances?task_id=combination.submit"

    def submitted() -> list[str]:
        return [task["state"] for task in theatre.airflow.call("GET", tasks)["task_instances"]]

    assert wait_until(lambda: submitted() == ["success"] * stage.size)
    for triggerer in theatre.airflow.triggerers:
        triggerer.kill(whole=True)
    with another_host_key(theatre.box):
        stage.note("triggerers killed, and the host key is another one")
        for triggerer in theatre.airflow.triggerers:
            triggerer.start()
        log = theatre.box.directory / "logs" / "sshd.log"
        assert wait_until(lambda: log.read_text().count("Host key is not trusted") >= 2), "no triggerer came"
        stage.pause(3, 8)
    stage.note("the host key is the right one again")
    stage.finish()
    waits = f"{stage.path}/taskInstances?task_id=combination.wait"
    states = [task["state"] for task in theatre.airflow.call("GET", waits)["task_instances"]]
    assert states == ["success"] * stage.size
