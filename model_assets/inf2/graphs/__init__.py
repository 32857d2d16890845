"""The networks as the compiler gets them, one a module, each with `build(weights, size, dtype)`.

A compiled graph's key is taken from its own module, what that imports, and inf2.backends. So
nothing is imported here that doesn't determine a graph, and the table of the parts is elsewhere.
"""
