"""What Slurm, sshd and Airflow write, as they wrote it."""

from __future__ import annotations

from datetime import datetime

import pytest

from bench.logs import EndedJob, ended_jobs, logins, remote_calls, stalls

ENDED = """\
JobId=1 UserId=root(0) GroupId=root(0) Name=a b=c JobState=COMPLETED Partition=batch TimeLimit=525600 StartTime=2026-11-24T22:05:49 EndTime=2026-11-24T22:05:50 NodeList=n1 NodeCnt=1 ProcCnt=1 WorkDir=/tmp/s/workspace ReservationName= Tres=cpu=1,mem=2000M,node=1,billing=1 Account= QOS= WcKey= Cluster=unknown SubmitTime=2026-11-24T22:05:49 EligibleTime=2026-11-24T22:05:49 DerivedExitCode=0:0 ExitCode=0:0
JobId=2 UserId=root(0) GroupId=root(0) Name=bench_sweep_12 JobState=CANCELLED Partition=batch TimeLimit=UNLIMITED StartTime=2026-11-24T22:05:52 EndTime=2026-11-24T22:05:52 NodeList=(null) NodeCnt=0 ProcCnt=0 WorkDir=/tmp/s/workspace ReservationName= Tres=cpu=1,mem=2000M,node=1,billing=1 Account= QOS= WcKey= Cluster=unknown SubmitTime=2026-11-24T22:05:48 EligibleTime=unknown DerivedExitCode=0:0 ExitCode=0:0
JobId=3 UserId=root(0) GroupId=root(0) Name=half a line JobSta"""

SDIAG = """\
*******************************************************
sdiag output at Tue Nov 24 22:05:53 2026 (1795557953)
Data since      Tue Nov 24 22:05:49 2026 (1795557949)
*******************************************************
Server thread count:  3

Jobs submitted: 0

Main schedule statistics (microseconds):
	Last cycle:   8

Remote Procedure Call statistics by message type
	REQUEST_SUBMIT_BATCH_JOB                ( 4003) count:2      ave_time:1030   total_time:2061
	REQUEST_JOB_INFO_SINGLE                 ( 2021) count:12     ave_time:224    total_time:448
	MESSAGE_EPILOG_COMPLETE                 ( 6012) count:1      ave_time:250    total_time:250

Remote Procedure Call statistics by user
	root            (       0) count:12     ave_time:400    total_time:4802

Pending RPC statistics
	No pending RPCs
"""

SSHD = """\
Server listening on 127.0.0.1 port 12798.
Connection from 127.0.0.1 port 60102 on 127.0.0.1 port 12798 rdomain ""
Accepted key ED25519 SHA256:W4TdEc3whOUvkBrDUVvGniQ found at /tmp/s/ssh/authorized_keys:1
Postponed publickey for root from 127.0.0.1 port 60102 ssh2 [preauth]
Accepted publickey for root from 127.0.0.1 port 60102 ssh2: ED25519 SHA256:W4TdEc3whOUvkBrDUVvGniQ
Starting session: command for root from 127.0.0.1 port 60102 id 0
Starting session: command for root from 127.0.0.1 port 60102 id 0
Accepted publickey for root from 127.0.0.1 port 60103 ssh2: ED25519 SHA256:W4TdEc3whOUvkBrDUVvGniQ
"""

TRIGGERER = """\
2026-11-24T22:13:01Z [info     ] Triggerer's async thread was blocked for 0.25 seconds, exceeding the configured warning \
threshold of 0.20 seconds. This is likely caused by a badly-written trigger. Set PYTHONASYNCIODEBUG=1 to get more.
2026-11-24T22:13:02Z [info     ] 0 triggers currently running
2026-11-24T22:13:03Z [info     ] Triggerer's async thread was blocked for 5.01 seconds, exceeding the configured warning
"""


def test_ended_jobs() -> None:
    def seconds(time: str) -> float:
        return datetime.fromisoformat(f"2026-11-24T{time}").timestamp()

    first, second = ended_jobs(ENDED)
    assert first.name == "a b=c"
    assert first.state == "COMPLETED"
    assert second == EndedJob(
        job_id="2",
        name="bench_sweep_12",
        state="CANCELLED",
        submitted=seconds("22:05:48"),
        ended=seconds("22:05:52"),
    )


@pytest.mark.parametrize(("name", "index"), [("bench_sweep_1", 0), ("plain_20", 19), ("sleep.sh", -1), ("a_1_b", -1)])
def test_map_index_of_a_job_name(name: str, index: int) -> None:
    assert EndedJob(job_id="1", name=name, state="COMPLETED", submitted=0, ended=0).map_index == index


def test_remote_calls_are_those_by_type() -> None:
    assert remote_calls(SDIAG) == {
        "REQUEST_SUBMIT_BATCH_JOB": 2,
        "REQUEST_JOB_INFO_SINGLE": 12,
        "MESSAGE_EPILOG_COMPLETE": 1,
    }
    assert remote_calls("") == {}


def test_logins() -> None:
    assert logins(SSHD) == 2


def test_stalls() -> None:
    assert stalls(TRIGGERER) == [0.25, 5.01]
