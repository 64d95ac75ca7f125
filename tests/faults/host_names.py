"""Names of hosts that are known to some processes, until they are not."""

from __future__ import annotations

from pathlib import Path

LOGIN = "login.cluster.test"  # no DNS knows a name in .test
_HOSTS = f"127.0.0.1 localhost\n127.0.0.1 {LOGIN}\n"
_PROGRAM = 'mount --bind "$0/hosts" /etc/hosts && mount --bind "$0/resolv.conf" /etc/resolv.conf && exec "$@"'


class HostNames:
    """What the processes behind `command` know. Needs the right to mount."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")  # where no DNS is
        self.come()

    @property
    def command(self) -> list[str]:
        """The words before a command that has names of its own."""
        return ["unshare", "--mount", "sh", "-c", _PROGRAM, str(self._folder)]

    def go(self) -> None:
        """Forget the login node's."""
        (self._folder / "hosts").write_text("127.0.0.1 localhost\n")

    def come(self) -> None:
        """Know it."""
        (self._folder / "hosts").write_text(_HOSTS)
