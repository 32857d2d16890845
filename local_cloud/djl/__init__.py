"""DJL Serving for one model, after v0.27.0: the server's part (`host`, `batching`, `properties`)
and that of the Python process behind it (`process`, `engine`, `messages`)."""
