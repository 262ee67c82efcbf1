"""What stops the local stack from starting or going on, in words for the person at the terminal."""


class LocalStackError(Exception):
    """The local stack cannot start or go on; the message says why and what to do."""
