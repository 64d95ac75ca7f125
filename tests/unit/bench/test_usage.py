"""What /proc says."""

from __future__ import annotations

import os

from bench.usage import Process, families, parse_pss, parse_stat

ROLLUP = """\
55e0f0a5b000-7ffd5b9f1000 ---p 00000000 00:00 0                          [rollup]
Rss:              171512 kB
Pss:              120001 kB
Pss_Dirty:         90000 kB
"""


def test_a_process_has_its_own_time_and_that_of_its_ended_children() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    text = f"12 (a (b) c) S 7 12 12 0 -1 4194304 1 2 3 4 {ticks} {2 * ticks} {3 * ticks} {4 * ticks} 20 0 1 0 99"
    assert parse_stat(text) == Process(parent=7, cpu_seconds=10.0)


def test_pss() -> None:
    assert parse_pss(ROLLUP) == 120001 * 1024
    assert parse_pss("") == 0


def test_each_process_belongs_to_the_nearest_part_above_it() -> None:
    parents = {1: 0, 10: 1, 11: 10, 12: 11, 20: 10, 21: 20, 30: 1, 31: 999}
    processes = {pid: Process(parent=parent, cpu_seconds=0) for pid, parent in parents.items()}
    found = families(processes, {"scheduler": 11, "triggerer": 20, "gone": 77})
    assert found == {"scheduler": {11, 12}, "triggerer": {20, 21}, "gone": set()}
