"""Search: what the next trial of a sweep is, and which trials end early. Pure: each call sees all that is known."""
