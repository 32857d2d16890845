"""Pictures from a prompt: one request, or a batch with its progress."""

import streamlit as st

from generator_app import cards, estimate, session, settings, sign_in
from generator_app.client import ApiError, BatchState, DrawnPicture, Variant
from generator_app.page_drop import page_drop
from generator_app.picture_file import NoParametersError, parameters_of
from generator_app.results import given, of_batch

PAGE = "create"
NOW, BATCH = "Now", "As a batch"
BATCH_PICTURES = 100
POLL_S = 2


def read_dropped() -> None:
    """A callback: it runs before the widgets that it fills."""
    file = st.session_state["create.dropped"]
    if file is None:
        return
    try:
        session.bring(parameters_of(file.getvalue()))
    except NoParametersError as error:
        st.session_state["create.told"] = [str(error)]


def take_brought(found: list[Variant]) -> None:
    told = st.session_state.pop("create.told", [])
    if fields := session.brought():
        told = settings.fill(PAGE, fields, found)
        if not told:
            st.success("The picture's settings are here again.")
    for line in told:
        st.warning(line)


def start(fields: dict[str, object]) -> None:
    try:
        state = session.client().start_batch(fields)
    except ApiError as error:
        st.error(str(error))
        return
    st.session_state["create.batch"] = (state.id, fields)


@st.fragment(run_every=POLL_S)
def progress() -> None:
    batch, fields = st.session_state["create.batch"]
    try:
        state = session.client().batch(batch)
        file = state.output_file_id if state.ended else None
        pictures = session.client().batch_pictures(file) if file else []
    except ApiError as error:
        st.error(str(error))  # the next look asks again
        return
    total = fields["n"]
    st.progress(min(1.0, state.drawn / total), f"{state.drawn} of {total} pictures: {state.status}")
    if not state.ended:
        if st.button("Stop the batch"):
            try:
                session.client().cancel(batch)
            except ApiError as error:
                st.error(str(error))
        return
    finish(state, fields, pictures)
    st.rerun()


def finish(state: BatchState, fields: dict[str, object], pictures: list[DrawnPicture]) -> None:
    del st.session_state["create.batch"]
    results = of_batch(fields, pictures)
    session.remember(results)
    st.session_state["create.latest"] = results
    costs = f", {estimate.money(state.cost_usd)}" if state.cost_usd is not None else ""
    said = f"The batch is {state.status}: {len(pictures)} pictures{costs}."
    st.session_state["create.said"] = " ".join((said, *state.mistakes))


def main() -> None:
    st.title("Create a picture")
    found = session.variants()
    take_brought(found)
    asking, showing = st.columns([2, 3], gap="large")
    with asking:
        variant = settings.variant(PAGE, found)
        prompt, negative = settings.prompts(PAGE, variant.id, "a lighthouse at dawn")
        drawing = st.container()  # above what few will change
        ways = [NOW] * ("real-time" in variant.serve) + [BATCH] * (variant.serve != ("real-time",))
        with st.expander("Settings", expanded=True, key="create.settings"):
            when = st.radio("When", ways, horizontal=True, key=f"create.when.{variant.id}")
            most = BATCH_PICTURES if when == BATCH else variant.max_images
            images = st.number_input("Pictures", 1, most, 1, key=f"create.n.{when}.{variant.id}")
            size = settings.size(PAGE, variant, variant.sizes)
            quality = settings.quality(PAGE, variant, list(variant.modes))
            steps = settings.steps(PAGE, variant, quality)
            guidance = settings.guidance(PAGE, variant)
            seed = settings.seed(PAGE)
            keep = settings.keep(PAGE) if when == NOW else None
        takes = estimate.seconds(variant, variant.modes[quality], size, steps, images)
        costs = estimate.money(estimate.cost_usd(variant, takes))
        fields = given(
            model=variant.id,
            prompt=prompt,
            negative_prompt=negative,
            n=images,
            size=size,
            quality=quality,
            num_inference_steps=steps,
            guidance_scale=guidance,
            seed=seed,
            store=keep,
        )
        asked = drawing.button("Draw", type="primary", disabled=not prompt, width="stretch")
        drawing.caption(f"About {estimate.duration(takes)} and {costs} of {variant.instance_type}.")
        st.file_uploader(
            "A PNG that was drawn here brings its settings back",
            type="png",
            key="create.dropped",
            on_change=read_dropped,
            help="It may be dropped anywhere on the page.",
        )
        page_drop()
    with showing:
        if asked and when == BATCH:
            start(fields)
        elif asked:
            cards.draw(PAGE, fields, variant)
        if "create.batch" in st.session_state:
            progress()
        if said := st.session_state.pop("create.said", ""):
            st.info(said)
        cards.grid(st.session_state.get("create.latest", []), "create")
        if prompt:
            st.header("Like this prompt")
            cards.recommendations("create.near", 3, prompt)


sign_in.require()
main()
