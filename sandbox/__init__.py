"""A real Slurm cluster of virtual GPU nodes and an sshd: rootless, private, in one directory.

For tests and demonstrations; nothing in ``plugins/`` imports it. On a shell::

    python -m sandbox up /tmp/box
    python -m sandbox status /tmp/box
    python -m sandbox down /tmp/box

In Python::

    with Sandbox("/tmp/box", nodes=2) as box:
        print(box.slurm("sinfo"))
"""

from sandbox.cluster import Sandbox
from sandbox.processes import SandboxError

__all__ = ["Sandbox", "SandboxError"]
