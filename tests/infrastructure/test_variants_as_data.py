"""A variant, a model and a copy of the app are entries in the settings, and nothing else."""

import re
from typing import Any

import pytest

from stacks.settings import ROOT
from tests.infrastructure.support import CONTEXT, Synthesized, synthesize, text_of
from tests.infrastructure.test_content_keys import keys_of
from tests.infrastructure.test_permissions import JOBS

MINE: dict[str, Any] = {
    "source": "folder",
    "id": "mine",
    "folder": "model_assets/tiny/weights",
    "license": "mit",
    "license_url": "https://example.org/licence",
}
MORE: dict[str, dict[str, Any]] = {
    "models": {"mine": MINE},
    "variants": {
        "g6": {"kind": "diffusers", "model": "mine", "instance_type": "ml.g6.xlarge"},
        "neo": {
            "kind": "neuron",
            "model": "mine",
            "modes": {"standard": {"steps": 4}},
            "guidance_scale": 1,
        },
        "inf3": {
            "kind": "neuron",
            "model": "sd21-base",
            "scaling": {"min_instances": 2, "max_instances": 2},
        },
    },
}


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """As cdk.json has it, with one more model and three more variants."""
    sd = {name: {**CONTEXT["sd"][name], **added} for name, added in MORE.items()}
    context: Any = {"sd": {**CONTEXT["sd"], **sd}}
    return synthesize(tmp_path_factory.mktemp("more"), **context)


def container(app: Synthesized, stack: str) -> dict[str, Any]:
    model = app.only(stack, "AWS::SageMaker::Model")["Properties"]
    return dict(model["PrimaryContainer"])


def test_each_variant_has_its_stacks_and_a_compiled_one_its_compile(
    aws: Synthesized, more: Synthesized
) -> None:
    added = {"SdG6Stack", "SdNeoStack", "SdNeoCompileStack", "SdInf3Stack", "SdInf3CompileStack"}
    assert more.templates.keys() - aws.templates.keys() == added
    # What there was stays as it was, but for what shows all variants, or each model.
    changed = {"SdAlarmsStack", "SdApiStack", "SdArtifactsStack", "SdGalleryStack"}
    for stack in aws.templates.keys() - changed:
        assert more.templates[stack] == aws.templates[stack]


def test_each_model_is_imported_once_whoever_serves_it(more: Synthesized) -> None:
    imports = [log for log in keys_of(more) if log.startswith("weights-")]
    assert sorted(imports) == ["weights-mine", "weights-sd21-base"]
    uris = {
        stack: text_of(container(more, stack)["ModelDataSource"]["S3DataSource"]["S3Uri"])
        for stack in ("SdG5Stack", "SdDjlStack", "SdG6Stack")
    }
    assert uris["SdG5Stack"] == uris["SdDjlStack"] != uris["SdG6Stack"]
    assert keys_of(more)["weights-mine"] in uris["SdG6Stack"]


def test_variants_of_one_kind_share_its_image_and_those_of_one_compile_its_output(
    more: Synthesized,
) -> None:
    keys = keys_of(more)
    assert keys["image-g6"] == keys["image-g5"] != keys["image-djl"]
    assert keys["image-neo"] == keys["image-inf3"] == keys["image-inf2"]
    assert keys["compile-inf3"] == keys["compile-inf2"] != keys["compile-neo"]
    for one, other in (("SdG5Stack", "SdG6Stack"), ("SdInf2Stack", "SdNeoStack")):
        assert container(more, one)["Image"] == container(more, other)["Image"]


def test_each_compile_may_touch_its_own_variant_s_jobs_alone(more: Synthesized) -> None:
    for variant in ("inf2", "neo"):
        touched = [
            resource
            for statement in more.statements()
            if statement.stack == f"Sd{variant.capitalize()}CompileStack"
            for resource in statement.resources
            if ":training-job/" in resource
        ]
        assert touched
        for resource in touched:
            assert re.search(rf":training-job/{JOBS.replace('inf2', variant)}$", resource)


def test_a_variant_is_told_and_registered_by_its_own_entries(more: Synthesized) -> None:
    registration = {"Name": "/sd/variants/neo"}
    parameter = more.only("SdNeoStack", "AWS::SSM::Parameter", registration)
    registered = text_of(parameter["Properties"]["Value"])
    for said in ('"name":"neo"', '"default_steps":4', '"model_id":"mine"', '"license":"mit"'):
        assert said in registered
    environment = container(more, "SdNeoStack")["Environment"]
    assert environment["SD_VARIANT"] == "neo"
    assert environment["SD_DEFAULT_GUIDANCE"] == "1.0"
    assert more.one("SdG6Stack", "AWS::SageMaker::Endpoint", {"EndpointName": "sd-g6"})


def test_no_stack_knows_a_variant_by_its_name() -> None:
    names = "|".join(CONTEXT["sd"]["variants"])
    for place in ("app.py", "stacks/*.py", "stacks/components/*.py"):
        for path in ROOT.glob(place):
            found = re.findall(rf"[\"\'](?:{names})[\"\']", path.read_text())
            # A folder of model_assets, which a kind shares its word with.
            assert found == (['"inf2"'] if path.name == "compile_key.py" else []), path
