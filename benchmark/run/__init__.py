"""Measures the served variants through their public API, one JSON line an answer."""
