"""djl's requests that come together, in one batch and one after another."""

import base64
import time
from datetime import date
from pathlib import Path

from benchmark.speed.full_size import small_model
from benchmark.speed.machine import of_device
from benchmark.speed.pictures import said_difference
from benchmark.speed.processes import ROOT, container_environment, serving
from benchmark.speed.rows import Measured
from djl.options import PYTORCH, DjlBatching, DjlOptions

DELAY_MS = 100


def djl_batches(requests: int = 8, steps: int = 25, rounds: int = 3) -> Measured:
    """Seconds until all are answered, the least of `rounds`: one host takes them together, the
    other one at a time."""
    with small_model() as folder:
        together, picture = _seconds(folder, requests, requests, steps, rounds)
        alone, other = _seconds(folder, 1, requests, steps, rounds)
    return Measured(
        together,
        alone,
        said_difference(picture, other),
        f"{requests} requests at once to the stand-in for DJL-Serving, model.py on PyTorch's CPU, "
        f"64x64, {steps} steps; max_batch_delay {DELAY_MS} ms; the least of {rounds}",
        of_device("cpu"),
        date.today().isoformat(),
    )


def _seconds(
    folder: Path, batch_size: int, requests: int, steps: int, rounds: int
) -> tuple[float, bytes]:
    """And the first request's picture."""
    options = DjlOptions(PYTORCH, cuda_graph=False, max_unet_rows=2 * batch_size)
    environment = {
        **DjlBatching(batch_size, DELAY_MS, 100).to_env(),
        **options.to_env(),
        **container_environment(folder, side=64, guidance=4.0),
        "SERVING_LOAD_MODELS": "djl::DeepSpeed=/djl",
        "SERVING_RETRY_THRESHOLD": "0",
        "PREDICT_TIMEOUT": "240",
        "SD_DTYPE": "float32",
    }
    asked = [
        {"prompt": f"{number} red circles", "num_inference_steps": steps, "seed": number}
        for number in range(requests)
    ]
    spent = []
    with serving(["local_cloud.djl.host", str(ROOT / "model_assets")], environment) as server:
        server.wait()
        for _ in range(rounds):
            started = time.perf_counter()
            answers = server.draw_together(asked)
            spent.append(time.perf_counter() - started)
    return min(spent), base64.b64decode(answers[0]["images"][0])
