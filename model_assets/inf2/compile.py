"""Compiles a diffusers folder for Inferentia2: `python -m inf2.compile`.

As a SageMaker training job it takes its flags from the job's hyperparameters and its paths from
what the platform lays out below /opt/ml (SD_OPT_ML names another root), and leaves the reason of a
failure in output/failure, where the service picks it up. By hand, every flag can be given.

One network is in memory at a time, and one model in the parity gate. What is done is kept in the
checkpoints folder, so an interruption costs one part. The manifest is written last, after the
parity gate.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from inf2.artifact import (
    COPIED,
    Bar,
    CompiledModel,
    CompiledPart,
    Parity,
    graph_path,
    write_manifest,
)
from inf2.backends import Backend, CompilerKilled, backend
from inf2.compiled_parts import load_parts
from inf2.parity import PROMPTS, STEPS, choose_pictures, quality, require_parity
from inf2.part_store import PartStore
from inf2.parts import PARTS, Part
from sd_contract.environment import COMPILE_BACKENDS
from sd_contract.manifest import NAME, WEIGHTS
from sd_contract.size import Size
from sd_serving.manifest import check_manifest

DTYPES = ("bfloat16", "float32")


class CompileError(Exception):
    """One part could not be compiled; the message begins with its name."""


@dataclass(frozen=True)
class CompileJob:
    weights: Path
    """A diffusers folder."""
    out: Path
    checkpoints: Path
    key: str
    """Of the artifact."""
    part_keys: Mapping[str, str]
    """By part: of all that determines its graphs, but for their sizes."""
    weights_key: str
    """That the weights' manifest must carry; empty: a folder without a manifest."""
    sizes: tuple[Size, ...]
    backend: str
    on_cpu: bool
    """Compile for a Neuron device on a host without one."""
    sdk: str
    dtype: str
    """Of the UNet and the text encoder; the VAE is always float32."""
    parity_db: float | None
    """Least PSNR of each picture, beyond what is measured; None: no such bar."""
    parity_steps: int
    parity_pictures: int
    """For each size."""


def compile_model(job: CompileJob) -> CompiledModel:
    """Writes the artifact to `job.out`.

    Raises CompileError, ParityTooLow, or ModelUnusable for the weights; there is no manifest then,
    so what was written is no artifact.
    """
    runtime = backend(job.backend, on_cpu=job.on_cpu)
    origin = _origin(job)
    job.out.mkdir(parents=True, exist_ok=True)
    (job.out / NAME).unlink(missing_ok=True)
    parts = _compile_parts(job, runtime)
    _copy_configuration(job)
    parity = _parity(job, runtime)
    model = CompiledModel(
        model_id=str(origin.get("model_id", "")),
        revision=str(origin.get("revision", "")),
        license=str(origin.get("license", "")),
        weights_key=job.weights_key,
        sizes=job.sizes,
        dtype=job.dtype,
        backend=job.backend,
        sdk=job.sdk,
        packages=runtime.packages(),
        parity=parity,
        parts=parts,
        peak_rss_gib=peak_rss_gib(),
        quality=quality(parity),
    )
    _say(f"memory peaked at {model.peak_rss_gib} GiB")
    write_manifest(job.out, job.key, model)
    return model


def _origin(job: CompileJob) -> Mapping[str, Any]:
    if not job.weights_key:
        return {}
    return check_manifest(job.weights, job.weights_key, WEIGHTS).more


def _compile_parts(job: CompileJob, runtime: Backend) -> tuple[CompiledPart, ...]:
    return tuple(
        _compile_part(job, runtime, part, size)
        for part in PARTS
        for size in (job.sizes if part.for_each_size else job.sizes[:1])
    )


def _compile_part(job: CompileJob, runtime: Backend, part: Part, size: Size) -> CompiledPart:
    path = graph_path(part.name, size if part.for_each_size else None)
    started = time.perf_counter()

    def write(file: Path) -> None:
        graph = part.build(job.weights, size, job.dtype)
        with tempfile.TemporaryDirectory() as workdir:
            runtime.compile(graph, part.options, Path(workdir), file)

    store, key = PartStore(job.checkpoints), job.part_keys[part.name]
    file = store.get(path, key)
    reused = file is not None
    try:
        file = file or store.put(path, key, write)
    except CompilerKilled as error:
        raise CompileError(f"{path.parent}: {_memory_missing(job, str(error))}") from error
    except Exception as error:
        raise CompileError(f"{path.parent}: {type(error).__name__}: {error}") from error
    gc.collect()
    _place(file, job.out / path)
    seconds = round(time.perf_counter() - started, 1)
    report = CompiledPart(str(path), seconds, peak_rss_gib(), reused)
    _say(
        f"{path.parent}: {'reused' if reused else 'compiled'} in {seconds} s, "
        f"peak memory so far {report.peak_rss_gib} GiB"
    )
    return report


