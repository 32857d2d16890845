"""The way to the device, as far as it can be gone without one: torch_neuronx is a double here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from inf2.backends import backend
from inf2.compile import CompileError, compile_model
from inf2.inference import load
from inf2.parity import RMS_FLOOR
from inf2.parts import PARTS
from sd_contract.size import Size
from sd_serving.model_unusable import ModelUnusable
from tests.fakes import neuronx as neuronx_fake
from tests.fakes.compiled_model import config, job
from tests.fakes.serving import WEIGHTS

pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit:DeprecationWarning",
    "ignore:Converting a tensor to a Python",
    "ignore::FutureWarning",
)


@pytest.mark.parametrize(
    ("on_cpu", "extra"),
    [(False, {}), (True, {"cpu_backend": True})],
    ids=["on a Neuron host", "on a CPU"],
)
def test_the_compiler_is_told_the_part_s_options(
    on_cpu: bool, extra: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    neuronx_fake.install(tmp_path / "neuronx", monkeypatch)
    neuronx = backend("neuronx", on_cpu=on_cpu)
    graph = PARTS[0].build(WEIGHTS, Size(64, 64), "bfloat16")
    neuronx.compile(graph, ("--model-type=unet-inference",), tmp_path, tmp_path / "model.pt")
    arguments = [
        "--model-type=unet-inference",
        # The arithmetic that the parity gate judges by, whatever the SDK's defaults are.
        "--auto-cast=matmult",
        "--auto-cast-type=bf16",
        "--enable-mixed-precision-accumulation",
        "--logfile",
        str(tmp_path / "neuronx-cc.log"),
        *(["--target", "inf2"] if on_cpu else []),
    ]
    assert neuronx_fake.calls() == [
        ("trace", {"compiler_workdir": str(tmp_path), "compiler_args": arguments, **extra}),
        ("async_load",),
        ("lazy_load",),
    ]
    assert neuronx.runs_here is not on_cpu


def test_the_parts_options_are_the_recipe_s() -> None:
    fast = "--enable-fast-loading-neuron-binaries"
    assert {part.name: part.options for part in PARTS} == {
        "unet": ("--model-type=unet-inference", fast),
        "vae_decoder": ("--model-type=unet-inference", fast),
        "vae_encoder": ("--model-type=unet-inference", fast),
        "text_encoder": (fast,),
        "vae_post_quant_conv": (),
    }


@pytest.mark.parametrize("name", [part.name for part in PARTS])
def test_the_parts_shapes_are_the_recipe_s(name: str) -> None:
    (part,) = (part for part in PARTS if part.name == name)
    graph = part.build(WEIGHTS, Size(128, 64), "bfloat16")
    found = [(tuple(value.shape), value.dtype) for value in graph.inputs]
    assert (
        found
        == {
            "unet": [
                ((1, 4, 8, 16), torch.bfloat16),
                ((1,), torch.float32),
                ((1, 77, 64), torch.bfloat16),
            ],
            "text_encoder": [((1, 77), torch.int64)],
            "vae_decoder": [((1, 4, 8, 16), torch.float32)],
            "vae_encoder": [((1, 3, 64, 128), torch.float32)],
            "vae_post_quant_conv": [((1, 4, 8, 16), torch.float32)],
        }[name]
    )
    own = {parameter.dtype for parameter in graph.network.parameters()}
    assert own == {torch.float32 if name.startswith("vae") else torch.bfloat16}


F137 = (
    "2025-09-26T08:26:13Z [F137] neuronx-cc was forcibly killed - This most commonly occurs due to "
    "insufficient system memory. Using a smaller data type, dimensions, batch size, or a larger "
    "instance type may help.\n"
)


@pytest.mark.parametrize(
    ("on_cpu", "helps"),
    [
        (
            False,
            "sd.kinds.neuron.compile.instance_type=ml.trn1.32xlarge (512 GiB), its "
            "compute=codebuild-cpu (144 GB), or smaller sd.kinds.neuron.sizes",
        ),
        (True, "smaller sd.kinds.neuron.sizes"),
    ],
)
@pytest.mark.parametrize(("status", "log"), [(-9, ""), (137, ""), (70, F137)])
def test_a_killed_compiler_is_told_as_a_want_of_memory_with_the_settings_that_help(
    status: int,
    log: str,
    on_cpu: bool,
    helps: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    neuronx_fake.install(tmp_path / "neuronx", monkeypatch)
    neuronx_fake.fail_with(status, log)
    said = (
        "vae_post_quant_conv/64x64: memory did not suffice, the system killed the Neuron compiler "
        rf"\(neuronx-cc failed with {status}\)\. This machine has \d+\.\d GiB; the compile's peak "
        rf"so far was \d+\.\d+ GiB\. What helps: {re.escape(helps)}\. "
    )
    with pytest.raises(CompileError, match=f"^{said}"):
        compile_model(job(tmp_path, backend="neuronx", on_cpu=on_cpu))


def test_a_compiler_that_fails_otherwise_is_not_told_as_a_want_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    neuronx_fake.install(tmp_path / "neuronx", monkeypatch)
    neuronx_fake.fail_with(70, "[NLA001] Unhandled exception with message: out of bound\n")
    said = "^vae_post_quant_conv/64x64: RuntimeError: neuronx-cc failed with 70$"
    with pytest.raises(CompileError, match=said):
        compile_model(job(tmp_path, backend="neuronx"))


@pytest.fixture(scope="module")
def without_a_device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled on a host that can't run it, in bfloat16."""
    folder = tmp_path_factory.mktemp("neuronx")
    with pytest.MonkeyPatch.context() as patch:
        neuronx_fake.install(folder / "neuronx", patch)
        compile_model(
            job(folder, backend="neuronx", on_cpu=True, dtype="bfloat16", parity_pictures=4)
        )
    return folder / "out"


def served(**changes: Any) -> Any:
    return config(compile_backend="neuronx", sizes=(Size(64, 64),), **changes)


def test_a_compile_without_a_device_defers_its_gate(without_a_device: Path) -> None:
    document = json.loads((without_a_device / "manifest.json").read_bytes())
    assert document["parity"]["status"] == "deferred"
    parity = document["parity"]
    assert {picture["found_db"] for picture in parity["pictures"]} == {None}
    assert {check["found_rms"] for checks in parity["graphs"].values() for check in checks} == {
        None
    }
    assert document["quality"]["pictures_db_min"] is None
    assert document["quality"]["pictures_db_eager_min"] > 10
    assert document["packages"] == {
        "neuronx-cc": "2.21.18209.0",
        "torch-neuronx": "2.8.0.2.10.13553",
    }


def test_the_first_load_on_a_device_runs_the_whole_gate_on_both_cores(
    without_a_device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    neuronx_fake.install(tmp_path / "neuronx", monkeypatch)
    parts = load(without_a_device, served())
    assert parts.dtype_name == "bfloat16"
    assert neuronx_fake.calls() == [("DataParallel", [0, 1], False)]
    quality = parts.describe()["quality"]
    assert quality["parity"] == "passed"
    # Its VAE is float32, but for the products: held against float32's own rounding it would fail.
    assert RMS_FLOOR["float32"] * 10 < quality["vae_decoder_rms_max"] < 0.02
    assert 0.5 < quality["vae_decoder_rms_ratio_max"] < 1.5


def test_another_compiler_s_graphs_are_refused(
    without_a_device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    neuronx_fake.install(tmp_path / "neuronx", monkeypatch, compiler="2.22.0.0")
    with pytest.raises(ModelUnusable, match=r"neuronx-cc is 2\.21\S+, this image has 2\.22"):
        load(without_a_device, served())
