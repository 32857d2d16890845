"""The request path that all three variants share: bytes of a request in, bytes of pictures out.

A variant brings its `load(model_dir, config) -> Parts`; everything else is here.
"""
