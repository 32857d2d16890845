"""A container's start, by what SageMaker puts its model on the disk as."""

import subprocess
import tempfile
import time
from datetime import date
from pathlib import Path

from benchmark.speed.machine import of_device
from benchmark.speed.processes import diffusers_environment, serving
from benchmark.speed.rows import Measured
from sd_contract.manifest import sha256

SIDE = 64
"""Of the picture, small so that the start is what is measured, and not the drawing on a CPU."""


def start(weights: Path, scratch: Path, device: str, rounds: int) -> Measured:
    """Seconds from the process to a picture, the least of `rounds` in turn; for `model.tar.gz` with
    its extraction, which is tar's and gzip's as on SageMaker. Neither side downloads: the bytes are
    the same."""
    archive = scratch / "model.tar.gz"
    if not archive.is_file():
        subprocess.run(["tar", "-I", "gzip -1", "-cf", archive, "-C", weights, "."], check=True)
    from_folder, extraction, from_extracted = [], [], []
    for _ in range(rounds):
        from_folder.append(_seconds(weights, device))
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            started = time.perf_counter()
            subprocess.run(["tar", "-xzf", archive, "-C", folder], check=True)
            extraction.append(time.perf_counter() - started)
            from_extracted.append(_seconds(Path(folder), device))
    return Measured(
        min(from_folder),
        min(extraction) + min(from_extracted),
        "the same",
        f"sd_serving.server, a picture of {SIDE}x{SIDE} in 1 step after its warm-up; weights "
        f"{archive.stat().st_size / 1e9:.2f} GB as .tar.gz of gzip -1, whose extraction takes "
        f"{min(extraction):.3g} s; no download on either side; the files in the page cache; each "
        f"the least of {rounds} in turn",
        of_device(device),
        date.today().isoformat(),
    )


def _seconds(weights: Path, device: str) -> float:
    """With the files in the page cache, as a download or an extraction leaves them."""
    for file in weights.rglob("*"):
        if file.is_file():
            sha256(file)
    environment = diffusers_environment(weights, SIDE)
    if device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""  # the container takes a GPU where it finds one
    started = time.perf_counter()
    with serving(["sd_serving.server"], environment) as server:
        server.wait()
        server.draw(prompt="a red circle", num_inference_steps=1, seed=7)
        return time.perf_counter() - started
