"""A notifier for the tests: what somebody would be told goes to a file."""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import BaseNotifier, Context


class FileNotifier(BaseNotifier):
    """Appends a text to a file."""

    template_fields = ("text",)

    def __init__(self, path: str, text: str) -> None:
        super().__init__()
        self.path = path
        self.text = text

    def notify(self, context: Context) -> None:  # noqa: ARG002  # Airflow's
        """Tell."""
        with Path(self.path).open("a") as file:
            file.write(f"{self.text}\n")
