from typing import Any

import pytest

from sd_contract.sampling import Sampling


@pytest.mark.parametrize(
    ("sampling", "evaluations", "full"),
    [
        (Sampling(25), 50, 50),
        (Sampling(25, guidance_until=0.8), 45, 45),
        (Sampling(25, guidance_until=0.61), 41, 41),
        (Sampling(10, guidance_until=0.0), 10, 10),
        (Sampling(15, "karras", deep_cache=2), 30, 16),
        # Full at 0, 3, 6; then, without guidance, at 8 and no more.
        (Sampling(10, guidance_until=0.8, deep_cache=3), 18, 7),
    ],
    ids=str,
)
def test_counts_the_rows_that_the_unet_is_given(
    sampling: Sampling, evaluations: int, full: int
) -> None:
    assert (sampling.evaluations, sampling.full_evaluations) == (evaluations, full)


def test_an_edit_does_the_last_of_the_steps_and_its_first_is_full() -> None:
    plan = list(Sampling(10, guidance_until=0.8, deep_cache=2).plan(first=5))
    assert [step.guided for step in plan] == [True, True, True, False, False]
    assert [step.full for step in plan] == [True, False, True, True, False]


def test_without_guidance_no_step_has_any() -> None:
    assert {step.rows for step in Sampling(10).plan(guided=False)} == {1}


def test_is_the_same_after_json() -> None:
    sampling = Sampling(15, "karras", 0.8, 2)
    assert Sampling.from_document(sampling.document()) == sampling
    assert Sampling.from_document({"steps": 20}) == Sampling(20)


@pytest.mark.parametrize(
    ("document", "mistakes"),
    [
        ("fast", ["must be an object"]),
        ({}, ["steps: required, an integer from 1 to 100"]),
        (
            {"steps": 0, "sigmas": "cosine", "guidance_until": 1.5, "deep_cache": 0, "tgate": 1},
            [
                "tgate: unknown field",
                "steps: must be an integer from 1 to 100, not 0",
                "sigmas: must be one of linspace, karras, ays, not 'cosine'",
                "guidance_until: must be a number from 0.0 to 1.0, not 1.5",
                "deep_cache: must be an integer from 1 to 10, not 0",
            ],
        ),
    ],
)
def test_names_every_mistake(document: Any, mistakes: list[str]) -> None:
    with pytest.raises(ValueError, match=r"must|required") as refused:
        Sampling.from_document(document)
    for mistake in mistakes:
        assert mistake in str(refused.value)


def test_none_is_made_of_what_is_out_of_range() -> None:
    with pytest.raises(ValueError, match="guidance_until: must be a number"):
        Sampling(10, guidance_until=-0.1)
