"""Apart from the other errors: of what the networks are loaded with, a compiled graph's key is
taken."""


class ModelUnusable(Exception):
    """What lies in the model directory can't be served."""
