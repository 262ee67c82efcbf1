"""What the readers of `image_rebuild` have in common, whatever the format."""

SLACK_BYTES = 16
"""Of coded data that may be of no use: encoders pad with up to 4 bytes, and decoders look up to 8 ahead."""


class NotRebuildable(Exception):
    """The file is damaged, of a kind that browsers do not show, or would grow; the message says which."""
