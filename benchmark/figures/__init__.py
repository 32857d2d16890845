"""Calculations that need no endpoint: the published study, physical limits, costs, prices."""
