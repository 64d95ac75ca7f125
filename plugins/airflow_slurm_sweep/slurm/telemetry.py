"""What is counted while jobs are submitted and waited for, whoever collects it."""


class Metrics:
    """Takes figures about one cluster and drops them; a subclass keeps them. It must not wait, and must not fail."""

    def count(self, name: str, number: int = 1) -> None:
        """Add to a counter."""

    def gauge(self, name: str, value: int) -> None:
        """Set a number that goes up and down."""

    def time(self, name: str, seconds: float) -> None:
        """Report how long something took."""


NO_METRICS = Metrics()
