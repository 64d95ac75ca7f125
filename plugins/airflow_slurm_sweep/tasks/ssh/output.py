"""What goes into a channel and comes out of it, within a bound."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

OUTPUT_LIMIT = 64 * 2**20  # bytes
_PIECE = 2**16


class TooMuchOutputError(Exception):
    """A command printed more than anybody reads."""

    def __init__(self) -> None:
        super().__init__(f"the command printed more than {OUTPUT_LIMIT // 2**20} MiB")


async def converse(process: Any, script: str) -> tuple[str, str]:
    """Send a script to a process of asyncio's or asyncssh's; return what it printed, on standard output and error.

    Raises:
        TooMuchOutputError: It printed more than `OUTPUT_LIMIT`; it has to be ended.
    """
    printed = 0

    async def send() -> None:
        with suppress(ConnectionError):  # the login shell has ended; its output says why
            # The script goes in by standard input: it has no length limit there and no process list shows it.
            process.stdin.write(script.encode())
            await process.stdin.drain()
            process.stdin.write_eof()

    async def read(stream: Any) -> str:
        nonlocal printed
        pieces = []
        while piece := await stream.read(_PIECE):
            pieces.append(piece)
            printed += len(piece)
            if printed > OUTPUT_LIMIT:
                raise TooMuchOutputError
        return b"".join(pieces).decode(errors="replace")

    tasks = [asyncio.ensure_future(work) for work in (read(process.stdout), read(process.stderr), send())]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    return str(tasks[0].result()), str(tasks[1].result())
