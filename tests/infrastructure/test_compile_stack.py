"""The Neuron compile in the template: where it runs, what it is told and may do, and its key."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from inf2.compile import parse_job
from stacks.builds.neuron_compile import CompileBuild
from stacks.compile_key import PACKAGES, compile_keys, compile_sources
from stacks.settings import ROOT, load
from tests.infrastructure.support import Synthesized, synthesize, text_of

STACK = "SdCompileStack"
MODEL_ASSETS = ROOT / "model_assets"
IMAGE = (
    "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-inference-neuronx:"
    "2.8.0-transformers4.55.4-neuronx-py310-sdk2.26.0-ubuntu22.04"
)


def project(synthesized: Synthesized) -> dict[str, Any]:
    found = synthesized.resources(STACK, "AWS::CodeBuild::Project")
    (properties,) = [p["Properties"] for name, p in found.items() if name.startswith("Neuron")]
    return dict(properties)


def environment(synthesized: Synthesized) -> dict[str, str]:
    """As the build finds it: CodeBuild and the step's trigger add theirs."""
    variables = project(synthesized)["Environment"]["EnvironmentVariables"]
    return {
        **{variable["Name"]: text_of(variable["Value"]) for variable in variables},
        "SD_KEY": step(synthesized)["Key"],
        "AWS_REGION": "us-east-1",
        "CODEBUILD_BUILD_ID": "sd-compile:1",
    }


def step(synthesized: Synthesized) -> dict[str, Any]:
    found = synthesized.resources(STACK, "Custom::BuildStep")
    (properties,) = [p["Properties"] for name, p in found.items() if name.startswith("Neuron")]
    return dict(properties)


def commands(synthesized: Synthesized) -> str:
    spec = json.loads(project(synthesized)["Source"]["BuildSpec"])
    return "\n".join(spec["phases"]["build"]["commands"])


def policy(synthesized: Synthesized, role: str) -> dict[str, list[str]]:
    """Resources by action, of the role whose name begins so."""
    allowed: dict[str, list[str]] = {}
    for name, found in synthesized.resources(STACK, "AWS::IAM::Policy").items():
        if name.startswith(role):
            for statement in found["Properties"]["PolicyDocument"]["Statement"]:
                actions, resources = statement["Action"], statement["Resource"]
                for action in [actions] if isinstance(actions, str) else actions:
                    of_action = allowed.setdefault(action, [])
                    listed = resources if isinstance(resources, list) else [resources]
                    of_action += [text_of(resource) for resource in listed]
    return allowed


