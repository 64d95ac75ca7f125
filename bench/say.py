"""Progress on the terminal."""

import sys


def say(text: str) -> None:
    """Tell the user something; standard output is for the results."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
