"""The function that answers, which the front door calls."""
