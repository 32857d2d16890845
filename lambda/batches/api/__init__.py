"""Answers requests for files and batches, from a table and a bucket."""
