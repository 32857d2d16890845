"""What a manifest says of a picture (C2PA specification, Actions; IPTC's digital source types)."""

from collections.abc import Mapping
from typing import Any

GENERATOR = "Stable Diffusion on AWS"
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
PARENT = "parent"
"""Links the action that opens an edit's picture to its ingredient."""


def manifest(model: str, *, edited: bool) -> dict[str, Any]:
    """As c2pa-python's Builder takes it. The first action has to be "created" or "opened", and what
    was opened an ingredient (the specification, and c2pa-rs refuses to sign anything else)."""
    drawn = {"softwareAgent": {"name": model}}
    if edited:
        actions: list[Mapping[str, Any]] = [
            {"action": "c2pa.opened", "parameters": {"ingredientIds": [PARENT]}},
            {
                "action": "c2pa.edited",
                "digitalSourceType": f"{SOURCE_TYPES}compositeWithTrainedAlgorithmicMedia",
                **drawn,
            },
        ]
    else:
        source_type = f"{SOURCE_TYPES}trainedAlgorithmicMedia"
        actions = [{"action": "c2pa.created", "digitalSourceType": source_type, **drawn}]
    return {
        "claim_generator_info": [{"name": GENERATOR}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }


def ingredient() -> dict[str, Any]:
    """The picture that an edit began with."""
    return {"label": PARENT, "relationship": "parentOf"}
