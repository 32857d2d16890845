"""The Neuron compile in the template: where it runs, what it is told and may do, and its key."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from build_trigger.builds import Step
from inf2.compile import parse_job
from inf2.parts import PARTS
from stacks.build_scripts.training_job import TrainingJob
from stacks.compile_key import PACKAGES, CompileKeys, compile_keys, compile_sources
from stacks.settings import ROOT, load
from stacks.settings.compile import CompiledSettings
from tests.infrastructure.support import (
    CONTEXT,
    Resource,
    Synthesized,
    synthesize,
    variables,
)

STACK = "SdInf2CompileStack"
MODEL_ASSETS = ROOT / "model_assets"
NEURON = "huggingface-pytorch-inference-neuronx"
IMAGE = (
    f"763104351884.dkr.ecr.us-east-1.amazonaws.com/{NEURON}:"
    "2.8.0-transformers4.55.4-neuronx-py310-sdk2.26.0-ubuntu22.04"
)
PROJECT, RUN, READY = (
    "AWS::CodeBuild::Project",
    "Custom::BuildStep",
    "AWS::CloudFormation::WaitCondition",
)


def project(app: Synthesized, log: str = "compile-inf2") -> tuple[str, Resource]:
    """The build whose log's streams are called so."""
    return app.one(STACK, PROJECT, {"LogsConfig": {"CloudWatchLogs": {"StreamName": log}}})


def run(app: Synthesized, log: str = "compile-inf2") -> tuple[str, Resource]:
    """The custom resource that starts it."""
    return app.one(STACK, RUN, {"Project": {"Ref": project(app, log)[0]}})


def step(app: Synthesized) -> Resource:
    return dict(run(app)[1]["Properties"])


def environment(app: Synthesized) -> dict[str, str]:
    """As the build finds it: CodeBuild and the step's trigger add theirs."""
    return {
        **variables(project(app)[1]),
        "SD_KEY": step(app)["Key"],
        "SD_JOB_PREFIX": Step.parse(step(app)).jobs,
        "AWS_REGION": "us-east-1",
        "CODEBUILD_BUILD_ID": "sd-compile:1",
    }


def commands(app: Synthesized) -> str:
    spec = json.loads(project(app)[1]["Properties"]["Source"]["BuildSpec"])
    return "\n".join(spec["phases"]["build"]["commands"])


def build_may(app: Synthesized) -> dict[str, list[str]]:
    return app.allowed(STACK, project(app)[1]["Properties"]["ServiceRole"])


def job_may(app: Synthesized) -> dict[str, list[str]]:
    role = environment(app)["SD_ROLE_ARN"]
    return app.allowed(STACK, role.strip("<>").removesuffix(".Arn"))


