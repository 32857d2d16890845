"""What a row was measured on."""

import os
import platform
from pathlib import Path


def cpu(threads: int | None = None) -> str:
    """And how busy it was, by the load average of 5 minutes, this run included. Linux names the
    model in /proc."""
    found = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        found = names[0].partition(":")[2].strip() if names else found
    of_those = f", {threads} thread{'s' * (threads > 1)}" if threads else ""
    return f"{found}{of_those}, load {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores"


def of_device(device: str) -> str:
    """With PyTorch's version."""
    import torch

    name = (
        torch.cuda.get_device_name(device)
        if device.startswith("cuda")
        else cpu(torch.get_num_threads())
    )
    return f"{name}, torch {torch.__version__}"
