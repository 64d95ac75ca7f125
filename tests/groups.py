"""A pytest plugin: which tests share a worker of pytest-xdist, in which order they begin, and which wait for --all.

Tests that need the same Airflow, or the same cluster of a special kind, run in one worker, so that it is started once; so
do the unit tests of a file. All others go to whichever worker is free; each worker has a cluster of its own for them.
What takes longest begins first; of those that measure time (``alone``) it comes last, since its Airflow stays.
"""

from __future__ import annotations

import pytest

GROUPS = {  # by fixture
    "theatre": "faults",
    "visit": "browser",  # with an Airflow of its own: one worker would take all of the ten minutes for both
    "airflow": "airflow",
    "own_airflow": "upgrade",
    "environment": "dags test",
    "prepared": "documentation",
    "box": "requeue",
    "any_cluster": "accounting",
    "cluster_accounting": "accounting",
    "cluster_forgetful": "accounting",
    "strict": "refusals",
    "full": "refusals",
    "fragile": "refusals",
    "wheel": "package",
}
LONGEST = ["airflow", "faults", "browser", "dags test", "accounting", "requeue"]  # in this order
FIRST = list(dict.fromkeys([*LONGEST, *GROUPS.values()]))


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for the groups, and pytest for the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test's group, sort, and leave one of two shells to --all."""
    places: dict[pytest.Item, int] = {}
    for item in items:
        group = _group(item)
        if group and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(group))
        place = FIRST.index(group) if group in FIRST else len(FIRST) + bool(group)
        places[item] = -place if item.get_closest_marker("alone") else place
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if parameters.get("login") == "bash" and not item.get_closest_marker("both_shells"):
            item.add_marker(pytest.mark.all)
        for mark in item.iter_markers("slow"):
            if not mark.args:
                raise pytest.UsageError(f"{item.nodeid}: pytest.mark.slow: expected the reason in brackets")
    items.sort(key=lambda item: places[item])


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse a pytest-xdist that does not honour the groups, as 3.8 with pytest 9.2: each worker would start all."""
    lost = [item.nodeid for item in session.items if _group(item) and not item.nodeid.endswith(f"@{_group(item)}")]
    if getattr(session.config.option, "loadgroup", False) and lost:
        raise pytest.UsageError(f"pytest-xdist does not know the groups of {len(lost)} tests, such as {lost[0]}")


def _group(item: pytest.Item) -> str | None:
    if mark := item.get_closest_marker("xdist_group"):
        return str(mark.args[0])
    fixtures = getattr(item, "fixturenames", ())
    if group := next((group for fixture, group in GROUPS.items() if fixture in fixtures), None):
        return group
    return None if item.get_closest_marker("sandbox") else item.path.stem