@pytest.fixture(scope="module")
def on_cpu(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return synthesize(tmp_path_factory.mktemp("cpu"), **{"sd.compile.compute": "codebuild-cpu"})


def test_the_build_starts_a_training_job_on_trainium_in_aws_s_own_container(
    aws: Synthesized,
) -> None:
    build = CompileBuild.from_env(environment(aws))
    assert build.job.instance_type == "ml.trn1.2xlarge"
    assert build.job.image == IMAGE
    assert not build.job.spot
    assert build.job.max_seconds == 240 * 60
    assert build.target == f"compiled/{build.key}/"
    assert build.job.weights_uri.endswith(f"/{_prefix(aws)}")
    assert "stacks.builds.neuron_compile" in commands(aws)


def test_the_job_is_told_what_the_compile_takes(aws: Synthesized, tmp_path: Path) -> None:
    build = CompileBuild.from_env(environment(aws))
    job = parse_job([f"--{name}={value}" for name, value in build.job.hyperparameters.items()],
                    tmp_path)  # fmt: skip
    assert job.key == build.key
    assert job.sizes == ((512, 512),)
    assert (job.backend, job.dtype, job.sdk) == ("neuronx", "bfloat16", "2.26.0")
    assert job.weights_key == _prefix(aws).split("/")[1]
    assert not job.on_cpu


def test_locally_only_what_the_job_is_told_differs(aws: Synthesized, local: Synthesized) -> None:
    build = CompileBuild.from_env(environment(local))
    assert build.job.hyperparameters["backend"] == "torchscript"
    assert build.job.hyperparameters["dtype"] == "float32"
    assert commands(local) == commands(aws)


def test_the_build_outlasts_its_job(aws: Synthesized) -> None:
    job_min = CompileBuild.from_env(environment(aws)).job.max_seconds / 60
    build_min = project(aws)["TimeoutInMinutes"]
    assert build_min == job_min + 30
    waits = aws.resources(STACK, "AWS::CloudFormation::WaitCondition")
    (wait,) = [w["Properties"] for name, w in waits.items() if name.startswith("Neuron")]
    assert int(wait["Timeout"]) > build_min * 60


def test_spot_is_a_setting(tmp_path: Path) -> None:
    build = CompileBuild.from_env(environment(synthesize(tmp_path, **{"sd.compile.spot": "true"})))
    assert build.job.spot


def test_the_build_may_start_and_stop_jobs_of_its_key_alone_with_the_job_s_role(
    aws: Synthesized,
) -> None:
    allowed = policy(aws, "NeuronCompileRole")
    jobs = f"training-job/sd-compile-{step(aws)['Key'][:12]}-*"
    for action in ("Create", "Describe", "Stop"):
        (resource,) = allowed[f"sagemaker:{action}TrainingJob"]
        assert resource.endswith(f":{jobs}")
    (role,) = allowed["iam:PassRole"]
    assert role.startswith("<NeuronJobRole")
    assert {resource.split("/", 1)[1] for resource in allowed["s3:PutObject"]} == {
        f"{_work(aws)}*",
        f"compiled/{step(aws)['Key']}/*",
    }
    assert [resource.split("/", 1)[1] for resource in allowed["s3:DeleteObject"]] == [
        f"{_work(aws)}*"
    ]


def test_only_sagemaker_may_be_given_the_job_s_role(aws: Synthesized) -> None:
    (found,) = [
        statement
        for resource in aws.resources(STACK, "AWS::IAM::Policy").values()
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]
        if statement["Action"] == "iam:PassRole"
    ]
    assert found["Condition"] == {
        "StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}
    }


def test_the_job_reads_weights_and_writes_beside_the_artifact_never_into_it(
    aws: Synthesized,
) -> None:
    allowed = policy(aws, "NeuronJobRole")
    assert {resource.split("/", 1)[1] for resource in allowed["s3:GetObject"]} == {
        f"{_prefix(aws)}*",
        f"{_work(aws)}*",
    }
    assert [resource.split("/", 1)[1] for resource in allowed["s3:PutObject"]] == [f"{_work(aws)}*"]
    assert "s3:DeleteObject" not in allowed
    (image,) = allowed["ecr:BatchGetImage"]
    assert image.endswith(":763104351884:repository/huggingface-pytorch-inference-neuronx")
    assert not [action for action in allowed if action.startswith(("sagemaker:", "iam:"))]


def test_the_compile_and_the_image_build_do_not_wait_for_each_other(aws: Synthesized) -> None:
    template = aws.templates[STACK]["Resources"]
    for one, other in (("Neuron", "Image"), ("Image", "Neuron")):
        for name, resource in template.items():
            if name.startswith(one):
                waits = resource.get("DependsOn", [])
                assert not [name for name in waits if name.startswith(other)]


def test_the_image_is_built_on_the_container_that_compiles(aws: Synthesized) -> None:
    projects = aws.resources(STACK, "AWS::CodeBuild::Project")
    (image,) = [p["Properties"] for name, p in projects.items() if name.startswith("Image")]
    variables = {v["Name"]: v["Value"] for v in image["Environment"]["EnvironmentVariables"]}
    assert variables["SD_BASE_IMAGE"] == environment(aws)["SD_IMAGE"]


