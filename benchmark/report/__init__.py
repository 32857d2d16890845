"""Reads what a run recorded and writes tables, charts and pages of it."""
