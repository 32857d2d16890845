"""The queue's function."""
