"""Stable Diffusion on Inferentia2: the compile, and the loading of what it compiled."""
