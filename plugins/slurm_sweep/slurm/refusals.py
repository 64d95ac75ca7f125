UNCLEAR = ("Socket timed out", "Zero Bytes were transmitted")


def is_passing(said: str) -> bool:
    return "MaxSubmit" in said or "Unable to contact" in said or "Socket timed" in said
