"""The same request to every variant, side by side. One after another: at the same time they would
take each other's time where they share a machine."""

import secrets

import streamlit as st

from generator_app import cards, session, settings, sign_in
from generator_app.client import ApiError, Variant
from generator_app.estimate import duration, money
from generator_app.results import Result, given, of_answer

PAGE = "compare"


def drawn_by(variant: Variant, fields: dict[str, object]) -> Result | str:
    """The picture, or why there is none."""
    asked = {**fields, "model": variant.id}
    try:
        drawn = session.client().draw(asked)
    except ApiError as error:
        return str(error)
    return of_answer(asked, drawn, variant)[0]


def table(results: dict[str, Result | str]) -> None:
    rows = {
        name: {
            "seconds": duration(found.seconds or 0.0),
            "cost": money(found.usd),
            "a million": money(found.usd * 1_000_000 if found.usd is not None else None),
        }
        for name, found in results.items()
        if isinstance(found, Result)
    }
    if rows:
        st.table(rows)


def main() -> None:
    st.title("Compare the variants")
    found = [each for each in session.variants() if "real-time" in each.serve]
    if not found:
        st.info("No variant answers requests: each makes pictures in batches alone.")
        return
    common = [each for each in found[0].sizes if all(each in other.sizes for other in found)]
    if not common:
        st.info("The variants have no size in common.")
        return
    fewest = min(found, key=lambda each: each.max_steps)
    modes = [name for name in fewest.modes if all(name in other.modes for other in found)]
    prompt, negative = settings.prompts(PAGE, found[0].id, "a lighthouse at dawn")
    left, middle, right = st.columns(3)
    with left:
        size = settings.size(PAGE, fewest, common)
        seed = settings.seed(PAGE)
    with middle:
        quality = settings.quality(PAGE, fewest, modes)
        steps = settings.steps(PAGE, fewest, quality)
    with right:
        guidance = settings.guidance(PAGE, fewest)
    variants = "1 variant" if len(found) == 1 else f"{len(found)} variants"
    if st.button(f"Draw on {variants}", type="primary", disabled=not prompt):
        fields = given(
            prompt=prompt,
            negative_prompt=negative,
            size=size,
            quality=quality,
            num_inference_steps=steps,
            guidance_scale=guidance,
            seed=secrets.randbelow(settings.SEEDS) if seed is None else seed,
        )
        results: dict[str, Result | str] = {}
        bar = st.progress(0.0, "Drawing…")
        for number, variant in enumerate(found):
            bar.progress(number / len(found), f"{variant.id} draws…")
            results[variant.id] = drawn_by(variant, fields)
        bar.empty()
        session.remember([each for each in results.values() if isinstance(each, Result)])
        st.session_state["compare.latest"] = results
    latest: dict[str, Result | str] = st.session_state.get("compare.latest", {})
    if latest:
        table(latest)
        columns = st.columns(len(latest))
        for column, (name, result) in zip(columns, latest.items(), strict=True):
            with column:
                st.header(name)
                if isinstance(result, Result):
                    cards.card(result, f"compare.{name}")
                else:
                    st.error(result)


sign_in.require()
main()
