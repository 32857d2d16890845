"""The app in regions other than the one it was written in: nothing but the region is set."""

import json

import pytest

from tests.infrastructure.support import Synthesized, synthesize


@pytest.fixture(scope="module", params=["eu-west-1", "ap-northeast-1"])
def abroad(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return synthesize(
        tmp_path_factory.mktemp(str(request.param)), **{"sd.region": str(request.param)}
    )


def warnings(synthesized: Synthesized) -> dict[str, str]:
    """What `cdk synth` prints, by stack."""
    artifacts = json.loads((synthesized.folder / "manifest.json").read_text())["artifacts"]
    found = {}
    for stack in synthesized.templates:
        entries = dict(artifacts[stack].get("metadata", {}))
        if extra := artifacts[stack].get("additionalMetadataFile"):
            entries |= json.loads((synthesized.folder / extra).read_text())
        texts = [
            entry["data"]
            for of in entries.values()
            for entry in of
            if entry["type"] == "aws:cdk:warning"
        ]
        if texts:
            found[stack] = "\n".join(texts)
    return found


def test_the_region_is_all_it_takes(abroad: Synthesized, aws: Synthesized) -> None:
    assert abroad.templates.keys() == aws.templates.keys()


def test_a_registration_without_a_price_says_so(abroad: Synthesized) -> None:
    for stack in ("SdG5Stack", "SdDjlStack", "SdInf2Stack"):
        text = json.dumps(abroad.templates[stack])
        for field in ("price_usd_per_hour", "price_date", "price_source"):
            assert rf"\"{field}\":null" in text.replace("\\\\", "\\"), (stack, field)


def test_an_instance_type_the_region_may_not_have_is_a_warning_at_its_stack(
    abroad: Synthesized, aws: Synthesized
) -> None:
    found = warnings(abroad)
    assert found.keys() == {"SdInf2Stack"}
    assert "no ml.trn1.2xlarge for SageMaker training" in found["SdInf2Stack"]
    assert "[ack: sd:variants.inf2.compile.instance_type]" in found["SdInf2Stack"]
    assert warnings(aws) == {}
