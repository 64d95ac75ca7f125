"""Search: what the next trial of a sweep is. Pure: each call sees all that is known."""
