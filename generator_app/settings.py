"""The widgets of a request's fields, each with the variant's defaults and limits."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from generator_app import session
from generator_app.client import STANDARD, ApiError, Variant
from generator_app.estimate import TOKENS, label

# The API's ranges: a caller of it has nothing of its code, and it refuses what is beyond them.
PROMPT = 1000
"""Characters."""
SEEDS = 2**32


def prompts(page: str, model: str, placeholder: str) -> tuple[str, str]:
    """Prompt and negative prompt. Each counts its tokens while one types."""
    prompt = st.text_input(
        "Prompt",
        key=f"{page}.prompt",
        max_chars=PROMPT,
        placeholder=placeholder,
        live="400ms",
        persist_state="session",
    )
    _count(prompt, model)
    negative = st.text_input(
        "Negative prompt",
        key=f"{page}.negative_prompt",
        max_chars=PROMPT,
        help="What to keep out of it.",
        live="400ms",
        persist_state="session",
    )
    _count(negative, model)
    return prompt or "", negative or ""


def _count(text: str | None, model: str) -> None:
    if not text:
        return
    try:
        count = session.tokens(text, model)
    except ApiError as error:
        st.caption(f"Tokens aren't counted: {error}")
        return
    if count > TOKENS:
        st.warning(f"{count} tokens of {TOKENS}: what is beyond them has no effect.")
    else:
        st.caption(f"{count} of {TOKENS} tokens")


def variant(page: str, found: Sequence[Variant]) -> Variant:
    """Which one draws, by its id."""
    by_id = {each.id: each for each in found}
    chosen = st.selectbox(
        "Variant",
        list(by_id),
        key=f"{page}.model",
        format_func=lambda name: label(by_id[name]),
        persist_state="session",
    )
    if by_id[chosen].stopped:
        st.warning(f"{chosen} is stopped: {by_id[chosen].stopped}")
    licence = f"[{by_id[chosen].license}]({by_id[chosen].license_url})"
    # No caption: a link in one is too pale.
    st.markdown(f":small[The model's licence, {licence}, restricts what may be drawn with it.]")
    return by_id[chosen]


def size(page: str, chosen: Variant, sizes: Sequence[str]) -> str:
    picked: str = st.selectbox(
        "Size", sizes, key=f"{page}.size.{chosen.id}", persist_state="session"
    )
    return picked


def quality(page: str, chosen: Variant, modes: Sequence[str]) -> str:
    """A mode, of those given."""
    picked: str = st.radio(
        "Quality",
        modes,
        key=f"{page}.quality.{chosen.id}",
        format_func=lambda name: f"{name}: {chosen.modes[name].steps} steps",
        horizontal=True,
        disabled=len(modes) == 1,
        help="The same seed draws another picture in another one.",
        persist_state="session",
    )
    return picked


def steps(page: str, chosen: Variant, mode: str) -> int:
    """Of each mode apart, so that another one brings its own."""
    return st.slider(
        "Steps",
        1,
        chosen.max_steps,
        chosen.modes[mode].steps,
        key=f"{page}.num_inference_steps.{chosen.id}.{mode}",
        help="More take longer, and follow the prompt a little more closely.",
        persist_state="session",
    )


def guidance(page: str, chosen: Variant) -> float:
    return st.slider(
        "Guidance",
        1.0,
        20.0,
        float(chosen.default_guidance_scale),
        0.5,
        key=f"{page}.guidance_scale.{chosen.id}",
        help="How closely the prompt is followed; 1 is without guidance.",
        persist_state="session",
    )


def seed(page: str) -> int | None:
    """None: drawn by the API, and shown with the picture."""
    key = f"{page}.seed"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        value = st.number_input(
            "Seed",
            0,
            SEEDS - 1,
            None,
            key=key,
            placeholder="at random",
            persist_state="session",
        )
        st.button("Roll", key=f"{page}.die", icon=":material/casino:", on_click=_roll, args=(key,))
    return value


def _roll(key: str) -> None:
    st.session_state[key] = secrets.randbelow(SEEDS)


def keep(page: str) -> bool | None:
    """Whether the gallery keeps it; None without one."""
    problem = session.gallery_problem()
    kept = st.checkbox(
        "Keep in the gallery",
        value=not problem,
        disabled=bool(problem),
        help=problem or "With its prompt, to be found again.",
        key=f"{page}.keep",
        persist_state="session",
    )
    return None if problem else kept


def fill(page: str, fields: Mapping[str, Any], found: Sequence[Variant]) -> list[str]:
    """Before the widgets are there: what they show. What can't be shown, in words."""
    named = [each for each in found if each.id == fields.get("model")]
    of_model = [each for each in found if each.model_id == fields.get("model_id")]
    chosen = (*named, *of_model, found[0])[0]
    asked = fields.get("model") or fields.get("model_id")
    missing = []
    if asked and not (named or of_model):
        missing.append(f"{asked} isn't deployed; {chosen.id} takes its place.")
    state = st.session_state
    state[f"{page}.model"] = chosen.id
    for name in ("prompt", "negative_prompt"):
        state[f"{page}.{name}"] = fields.get(name, "")
    if "seed" in fields:
        state[f"{page}.seed"] = fields["seed"]
    asked_mode = fields.get("quality", STANDARD)
    mode = asked_mode if asked_mode in chosen.modes else STANDARD
    fits = {
        "size": fields.get("size") in chosen.sizes,
        "quality": mode == asked_mode,
        "num_inference_steps": 1 <= fields.get("num_inference_steps", 0) <= chosen.max_steps,
        "guidance_scale": 1 <= fields.get("guidance_scale", 0) <= 20,
    }
    state[f"{page}.quality.{chosen.id}"] = mode
    for name in (name for name in fits if name in fields):
        of_mode = f".{mode}" if name == "num_inference_steps" else ""
        if fits[name]:
            state[f"{page}.{name}.{chosen.id}{of_mode}"] = fields[name]
        else:
            missing.append(f"{chosen.id} has no {name} of {fields[name]}.")
    if "strength" in fields:
        if 0 <= fields["strength"] <= 1:
            state["edit.strength"] = fields["strength"]
        missing.append(
            f"It was drawn from another picture, with a strength of {fields['strength']:g}: "
            "“Edit” starts from one."
        )
    return missing
