"""MiniStack: what the other rooms need of it, what is put right in it, and their doors into it.

Its internals have no stability promise (the version is pinned in requirements-dev.txt); only this
room touches them or imports it.
"""
