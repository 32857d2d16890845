"""What the stacks, the front door, the containers and the benchmark must agree on, stated once.

Pure: standard library, Python 3.10 (the oldest container's). Staged into the Lambda's asset and the
images. Nothing in here imports anything of ours from outside.
"""
