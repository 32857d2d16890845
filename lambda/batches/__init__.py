"""OpenAI's Batch API: files and batches, their checking, their engines and their ends.

The API answers from a table and a bucket. Everything that takes longer is a step of another
function: `checker` checks, stops and finishes; the engines have theirs.
"""
