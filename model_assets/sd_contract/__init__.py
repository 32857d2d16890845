"""What the stacks, the builds and the containers must agree on, stated once.

Pure: standard library, Python 3.10 (the oldest container's). Nothing in here imports anything of
ours from outside.
"""
