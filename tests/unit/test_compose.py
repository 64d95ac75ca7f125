"""What docker-compose.yaml promises, read from the file: no engine is needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_slurm_sweep.sweep.spec import load_profile
from sandbox import config
from sandbox.airflow import LARGE_SWEEPS

PROJECT = Path(__file__).parents[2]
TEXT = (PROJECT / "docker-compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
AIRFLOW = sorted(name for name, service in SERVICES.items() if service["image"] == "slurm-sweep-airflow")
ONE_SHOT = {"secrets", "init"}
PARTS = sorted(set(AIRFLOW) - ONE_SHOT)
VARIABLE = re.compile(r"\$\{(\w+):-([^${}]*)\}")


def settings(service: str) -> dict[str, str]:
    """The environment of a service."""
    return dict(SERVICES[service].get("environment", {}))


def variables(text: str) -> dict[str, str]:
    """The variables of a text with their defaults, which may hold variables themselves."""
    found: dict[str, str] = {}
    while matches := VARIABLE.findall(text):
        found |= dict(matches)
        text = VARIABLE.sub(lambda match: match[2], text)
    assert "${" not in text
    return found


def mounts(service: str) -> dict[str, str]:
    """What a service mounts, by the path in its container."""
    volumes = [volume.split(":") for volume in SERVICES[service].get("volumes", [])]
    return {volume[1]: volume[0] for volume in volumes}


def test_what_starts_by_default() -> None:
    default = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert default == ONE_SHOT | {"postgres", "api-server", "scheduler", "dag-processor", "triggerer", "slurm"}


def test_profiles() -> None:
    by_profile: dict[str, set[str]] = {}
    for name, service in SERVICES.items():
        for profile in service.get("profiles", []):
            by_profile.setdefault(profile, set()).add(name)
    assert by_profile == {"celery": {"redis", "worker"}, "ha": {"scheduler-2", "triggerer-2"}}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_every_service_that_stays_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_nothing_runs_as_root_or_may_become_root(name: str) -> None:
    service = SERVICES[name]
    user = str(service.get("user", ""))
    if name == "slurm":  # its image says so
        lines = (PROJECT / service["build"]["dockerfile"]).read_text().splitlines()
        user = [line.split()[1] for line in lines if line.startswith("USER ")][-1]
    assert user.split(":")[0] not in ("", "0", "root")
    assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])


def test_nothing_is_made_root_in_airflows_image() -> None:
    lines = (PROJECT / SERVICES["secrets"]["build"]["dockerfile"]).read_text().splitlines()
    assert [line for line in lines if line.startswith("USER ")] == []


@pytest.mark.parametrize("name", PARTS)
def test_airflow_starts_after_its_database_is_ready(name: str) -> None:
    assert SERVICES[name]["depends_on"]["init"] == {"condition": "service_completed_successfully"}
    assert SERVICES["init"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert SERVICES["postgres"]["depends_on"] == {"secrets": {"condition": "service_completed_successfully"}}


def test_nothing_depends_on_the_sandbox() -> None:
    assert [name for name, service in SERVICES.items() if "slurm" in service.get("depends_on", {})] == []


@pytest.mark.parametrize("name", PARTS)
def test_the_tree_is_mounted_where_dags_and_include_are_neighbours(name: str) -> None:
    folders = {f"/opt/airflow/{folder}": f"./{folder}" for folder in ("dags", "plugins", "include")}
    assert folders.items() <= mounts(name).items()


@pytest.mark.parametrize("name", PARTS)
def test_large_sweeps(name: str) -> None:
    wanted = {f"AIRFLOW__{key}": str(value) for key, value in LARGE_SWEEPS.items()}
    assert wanted.items() <= settings(name).items()


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_environment_holds_a_secret(name: str) -> None:
    for key, value in settings(name).items():
        if re.search(r"PASSWORD|SECRET|FERNET|CONN|BROKER|RESULT_BACKEND", key):
            assert key.endswith(("_CMD", "_FILE")) or value == "${ADMIN_PASSWORD:-}"


def test_the_password_from_the_environment_reaches_one_service() -> None:
    assert [name for name in SERVICES if "ADMIN_PASSWORD" in settings(name)] == ["secrets"]
    assert TEXT.count("${ADMIN_PASSWORD") == 1


def test_jobs_reach_neither_database_nor_redis_nor_the_secrets() -> None:
    assert SERVICES["slurm"]["networks"] == ["cluster"]
    assert SERVICES["postgres"]["networks"] == SERVICES["redis"]["networks"] == ["airflow"]
    assert set(mounts("slurm").values()) == {"slurm", "./include/workspace"}
    assert [name for name in SERVICES if "secrets" in mounts(name).values()] == [
        name for name in SERVICES if name in AIRFLOW
    ]


def test_data_is_in_named_volumes() -> None:
    used = {source for name in SERVICES for source in mounts(name).values() if not source.startswith(".")}
    assert used == set(COMPOSE["volumes"])
    assert mounts("postgres")["/var/lib/postgresql/data"] == "database"


def test_every_variable_stands_in_the_example_with_its_default() -> None:
    example = dict(re.findall(r"^#(\w+)=(.*)$", (PROJECT / ".env.example").read_text(), re.MULTILINE))
    assert example.pop("COMPOSE_PROFILES") == ""  # Compose's own
    assert variables(TEXT.replace("$$", "")) == example  # `$$` is a dollar sign of a command's


@pytest.mark.parametrize("name", ["secrets", "slurm"])
def test_dockerfiles_have_the_same_default_images(name: str) -> None:
    build = SERVICES[name]["build"]
    arguments = re.findall(r"^ARG (\w+)=(.*)$", (PROJECT / build["dockerfile"]).read_text(), re.MULTILINE)
    assert {key: f"${{{key}:-{value}}}" for key, value in arguments} == build["args"]


def test_everything_that_a_dockerfile_copies_is_sent_to_the_engine() -> None:
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    kept = [line[1:].split("*")[0].rstrip("/") for line in ignored if line.startswith("!")]
    for file in (PROJECT / "docker").glob("*.Dockerfile"):
        for line in re.findall(r"^COPY (.*)$", file.read_text(), re.MULTILINE):
            assert set(line.split()[:-1]) <= set(kept)


def test_the_profile_is_that_of_the_sandbox() -> None:
    profile = load_profile(PROJECT / "docker" / "clusters" / "default.yaml")
    box = config.profile(
        config.Settings(
            directory=Path("/slurm"), user="sweep", host="slurm", nodes=8, accounting=False, min_job_age=300, ports={}
        )
    )
    elsewhere = {"ssh_conn_id": "slurm", "workdir": "/workspace"}
    assert mounts("slurm")["/workspace"] == "./include/workspace"
    assert {key: getattr(profile, key) for key in box} == box | elsewhere
