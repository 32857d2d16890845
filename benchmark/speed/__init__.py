"""`benchmark speed`: what this project does against the plain way of doing it, each as a ratio.

`rows` says what is compared and what is to be reached, `record` keeps and writes what was measured;
every other file measures one kind of row, both sides in one run on one machine.
"""
