"""The simple commands in a command: which one takes the flags, and whether its exit status is the job's."""

from __future__ import annotations

import re
from dataclasses import replace

from airflow_slurm_sweep.sweep.command import Command, Placeholder, placeholders, tokens
from airflow_slurm_sweep.sweep.lookalikes import refuse_in_command

# In `_bare`: what parts simple commands, what begins or ends compound ones, what comes before a training.
_BETWEEN = re.compile(r"(&&|\|\||\|&|(?<![<>])(?:[;|\n]|&(?!>)))")
_COMPOUND = {"{", "}", "if", "then", "elif", "else", "fi", "while", "until", "do", "done", "esac", "function"}
_PREPARE = (
    *(".", ":", "[", "[[", "case", "cd", "cp", "date", "declare", "echo", "eval", "exit", "export", "for", "hostname"),
    *("ln", "ls", "mkdir", "ml", "module", "mv", "nvidia-smi", "popd", "printf", "pushd", "pwd", "rm", "set", "shopt"),
    *("sleep", "source", "test", "touch", "trap", "true", "ulimit", "umask", "unset"),
    *("conda activate", "mamba activate", "micromamba activate", "pip install", "spack load", "uv sync"),
)
# A shell that runs a text, bash -lc "…": what stands behind the text is the text's $0, $1, …
_SHELL_TEXT = re.compile(
    r"(?:^|\s)(?:\S*/)?(?:sh|bash|dash|ash|zsh|ksh|fish|\$SHELL)"
    r"(?:\s+(?:[-+]\w*o\s+\w+|[-+]\S+))*?\s+-[A-Za-z]*c[A-Za-z]*(?:\s|$)"
    r"|^(?:\w+=\S*\s+|(?:exec|time|nohup)\s+)*(?:eval|ssh)\s"  # a second shell reads the words again
)
# What reads a training's output from a pipe, and what may follow a training; neither trains.
_FILTERS = {"awk", "cat", "cut", "egrep", "gawk", "grep", "head", "logger", "sed", "sort", "tail", "tee", "tr", "ts"}
_FINISH = {":", "chmod", "cp", "date", "echo", "gzip", "hostname", "ls", "mkdir", "mv", "nvidia-smi", "printf", "rm"}
_FINISH |= {"rsync", "sleep", "sync", "tar", "touch", "true", "unset", "wait"}
_SUBMITTERS = {"sbatch", "qsub", "bsub", "condor_submit"}
_RUNNERS = {"exec", "time", "nohup", "setsid", "nice", "env"}
# After these, the last command is not alone in deciding.
_DECIDED = re.compile(r"\bset[ \t]+(?:\S+[ \t]+)*-\w*e|\b(?:errexit|exec|exit|return|trap)\b|\$\?")
_PIPES_DECIDED = re.compile("pipefail|PIPESTATUS")


def with_flags(command: Command, text: str) -> Command:
    """Return a command, read from that text, with ``{flags}`` at its end.

    Raises:
        ValueError: It is not clear that its last command is the one that takes them.
    """
    if not last_command(text):
        raise ValueError(
            "the command has no placeholder of parameters, and is more than a simple command behind preparations such "
            "as cd; write {flags} where they belong"
        )
    return replace(command, parts=(*command.parts, " ", Placeholder(name="flags", text="{flags}", is_word=True)))


def last_command(text: str) -> str:
    """Return the simple command that a text ends with; empty if something else than preparations stands before it."""
    bare, begin = _bare(text.strip()), 0
    for between in _BETWEEN.finditer(bare):
        words = _words(bare[begin : between.start()])
        if words and words[0] not in _PREPARE and " ".join(words[:2]) not in _PREPARE:
            return ""
        begin = between.end()
    last = bare[begin:].strip()
    is_simple = last and last.split()[0] not in _COMPOUND and not re.search(r"^\(|\0|[<>&|\\]$", last)
    is_simple = is_simple and not _SHELL_TEXT.search(last)
    return text.strip()[begin:].strip() if is_simple else ""


def lost_status(text: str, setup: str) -> str:
    """Return why a job may succeed although its training fails; empty where that is not certain.

    The training is the last command with a placeholder, or a variable of the job, that is more than housekeeping.
    ``setup`` runs before in the same shell.
    """
    text = text.strip()
    bare = _bare(text)
    if re.search(r"(?<![&|<>])&[\s\0]*(?:disown\b[^;|&]*)?\Z", bare):
        return "it ends in `&`, so that the job ends at once, and the training with it; take the last & away"
    pieces = _BETWEEN.split(bare)  # the simple commands, and what stands between
    programs, between = [next(iter(_words(each)), "") for each in pieces[::2]], pieces[1::2]
    begins = {word for each in pieces[::2] for word in each.split()[:1]}
    is_compound = re.search(r"(?<!\$)\(", bare) or begins & {"case", "for", "select", *_COMPOUND}
    training = None if is_compound else _training(text, pieces, programs)
    return "" if training is None else _lost_behind(training, programs, between, f"{setup}\n{text}")


