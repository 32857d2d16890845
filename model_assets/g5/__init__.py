"""Plain diffusers on PyTorch: on a GPU (ml.g5), or on the CPU it finds itself on."""
