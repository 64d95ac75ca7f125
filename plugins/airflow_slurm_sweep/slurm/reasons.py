"""Why jobs wait: Slurm's reasons in plain words, and which of them time alone will not mend.

A reason is free text: ``ReqNodeNotAvail, UnavailableNodes:n[1-4]``, ``launch failed requeued held``. scontrol writes it
with underscores. So reasons are known by their beginnings, without blanks, underscores and capitals.

Source: squeue(1), "JOB REASON CODES", and job_reason_codes.html, up to Slurm 25.11.
"""

import re
from enum import Enum


class Outlook(Enum):
    """What a reason means for a job that waits."""

    STUCK = "nothing but a person will start the job"
    SITE = "the site has to act"
    PASSES = "it passes by itself"


# The first that matches counts.
_REASONS: tuple[tuple[Outlook, str, str], ...] = (
    (Outlook.STUCK, r"jobhelduser", "its user holds it until `scontrol release`"),
    (Outlook.STUCK, r"jobheldadmin", "the site's administrators hold it, and only they can release it"),
    (Outlook.STUCK, r"jobholdmaxrequeue", "it was requeued too often, and is held until `scontrol release`"),
    (Outlook.STUCK, r".*requeued(inheldstate|held)", "Slurm requeued it, and holds it until `scontrol release`"),
    (Outlook.STUCK, r"dependencyneversatisfied", "the job that it depends on did not end as it requires"),
    (Outlook.STUCK, r"badconstraints", "no node has what it asks for: constraint, GPUs, CPUs or memory"),
    (Outlook.STUCK, r"partitiontimelimit", "its time limit is longer than the partition allows"),
    (Outlook.STUCK, r"partitionnodelimit", "it asks for more nodes, or fewer, than the partition allows"),
    (Outlook.STUCK, r"partitionconfig", "it asks for what the partition does not allow"),
    (Outlook.STUCK, r"accountnotallowed", "the partition does not allow its account"),
    (Outlook.STUCK, r"invalidaccount", "its account does not exist (any more)"),
    (Outlook.STUCK, r"invalidqos", "its QOS does not exist (any more)"),
    (Outlook.STUCK, r"qosnotallowed", "its QOS is not allowed in the partition, or to the account"),
    (Outlook.STUCK, r"maxmemperlimit", "it asks for more memory than the site allows for a CPU or a node"),
    (Outlook.STUCK, r"reservation(deleted|invalid)", "its reservation does not exist any more"),
    (Outlook.STUCK, r"deadline", "it cannot end before its deadline"),
    (Outlook.STUCK, r"assocmax\w*per(job|node)", "it asks for more than the account allows for a single job"),
    (Outlook.STUCK, r"qosmax\w*per(job|node)", "it asks for more than the QOS allows for a single job"),
    (Outlook.STUCK, r"qosmin", "it asks for less than the QOS requires of each job"),
    (Outlook.SITE, r"partitiondown", "the partition is down until the site's administrators bring it up"),
    (Outlook.SITE, r"partitioninactive", "the partition is inactive until the site's administrators bring it up"),
    (Outlook.SITE, r"(node|frontend)down", "a node that it needs is down; the site has to mend it"),
    (Outlook.SITE, r"assocgrp(?!\w*runmin)\w*(minutes|wall)", "the account's budget is used up; the site renews it"),
    (Outlook.SITE, r"qosgrp(?!\w*runmin)\w*(minutes|wall)", "the budget of the QOS is used up; the site renews it"),
    (Outlook.SITE, r"burstbufferoperation", "the burst buffer failed; the site's administrators have to look at it"),
    (Outlook.PASSES, r"priority", "jobs with a higher priority come first"),
    (Outlook.PASSES, r"resources", "it is next; the nodes, CPUs, GPUs or memory that it needs are in use"),
    (Outlook.PASSES, r"dependency", "it waits for another job to end"),
    (Outlook.PASSES, r"begintime", "it may not start before its begin time"),
    (Outlook.PASSES, r"reservation", "it waits for its reservation to begin"),
    (Outlook.PASSES, r"reqnodenotavail", "nodes that it needs are in use, reserved, drained or down"),
    (Outlook.PASSES, r"licenses", "the licenses that it needs are in use"),
    (Outlook.PASSES, r"jobarraytasklimit", "the array's limit of jobs at the same time is reached"),
    (Outlook.PASSES, r"(prolog|cleaning)", "Slurm prepares the nodes, or cleans up after the job's last run"),
    (Outlook.PASSES, r"burstbuffer", "its files go into the burst buffer, or wait for room there"),
    (Outlook.PASSES, r"assoc(grp|max)", "the account has reached a limit; jobs that end make room"),
    (Outlook.PASSES, r"(qos(grp|max)|max\w*per(user|account))", "a limit is reached; jobs that end make room"),
)

# Reasons that hold in each partition.
_OF_THE_JOB = re.compile(r"job|.*requeued|dependency|invalid|reservation|deadline|assoc")


def in_words(reason: str) -> str:
    """Return what Slurm's reason means; empty for one that is not known."""
    _, words = _find(reason)
    return words


def explained(reason: str) -> str:
    """Return a reason and what it means: ``Priority: jobs with a higher priority come first``."""
    return f"{reason}: {words}" if (words := in_words(reason)) else reason


def is_stuck(reason: str, *, partitions: str = "", has_start: bool = False) -> bool:
    """Return whether time alone will not start a job.

    Of a job in several ``partitions``, ``a,b``, Slurm shows what keeps it out of one of them, even while it plans the
    job's start in another one.
    """
    outlook, _ = _find(reason)
    in_all_partitions = _OF_THE_JOB.match(_plain(reason)) or not (has_start or "," in partitions)
    return outlook is Outlook.STUCK and bool(in_all_partitions)


def _find(reason: str) -> tuple[Outlook, str]:
    plain = _plain(reason)
    found = ((outlook, words) for outlook, pattern, words in _REASONS if re.match(pattern, plain))
    return next(found, (Outlook.PASSES, ""))


def _plain(reason: str) -> str:
    return re.sub(r"[\s_]", "", reason).lower()