@pytest.fixture(scope="module")
def on_cpu(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    without = {"sd.variants.inf2.compile.compute": "codebuild-cpu"}
    return synthesize(tmp_path_factory.mktemp("cpu"), **without)


def test_the_build_starts_a_training_job_on_trainium_in_aws_s_own_container(
    aws: Synthesized,
) -> None:
    job = TrainingJob.from_env(environment(aws))
    assert job.told.instance_type == "ml.trn1.2xlarge"
    assert job.told.image == IMAGE
    assert not job.told.spot
    assert job.told.max_seconds == 240 * 60
    assert job.told.target_prefix == f"compiled/{job.key}/"
    assert "stacks.build_scripts.neuron_compile" in commands(aws)


def test_the_job_is_told_what_the_compile_takes(aws: Synthesized, tmp_path: Path) -> None:
    build = TrainingJob.from_env(environment(aws))
    flags = [f"--{name}={value}" for name, value in build.told.hyperparameters.items()]
    job = parse_job(flags, tmp_path)
    assert job.key == build.key
    assert [str(size) for size in job.sizes] == ["512x512"]
    assert (job.backend, job.dtype, job.sdk) == ("neuronx", "bfloat16", "2.26.0")
    assert job.weights_key == build.told.weights_prefix.split("/")[1]
    assert not job.on_cpu
    # The bar is measured; there is one more where the settings have it.
    assert job.parity_db is None


def test_locally_only_what_the_job_is_told_differs(aws: Synthesized, local: Synthesized) -> None:
    told = TrainingJob.from_env(environment(local)).told.hyperparameters
    assert (told["backend"], told["dtype"], told["parity-db"]) == ("torchscript", "float32", "40.0")
    assert commands(local) == commands(aws)


def test_the_build_outlasts_its_job(aws: Synthesized) -> None:
    job_min = TrainingJob.from_env(environment(aws)).told.max_seconds / 60
    assert project(aws)[1]["Properties"]["TimeoutInMinutes"] == job_min + 30


def test_spot_is_a_setting(tmp_path: Path) -> None:
    spot = synthesize(tmp_path, **{"sd.variants.inf2.compile.spot": "true"})
    assert TrainingJob.from_env(environment(spot)).told.spot


def test_the_build_may_start_and_stop_jobs_of_its_key_alone_with_the_job_s_role(
    aws: Synthesized,
) -> None:
    allowed, told = build_may(aws), TrainingJob.from_env(environment(aws)).told
    jobs = f"training-job/sd-compile-inf2-{step(aws)['Key'][:12]}-????????"
    for action in ("Create", "Describe", "Stop"):
        (resource,) = allowed[f"sagemaker:{action}TrainingJob"]
        assert resource.endswith(f":{jobs}")
    assert allowed["iam:PassRole"] == [told.role_arn]
    assert {resource.split("/", 1)[1] for resource in allowed["s3:PutObject"]} == {
        f"{told.work_prefix}*",
        f"compiled/{step(aws)['Key']}/*",
    }
    assert [resource.split("/", 1)[1] for resource in allowed["s3:DeleteObject"]] == [
        f"{told.work_prefix}*"
    ]


def test_the_job_reads_weights_and_writes_beside_the_artifact_never_into_it(
    aws: Synthesized,
) -> None:
    allowed, told = job_may(aws), TrainingJob.from_env(environment(aws)).told
    assert {resource.split("/", 1)[1] for resource in allowed["s3:GetObject"]} == {
        f"{told.weights_prefix}*",
        f"{told.work_prefix}*",
    }
    (written,) = allowed["s3:PutObject"]
    assert written.split("/", 1)[1] == f"{told.work_prefix}*"
    assert "s3:DeleteObject" not in allowed
    (image,) = allowed["ecr:BatchGetImage"]
    assert image.endswith(":763104351884:repository/huggingface-pytorch-inference-neuronx")
    assert not [action for action in allowed if action.startswith(("sagemaker:", "iam:"))]


def waited_for(aws: Synthesized, name: str) -> set[str]:
    """All that the resource's creation waits for, by DependsOn."""
    template = aws.templates[STACK]["Resources"]
    found: set[str] = set()
    waiting = [name]
    while waiting:
        found |= (new := set(template[waiting.pop()].get("DependsOn", ())) - found)
        waiting += new
    return found


def test_the_compile_starts_after_the_image_build_but_neither_waits_for_the_other_s_end(
    aws: Synthesized,
) -> None:
    """In an account that may have one build at a time, the image doesn't wait for the compile."""
    compiling, imaging = run(aws)[0], run(aws, "image-inf2")[0]
    assert imaging in waited_for(aws, compiling)
    ends = aws.resources(STACK, READY)
    (of_image,) = (name for name in ends if imaging in ends[name]["DependsOn"])
    assert compiling not in waited_for(aws, of_image)
    for name in (compiling, imaging):
        assert not ends.keys() & waited_for(aws, name)


def test_the_job_s_role_may_encrypt_its_output(aws: Synthesized) -> None:
    """OutputDataConfig.KmsKeyId in botocore's model of CreateTrainingJob says so."""
    allowed = job_may(aws)
    for action in ("kms:Encrypt", "kms:DescribeKey"):
        assert allowed[action] == allowed["kms:Decrypt"]


def test_the_trigger_stops_the_jobs_that_the_build_starts(aws: Synthesized) -> None:
    trigger = aws.function_role(STACK, "build_trigger")
    (stoppable,) = aws.allowed(STACK, trigger)["sagemaker:StopTrainingJob"]
    (created,) = build_may(aws)["sagemaker:CreateTrainingJob"]
    job = TrainingJob.from_env(environment(aws)).name
    for pattern in (stoppable, created):
        name = pattern.rsplit("/", 1)[1]
        assert len(name) == len(job)
        assert job.startswith(name.split("?")[0])


@pytest.mark.parametrize("digest", ["", "sha256:" + "a" * 64])
def test_the_image_is_built_on_the_container_that_compiles(
    aws: Synthesized, tmp_path: Path, digest: str
) -> None:
    pinned = {"sd.variants.inf2.base_image_digest": digest}
    app = synthesize(tmp_path, **pinned) if digest else aws
    # SageMaker takes a tag or a digest, docker both.
    job, build = (f"{IMAGE.split(':')[0]}@{digest}", f"{IMAGE}@{digest}") if digest else [IMAGE] * 2
    assert environment(app)["SD_IMAGE"] == job
    assert variables(project(app, "image-inf2")[1])["SD_BASE_IMAGE"] == build


def test_without_trainium_the_build_itself_compiles(on_cpu: Synthesized) -> None:
    found = project(on_cpu)[1]["Properties"]["Environment"]
    assert found["ComputeType"] == "BUILD_GENERAL1_2XLARGE"
    assert found["Image"] == IMAGE
    assert found["ImagePullCredentialsType"] == "SERVICE_ROLE"
    assert commands(on_cpu).endswith("stacks.build_scripts.cpu_compile")
    allowed = build_may(on_cpu)
    assert allowed["ecr:BatchGetImage"][0].endswith(
        ":repository/huggingface-pytorch-inference-neuronx"
    )
    assert not [action for action in allowed if action.startswith(("sagemaker:", "iam:"))]
    # The two builds' and the trigger's: no job's.
    assert len(on_cpu.resources(STACK, "AWS::IAM::Role")) == 3


def test_where_it_is_compiled_does_not_matter_to_the_artifact(
    aws: Synthesized, on_cpu: Synthesized
) -> None:
    assert step(on_cpu)["Key"] == step(aws)["Key"]


# --- the key -------------------------------------------------------------------------------------


ALL = {part.name for part in PARTS}


def keys(
    changes: Mapping[str, object] = MappingProxyType({}), root: Path = MODEL_ASSETS
) -> CompileKeys:
    variant = load({**CONTEXT, **changes}).variant("inf2")
    assert isinstance(variant, CompiledSettings)
    return compile_keys(variant, "weights", root)


def changed(after: CompileKeys) -> set[str]:
    """The parts whose graphs are to be made anew."""
    before = keys()
    return {name for name in before.parts if before.parts[name] != after.parts[name]}


INF2 = "sd.variants.inf2."


@pytest.mark.parametrize(
    ("change", "parts", "artifact"),
    [
        # What determines a graph recompiles it. The VAE is float32 in either case.
        ({"dtype": "float32"}, {"unet", "text_encoder"}, True),
        ({"compile.backend": "torchscript"}, ALL, True),
        ({"base_image": f"{NEURON}:2.8.0-sdk2.27.0"}, ALL, True),
        ({"base_image_digest": "sha256:" + "a" * 64}, ALL, True),
        # Another artifact of the same graphs: another bar, one more size.
        ({"compile.parity_db": 33}, set(), True),
        ({"sizes": "512x512,768x768"}, set(), True),
        # What doesn't touch the artifact.
        ({"modes.standard.steps": 30, "guidance_scale": 9}, set(), False),
        ({"instance_type": "ml.inf2.8xlarge", "scaling.max_instances": 2}, set(), False),
        ({"compile.spot": "true", "compile.timeout_min": 300}, set(), False),
        ({"compile.instance_type": "ml.trn1.32xlarge"}, set(), False),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_a_setting_counts_for_what_it_determines(
    change: dict[str, object], parts: set[str], artifact: bool
) -> None:
    after = keys({f"{INF2}{name}": value for name, value in change.items()})
    assert changed(after) == parts
    assert (after.artifact != keys().artifact) is artifact
    # Else one compile would write over what another can still use.
    assert (after.work != keys().work) is bool(parts)


NEW_FIELD = """
GENERATION = (*GENERATION, Field("eta", Number(0.0, 1.0), ("eta",), "How much noise.", "0"))
"""


@pytest.mark.parametrize(
    ("module", "artifact", "parts"),
    [
        ("inf2/attention.py", True, {"unet", "vae_decoder", "vae_encoder"}),
        ("inf2/graphs/unet.py", True, {"unet"}),
        ("inf2/graphs/text_encoder.py", True, {"text_encoder"}),
        ("inf2/graphs/vae_encoder.py", True, {"vae_encoder"}),
        ("inf2/graphs/graph.py", True, ALL),
        ("inf2/backends.py", True, ALL),
        ("inf2/exact_shapes.py", True, ALL),
        ("sd_serving/networks.py", True, ALL),
        ("sd_contract/model_layout.py", True, ALL),
        # The gate, and what draws its pictures.
        ("inf2/parity.py", True, set()),
        ("inf2/references.py", True, set()),
        ("inf2/artifact.py", True, set()),
        ("inf2/compile.py", True, set()),
        ("inf2/parts.py", True, set()),
        ("sd_contract/fields.py", True, set()),
        ("sd_contract/invocation.py", True, set()),
        ("sd_contract/environment.py", True, set()),
        ("sd_contract/manifest.py", True, set()),
        ("sd_serving/engine.py", True, set()),
        ("sd_serving/edits.py", True, set()),
        ("sd_serving/source.py", True, set()),
        ("sd_serving/picture_file.py", True, set()),
        ("sd_serving/loaded_parts.py", True, set()),
        ("sd_serving/diffusers_parts.py", True, set()),
        # Of no use to a compile.
        ("sd_contract/registration.py", False, set()),
        ("sd_contract/model_checks.py", False, set()),
        ("inf2/inference.py", False, set()),
        ("inf2/Dockerfile", False, set()),
        ("sd_serving/server.py", False, set()),
        ("sd_contract/embeddings.py", False, set()),
        ("sd_serving/embeddings.py", False, set()),
        ("sd_serving/between_steps.py", False, set()),
    ],
)
def test_sources_count_where_they_are_used(
    tmp_path: Path, module: str, artifact: bool, parts: set[str]
) -> None:
    for package in PACKAGES:
        shutil.copytree(MODEL_ASSETS / package, tmp_path / package)
    assert keys(root=tmp_path) == keys()
    with (tmp_path / module).open("a") as file:
        file.write(NEW_FIELD if module == "sd_contract/fields.py" else "\n# changed\n")
    after = keys(root=tmp_path)
    assert (after.artifact != keys().artifact) is artifact
    assert changed(after) == parts
    assert after.work == keys().work


def test_the_code_channel_is_what_the_key_is_taken_from(aws: Synthesized) -> None:
    code = [folder / "code" for folder in aws.folder.glob("asset.*") if (folder / "code").is_dir()]
    (folder,) = code
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert found == set(compile_sources())
