"""More variants, models and copies of the app, by settings alone."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from operations.teardown.command import teardown
from operations.teardown.left import left
from stacks.settings import Names
from tests.fakes.model_layouts import TURBO, V_PREDICTION_768, with_scheduler
from tests.local.support import (
    Served,
    builds,
    deploy,
    invoke_together,
    log_streams,
    manifest,
    training_jobs,
)
from tests.local.up_cloud import UpCloud

pytestmark = pytest.mark.local

PROMPT = "a red circle on a white background"


def model(name: str, folder: Path) -> tuple[str, ...]:
    entry = {"source": "folder", "id": name, "folder": folder, "license": "mit",
             "license_url": "https://example.org"}  # fmt: skip
    return tuple(f"sd.models.{name}.{field}={value}" for field, value in entry.items())


@pytest.fixture(scope="module")
def more(up: UpCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """Context: a fourth variant of a model for few steps without guidance, and a second compiled
    one of a model that predicts v."""
    folder = tmp_path_factory.mktemp("models")
    context = (
        *model("turbo", with_scheduler(folder / "turbo", **TURBO)),
        *model("v768", with_scheduler(folder / "v768", **V_PREDICTION_768)),
        *("sd.variants.g6.kind=diffusers", "sd.variants.g6.model=turbo"),
        *("sd.variants.g6.instance_type=ml.g6.xlarge", "sd.variants.g6.modes.standard.steps=2"),
        *("sd.variants.g6.guidance_scale=1", "sd.variants.g6.max_batch_size=4"),
        *("sd.variants.neo.kind=neuron", "sd.variants.neo.model=v768"),
    )
    yield context
    for stack in ("SdG6Stack", "SdNeoStack"):
        up.destroy(stack, *context)


def picture(up: UpCloud, name: str, **request: Any) -> bytes:
    """Of which two are alike; the container refuses one that isn't finite."""
    first, second = (up.pictures(model=name, prompt=PROMPT, seed=3, **request)[0] for _ in "12")
    assert first == second
    assert Image.open(io.BytesIO(first)).size == (64, 64)
    return first


def test_a_fourth_variant_serves_another_model_with_the_image_of_its_kind(
    up: UpCloud, more: tuple[str, ...]
) -> None:
    before = builds(up)
    deploy(up, "SdG6Stack", *more)
    streams = {log_streams(up)[build] for build in builds(up) if build not in before}
    # The image is there already.
    assert streams == {"weights-turbo", "weights-v768"}
    assert {"g5", "g6"} <= set(up.models())
    served = up.models()["g6"]
    assert (served.instance_type, served.default_steps) == ("ml.g6.xlarge", 2)
    assert (served.default_guidance_scale, served.license) == (1.0, "mit")
    assert picture(up, "g6") != picture(up, "g6", num_inference_steps=4)
    assert picture(up, "g6") != picture(up, "g5")


def test_it_draws_requests_together_where_its_settings_say_so(
    up: UpCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        together = invoke_together(up, "sd-g6")
    batches = {answer["engine"]["images_in_batch"] for answer in together}
    assert 1 < max(batches) <= 4


def test_a_second_compiled_variant_has_a_compile_of_its_own(
    up: UpCloud, more: tuple[str, ...]
) -> None:
    before = training_jobs(up)
    deploy(up, "SdNeoStack", *more)
    (job,) = training_jobs(up).keys() - before.keys()
    assert job.startswith("sd-compile-neo-")
    served = Served.of(up, "neo")
    assert manifest(up, served.bucket, served.prefix)["parity"]["status"] == "passed"
    assert up.models()["neo"].engine == "neuronx"
    assert picture(up, "neo") != picture(up, "g5")


# By its letters alone its names could be taken for the first one's.
COPY = ("sd.prefix=sd-x", "sd.variants.djl=", "sd.variants.inf2=")


def stacks(up: UpCloud) -> dict[str, Any]:
    """When each was made and changed last."""
    pages = up.client("cloudformation").get_paginator("describe_stacks").paginate()
    return {
        stack["StackName"]: (stack["StackId"], stack.get("LastUpdatedTime"))
        for page in pages
        for stack in page["Stacks"]
        if stack["StackStatus"] != "DELETE_COMPLETE"
    }


def test_another_copy_lives_beside_the_first_and_goes_without_touching_it(
    up: UpCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(up, "SdG5Stack")
    before, drawn, served = stacks(up), picture(up, "g5"), Served.of(up, "g5")
    try:
        deploy(up, "Sd-XG5Stack", *COPY)
        names = ("Alarms", "Api", "Artifacts", "Batch", "G5", "Storage")
        copies = {f"Sd-X{name}Stack" for name in names}
        assert stacks(up).keys() - before.keys() == copies
        other = Served.of(up, "g5", prefix="sd-x")
        assert other.bucket != served.bucket
        assert "sd-x" not in str(up.models())

        # Told of the other's endpoint, the first one's front door may not invoke it.
        ssm = up.client("ssm")
        told = ssm.get_parameter(Name="/sd-x/variants/g5")["Parameter"]["Value"]
        lie = told.replace('"name":"g5"', '"name":"lie"').replace(
            '"default":true', '"default":false'
        )
        ssm.put_parameter(Name="/sd/variants/lie", Value=lie, Type="String")
        try:
            assert up.generate(model="lie", prompt=PROMPT).status_code >= 500
        finally:
            ssm.delete_parameter(Name="/sd/variants/lie")
    finally:
        up.destroy("--all", *COPY)
    # What the destroy keeps of it goes by `make teardown`, until nothing is left.
    assert {each.of for each in left(up.client, Names("sd-x"), ("g5",))} == {
        "Sd-XApiStack",
        "Sd-XBatchStack",
        "Sd-XStorageStack",
    }
    assert teardown(up.client, Names("sd-x"), ("g5",), "us-east-1", "app") == 0
    said = capsys.readouterr().out
    assert "Nothing is left of sd-x in account 000000000000, us-east-1." in said
    assert left(up.client, Names("sd-x"), ("g5",)) == []
    assert stacks(up) == before
    assert picture(up, "g5") == drawn
    assert Served.of(up, "g5") == served