def _copy_configuration(job: CompileJob) -> None:
    files = [*COPIED, *(f"tokenizer/{p.name}" for p in (job.weights / "tokenizer").iterdir())]
    for name in files:
        target = job.out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(job.weights / name, target)


def _memory_missing(job: CompileJob, said: str) -> str:
    smaller = "smaller sd.kinds.neuron.sizes"
    # Memory: aws-neuron-sdk, trn1-arch.rst; CodeBuild's BUILD_GENERAL1_2XLARGE.
    helps = (
        smaller
        if job.on_cpu
        else (
            "sd.kinds.neuron.compile.instance_type=ml.trn1.32xlarge (512 GiB), its "
            f"compute=codebuild-cpu (144 GB), or {smaller}"
        )
    )
    return (
        f"memory did not suffice, the system killed the Neuron compiler ({said}). This machine has "
        f"{_memory_gib()} GiB; the compile's peak so far was {peak_rss_gib()} GiB. What helps: "
        f"{helps}. The parts before this one are kept."
    )


def _parity(job: CompileJob, runtime: Backend) -> Parity:
    from inf2.references import measure

    pictures = choose_pictures(job.sizes, steps=job.parity_steps, count=job.parity_pictures)
    _say(f"parity: {len(pictures)} pictures in {job.parity_steps} steps, eager float32 and as is")
    parity = measure(
        job.weights,
        job.out,
        pictures,
        Bar(job.parity_db),
        job.dtype,
        products_in_bfloat16=runtime.products_in_bfloat16,
    )
    _say(f"parity: eager is done; memory peaked at {peak_rss_gib()} GiB so far")
    if not runtime.runs_here:
        _say("parity: no device here; the first endpoint to load this runs the graphs and decides")
        return parity
    parity = require_parity(load_parts(job.out, runtime, job.sizes, job.dtype), parity, job.out)
    _say(f"parity: passed, {json.dumps(quality(parity))}")
    return parity


def _place(file: Path, target: Path) -> None:
    """Gigabytes: a link where that is possible."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def peak_rss_gib() -> float:
    """This process and its largest child, which is the Neuron compiler: an upper bound, since
    their peaks need not coincide."""
    peak = sum(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    return round(peak * unit / 2**30, 2)


def _memory_gib() -> float:
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)


def _say(line: str) -> None:
    print(line, flush=True)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Instead of exiting: a job has to leave its reason."""
        raise ValueError(message)


def parse_job(argv: Sequence[str], root: Path) -> CompileJob:
    """From command-line flags, with the job's hyperparameters below `root` as their defaults.

    Raises ValueError for a flag that is unknown, missing or out of range.
    """
    parser = _Parser(prog="python -m inf2.compile")
    parser.add_argument("--weights", type=Path, default=root / "input" / "data" / "weights")
    parser.add_argument("--out", type=Path, default=root / "model")
    parser.add_argument("--checkpoints", type=Path, default=root / "checkpoints")
    parser.add_argument("--key", required=True)
    parser.add_argument("--part-keys", type=_part_keys, required=True, help="JSON, by part")
    parser.add_argument("--weights-key", default="")
    parser.add_argument("--sizes", type=_sizes, required=True, help="512x512,768x768")
    parser.add_argument("--backend", choices=COMPILE_BACKENDS, required=True)
    parser.add_argument("--on-cpu", action="store_true")
    parser.add_argument("--sdk", required=True)
    parser.add_argument("--dtype", choices=DTYPES, required=True)
    parser.add_argument("--parity-db", type=float)
    parser.add_argument("--parity-steps", type=int, default=STEPS)
    parser.add_argument("--parity-pictures", type=int, default=len(PROMPTS))
    flags = parser.parse_args([*_hyperparameters(root), *argv])
    return CompileJob(**vars(flags))


def _hyperparameters(root: Path) -> list[str]:
    try:
        values = json.loads((root / "input" / "config" / "hyperparameters.json").read_bytes())
    except FileNotFoundError:
        return []
    return [f"--{name}={value}" for name, value in values.items()]


def _sizes(text: str) -> tuple[Size, ...]:
    return tuple(map(Size.parse, text.split(",")))


def _part_keys(text: str) -> dict[str, str]:
    keys: dict[str, str] = json.loads(text)
    if keys.keys() != {part.name for part in PARTS}:
        raise ValueError
    return keys


def main(argv: Sequence[str] | None = None, env: Mapping[str, str] = os.environ) -> int:
    root = Path(env.get("SD_OPT_ML", "/opt/ml"))
    try:
        job = parse_job(sys.argv[1:] if argv is None else argv, root)
        _say(f"compiling {', '.join(map(str, job.sizes))} with {job.backend}, {job.dtype}")
        compile_model(job)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the job's failure reason
        traceback.print_exc()
        _say(f"FATAL: {error}")
        if (root / "output").is_dir():
            (root / "output" / "failure").write_text(str(error)[:1024])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
