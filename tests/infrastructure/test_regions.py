"""The app in a region other than the one it was written in: nothing but the region is set."""

import json
from pathlib import Path

from tests.infrastructure.support import Synthesized, synthesize


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


def test_an_instance_type_the_region_may_not_have_is_a_warning_at_its_stack(
    aws: Synthesized, tmp_path: Path
) -> None:
    abroad = synthesize(tmp_path, **{"sd.region": "eu-west-1"})
    assert abroad.templates.keys() == aws.templates.keys()
    found = warnings(abroad)
    assert found.keys() == {"SdInf2Stack"}
    assert "no ml.trn1.2xlarge for SageMaker training" in found["SdInf2Stack"]
    assert "[ack: sd:variants.inf2.compile.instance_type]" in found["SdInf2Stack"]
    assert warnings(aws) == {}
