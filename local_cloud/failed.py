"""What ends a command."""


class Failed(Exception):
    """The message is what a person is told."""
