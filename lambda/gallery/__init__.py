"""The gallery: pictures that are kept, found again by what they show.

The front door tells the queue of each request whose pictures are to be kept; `worker` copies them,
writes their rows and the vectors of their prompts. `api` answers `/pictures` and `/similar`.
A row that is deleted, or whose time is over, takes file and vector along: `removals` hears of it by
the table's stream.
"""
