"""The local cloud: MiniStack on 127.0.0.1 and what it lacks of AWS, and the app deployed to it.

The commands (`up`, `smoke`, `bench`, each over `running.running()`), the server with its process
groups and its janitor, and a room for each part of AWS.
"""
