"""A picture from a picture: all of it, or what is painted on it."""

import streamlit as st

from generator_app import cards, estimate, session, settings, sign_in
from generator_app.mask_painter import mask_painter
from generator_app.page_drop import page_drop
from generator_app.picture_file import Source, source
from generator_app.results import Result, given

PAGE = "edit"
FILE, CAMERA, DRAWN = "A file", "The camera", "Drawn here"


def chosen_source() -> Source | None:
    brought: Result | None = st.session_state.get("edit_source")
    ways = [DRAWN, FILE, CAMERA] if brought else [FILE, CAMERA]
    way = st.radio("The picture to start from", ways, horizontal=True, key=f"edit.way.{ways[0]}")
    content: bytes | None = None
    if way == DRAWN and brought:
        content = brought.picture.content
    elif way == CAMERA:
        taken = st.camera_input("A picture by the camera", key="edit.camera")
        content = taken.getvalue() if taken else None
    else:
        file = st.file_uploader(
            "A PNG, JPEG or WebP", type=["png", "jpg", "jpeg", "webp"], key="edit.file"
        )
        page_drop()
        content = file.getvalue() if file else None
    if content is None:
        return None
    try:
        return source(content)
    except ValueError as error:
        st.error(str(error))
        return None


def main() -> None:
    st.title("Edit a picture")
    found = session.variants()
    starting, asking = st.columns([2, 3], gap="large")
    with starting:
        picture = chosen_source()
        mask = mask_painter(picture, "edit.mask") if picture else None
    with asking:
        variant = settings.variant(PAGE, found)
        prompt, negative = settings.prompts(PAGE, variant.id, "the same lighthouse at night")
        drawing, showing = st.container(), st.container()
        with st.expander("Settings", expanded=True, key="edit.settings"):
            strength = st.slider(
                "Strength",
                0.0,
                1.0,
                0.75,
                0.05,
                key="edit.strength",
                help="How far from the picture: 0 leaves it, at 1 nothing of it is seen.",
                persist_state="session",
            )
            size = settings.size(PAGE, variant, variant.sizes)
            quality = settings.quality(PAGE, variant, list(variant.modes))
            steps = settings.steps(PAGE, variant, quality)
            guidance = settings.guidance(PAGE, variant)
            seed = settings.seed(PAGE)
            keep = settings.keep(PAGE)
    takes = estimate.seconds(variant, variant.modes[quality], size, steps, 1, strength)
    costs = estimate.money(estimate.cost_usd(variant, takes))
    ready = bool(prompt and picture)
    with drawing:
        asked = st.button("Edit the picture", type="primary", disabled=not ready, width="stretch")
        st.caption(f"About {estimate.duration(takes)} and {costs} of {variant.instance_type}.")
    with showing:
        if asked and picture:
            fields = given(
                model=variant.id,
                prompt=prompt,
                negative_prompt=negative,
                image=picture.data_url,
                mask=mask,
                strength=strength,
                size=size,
                quality=quality,
                num_inference_steps=steps,
                guidance_scale=guidance,
                seed=seed,
                store=keep,
            )
            cards.draw(PAGE, fields, variant)
        cards.grid(st.session_state.get("edit.latest", []), "edit")


sign_in.require()
main()
