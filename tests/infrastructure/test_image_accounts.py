"""AWS's container accounts and repositories, held against the SageMaker SDK's own lists."""

import json

import pytest

from stacks.catalogue import refresh
from stacks.settings import KINDS, ROOT

IMAGES = json.loads((ROOT / "stacks" / "catalogue" / "images.json").read_text())


@pytest.mark.environments
def test_accounts_are_the_sdk_s() -> None:
    """After an update of the SDK: python -m stacks.catalogue.refresh images."""
    assert {"read": IMAGES["read"], **refresh.images()} == IMAGES


def test_every_kind_s_repository_is_held_against_the_sdk() -> None:
    assert IMAGES["accounts"].keys() == refresh.IMAGE_LISTS.keys()
    assert {kind.repository for kind in KINDS.values()} == refresh.IMAGE_LISTS.keys()
