"""Measures the served variants, puts prices on the figures, and draws the study's tables.

Two paths: `run` drives the public API and appends one JSON line an answer (client, load, records);
`report` reads those lines and writes tables, charts and pages (analysis, report_*). The rest are
calculators that need no endpoint: study, limit, cost, prices.
"""