def test_without_trainium_the_build_itself_compiles(on_cpu: Synthesized) -> None:
    found = project(on_cpu)["Environment"]
    assert found["ComputeType"] == "BUILD_GENERAL1_2XLARGE"
    assert found["Image"] == IMAGE
    assert found["ImagePullCredentialsType"] == "SERVICE_ROLE"
    assert commands(on_cpu).endswith("stacks.builds.cpu_compile'")
    allowed = policy(on_cpu, "NeuronCompileRole")
    assert allowed["ecr:BatchGetImage"][0].endswith(
        ":repository/huggingface-pytorch-inference-neuronx"
    )
    assert not [action for action in allowed if action.startswith(("sagemaker:", "iam:"))]
    assert not [name for name in on_cpu.resources(STACK, "AWS::IAM::Role") if "JobRole" in name]


def test_where_it_is_compiled_does_not_matter_to_the_artifact(
    aws: Synthesized, on_cpu: Synthesized
) -> None:
    assert step(on_cpu)["Key"] == step(aws)["Key"]


# --- the key -------------------------------------------------------------------------------------


def keys(
    changes: Mapping[str, object] = MappingProxyType({}), root: Path = MODEL_ASSETS
) -> tuple[str, str]:
    """Of the artifact, and of its parts."""
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    found = compile_keys(load({**context, **changes}), "weights", root)
    return found.artifact, found.parts


@pytest.mark.parametrize(
    "change",
    [
        {"sd.inf2.sizes": "768x768"},
        {"sd.inf2.dtype": "float32"},
        {"sd.compile.backend": "torchscript"},
        {
            "sd.compile.sdk": "2.27.0",
            "sd.inf2.base_image": "huggingface-pytorch-inference-neuronx:2.8.0-sdk2.27.0",
        },
    ],
    ids=["sizes", "dtype", "backend", "sdk"],
)
def test_what_determines_the_graphs_recompiles_them(change: dict[str, object]) -> None:
    artifact, parts = keys(change)
    assert artifact != keys()[0]
    assert parts != keys()[1]


@pytest.mark.parametrize(
    "change",
    [
        {"sd.inf2.steps": 30, "sd.inf2.guidance_scale": 9},
        {"sd.inf2.instance_type": "ml.inf2.8xlarge", "sd.inf2.instance_count": 2},
        {"sd.compile.spot": "true", "sd.compile.timeout_min": 300},
        {"sd.compile.instance_type": "ml.trn1.32xlarge"},
    ],
    ids=["step defaults", "serving instances", "spot", "compiling instance"],
)
def test_what_does_not_touch_the_artifact_compiles_nothing(change: dict[str, object]) -> None:
    assert keys(change) == keys()


def test_another_bar_asks_again_but_keeps_the_graphs() -> None:
    artifact, parts = keys({"sd.compile.parity_db": 33})
    assert artifact != keys()[0]
    assert parts == keys()[1]


@pytest.mark.parametrize(
    ("module", "matters"),
    [
        ("inf2/graphs.py", True),
        ("inf2/exact_shapes.py", True),
        ("sd_serving/diffusers_parts.py", True),
        ("sd_contract/model_layout.py", True),
        ("sd_contract/model_checks.py", False),
        ("inf2/inference.py", False),
        ("inf2/Dockerfile", False),
        ("sd_serving/server.py", False),
    ],
)
def test_sources_count_where_the_compile_uses_them(
    tmp_path: Path, module: str, matters: bool
) -> None:
    for package in PACKAGES:
        shutil.copytree(MODEL_ASSETS / package, tmp_path / package)
    assert keys(root=tmp_path) == keys()
    with (tmp_path / module).open("a") as file:
        file.write("\n# changed\n")
    assert (keys(root=tmp_path) != keys()) is matters


def test_the_code_channel_is_what_the_key_is_taken_from(aws: Synthesized) -> None:
    code = [folder / "code" for folder in aws.folder.glob("asset.*") if (folder / "code").is_dir()]
    (folder,) = code
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert found == set(compile_sources())


def _prefix(synthesized: Synthesized) -> str:
    return environment(synthesized)["SD_WEIGHTS_PREFIX"]


def _work(synthesized: Synthesized) -> str:
    return environment(synthesized)["SD_WORK_PREFIX"]