def refuse_mistakes(text: str) -> None:
    """Raise ValueError for characters that no shell reads as they look, and for work that another job would do."""
    bare = _bare(text)
    refuse_in_command(bare, text)
    _refuse_handing_on(bare)


def _refuse_handing_on(bare: str) -> None:
    """Raise ValueError for a command that only hands its work to another job, or to a session in the background."""
    pieces = _BETWEEN.split(bare)[::2]
    words = [found for each in pieces if (found := [word for word in _words(each) if word not in _RUNNERS])]
    if "(" in bare or {each.split()[0] for each in pieces if each.split()} & {"case", "for", "select", *_COMPOUND}:
        return
    works = [each for each in words if each[0] not in {*_PREPARE, *_FILTERS, *_FINISH}]
    if works and all(_hands_on(each) for each in works):
        program = works[-1][0]
        cure = (
            "write what its script runs, with its #SBATCH lines as keys of slurm:"
            if program in _SUBMITTERS
            else "write what runs in it"
        )
        raise ValueError(f"{program} hands the work on, so that the job ends at once and says nothing of it; {cure}")


def _hands_on(words: list[str]) -> bool:
    """Whether a simple command submits a job, or begins a session, and does not wait for it."""
    if words[0] == "sbatch":
        return not {"-W", "--wait"} & set(words)
    if words[0] in ("tmux", "screen"):
        return any(re.fullmatch(r"-\w*[dD]\w*", each) for each in words[1:])
    return words[0] in _SUBMITTERS


def _lost_behind(training: int, programs: list[str], between: list[str], text: str) -> str:
    """Return why what stands behind the training hides its exit status."""
    end = training  # of its pipeline
    while between[end : end + 1] in (["|"], ["|&"]):
        end += 1
    after = [each for each in programs[end + 1 :] if each]
    if end > training:
        if programs[end] not in _FILTERS or _PIPES_DECIDED.search(text) or not _FINISH.issuperset(after):
            return ""
        return (
            f"a pipe has the exit status of its last command, {programs[end]}, so that the job succeeds although the "
            "training fails; write a first line: set -o pipefail"
        )
    is_plain = after and _FINISH.issuperset(after) and {";", "\n"}.issuperset(between[end + 1 :])
    if not is_plain or _DECIDED.search(text):
        return ""
    if between[end] == "&" and text.endswith("wait"):
        return (
            "`wait` alone succeeds although the training fails; give it the number of each, which is $! behind its &, "
            "such as: wait $!"
        )
    if between[end] in (";", "\n") and after[-1] != "wait":
        return (
            f"the job has the exit status of {after[-1]}, so that it succeeds although the training before it fails; "
            "write a first line: set -e"
        )
    return ""


def _training(text: str, pieces: list[str], programs: list[str]) -> int | None:
    """Return the number of the simple command that trains."""
    found, begin = None, 0
    for number, program in enumerate(programs):
        said = text[begin : begin + len(pieces[2 * number])]
        is_named = placeholders(said) or re.search(r"\$\{?(?:SWEEP_|BASE_LOG_DIR\b)", said)
        if program and is_named and program not in {*_PREPARE, *_FILTERS, *_FINISH}:
            found = number
        begin += sum(map(len, pieces[2 * number : 2 * number + 2]))
    return found


def _words(bare: str) -> list[str]:
    """Return the words of a simple command, without what begins or ends compound ones and assignments before it."""
    words = bare.replace("\0", " ").split()
    while words and (words[0] in _COMPOUND or re.match(r"\w+\+?=", words[0])):
        words.pop(0)
    return words


def _bare(text: str) -> str:
    """Return a text of that length: quoted and nested parts are ``x``, comments null characters.

    It is empty if the text has a here-document, or an open quote or bracket. A continued line goes on behind blanks.
    """
    parts = []
    for kind, token, here in tokens(text):
        if kind in ("heredoc", "unclosed"):
            return ""
        if here != "command" or kind in ("escaped", "braces", "name", "odd", "double", "quotes", "backticks"):
            parts.append("  " if kind == "escaped" and token.endswith("\n") else "x" * len(token))
        else:
            parts.append("\0" * len(token) if kind == "comment" else token)
    return "".join(parts)
