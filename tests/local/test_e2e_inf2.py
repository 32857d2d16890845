"""The Inferentia2 variant on the local cloud, compiled with the double of the Neuron compiler."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sd_contract.sampling import MODES
from tests.fakes.local_account import fault, log_lines
from tests.fakes.serving import pixels
from tests.local.support import (
    Served,
    builds,
    deploy,
    least_agreement_with_g5,
    log_of_compile,
    manifest,
    training_jobs,
)
from tests.local.up_cloud import UpCloud

pytestmark = pytest.mark.local

LEAST_DB = 40.0
PROMPT = "a blue square on a yellow background"


@dataclass(frozen=True)
class FirstDeploy:
    """What it made on a cloud that had none of it."""

    jobs: dict[str, str]
    builds: int


@pytest.fixture(scope="module", autouse=True)
def first(up: UpCloud) -> FirstDeploy:
    before = training_jobs(up), builds(up)
    # In a young account, which may have one build at a time.
    with fault(up, "codebuild-quota", "1"):
        deploy(up, "SdInf2Stack")
    after = training_jobs(up)
    return FirstDeploy(
        {name: after[name] for name in after if name not in before[0]},
        len(builds(up)) - len(before[1]),
    )


def test_from_nothing_it_compiles_in_a_training_job_and_gates_on_parity(
    up: UpCloud, first: FirstDeploy, capsys: pytest.CaptureFixture[str]
) -> None:
    ((name, status),) = first.jobs.items()
    # The compile and the image.
    assert (status, first.builds) == ("Completed", 2)
    job = up.client("sagemaker").describe_training_job(TrainingJobName=name)
    assert job["ResourceConfig"]["InstanceType"] == "ml.trn1.2xlarge"
    assert job["EnableNetworkIsolation"]
    assert job["HyperParameters"]["backend"] == "torchscript"

    served = Served.of(up, "inf2")
    assert served.prefix == f"compiled/{served.key}/"
    artifact = manifest(up, served.bucket, served.prefix)
    assert artifact["key"] == served.key == job["HyperParameters"]["key"]
    assert artifact["parity"]["status"] == "passed"
    assert artifact["quality"]["pictures_db_min"] >= artifact["parity"]["bar"]["parity_db"]
    assert artifact["parity"]["bar"]["parity_db"] == LEAST_DB
    with capsys.disabled():
        print(f"\nthe compile's parity gate: {artifact['quality']}")


def test_the_build_s_log_has_the_job_s_log(up: UpCloud, first: FirstDeploy) -> None:
    (name,) = first.jobs
    lines = log_of_compile(up)
    said = log_lines(up, "/aws/sagemaker/TrainingJobs", f"{name}/")
    assert any(line.startswith("unet/64x64: compiled in") for line in said)
    assert set(said) <= set(lines)


def test_where_the_account_may_have_one_build_they_run_one_after_another_the_short_one_first(
    up: UpCloud, first: FirstDeploy
) -> None:
    found = up.client("codebuild").batch_get_builds(ids=builds(up))["builds"]
    (image,) = [b for b in found if b["logs"]["streamName"].startswith("image-inf2/")]
    (compiled,) = [b for b in found if b["logs"]["streamName"].startswith("compile-inf2/")]
    assert first.builds == 2
    assert image["endTime"] <= compiled["startTime"]


def test_it_is_registered_with_what_it_serves(up: UpCloud) -> None:
    model = up.models()["inf2"]
    assert model.engine == "neuronx"
    assert model.instance_type == "ml.inf2.xlarge"
    assert model.artifact_key == Served.of(up, "inf2").key


@pytest.mark.parametrize("quality", MODES)
def test_it_draws_the_pictures_of_g5(
    up: UpCloud, quality: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        assert least_agreement_with_g5(up, "inf2", quality) >= LEAST_DB


@pytest.mark.parametrize("guidance", [4.0, 1.0])
def test_an_odd_number_of_rows_fits_the_pairs_and_each_picture_equals_the_one_made_alone(
    up: UpCloud, guidance: float
) -> None:
    request = {
        "model": "inf2",
        "prompt": PROMPT,
        "num_inference_steps": 4,
        "guidance_scale": guidance,
    }

    three = up.pictures(n=3, seed=7, **request)

    assert three == [up.pictures(seed=seed, **request)[0] for seed in (7, 8, 9)]
    assert len({pixels(png).tobytes() for png in three}) == 3


def test_a_second_deploy_and_another_default_compile_nothing(up: UpCloud) -> None:
    before = builds(up), training_jobs(up), Served.of(up, "inf2")

    deploy(up, "SdInf2Stack")
    assert (builds(up), training_jobs(up), Served.of(up, "inf2")) == before

    deploy(up, "SdInf2Stack", "sd.variants.inf2.modes.standard.steps=20")
    assert (builds(up), training_jobs(up)) == before[:2]
    now = Served.of(up, "inf2")
    assert now.key == before[2].key
    # The endpoint has moved over to the new default, and the API says so.
    assert now.config != before[2].config
    model = up.models()["inf2"]
    assert model.default_steps == 20
