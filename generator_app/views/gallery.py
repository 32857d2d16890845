"""What is kept: all of it, newest first, or what is near a prompt or a picture."""

import streamlit as st

from generator_app import cards, session, sign_in
from generator_app.client import ApiError, Kept

PAGE_OF = 12


def actions(kept: Kept, key: str) -> None:
    with st.container(horizontal=True):
        st.button("Similar", key=f"{key}.similar", on_click=look_for, args=(kept,))
        st.button("Delete", key=f"{key}.delete", on_click=delete, args=(kept,))


def look_for(kept: Kept) -> None:
    st.session_state["gallery.picture"] = kept


def forget_picture() -> None:
    st.session_state.pop("gallery.picture", None)


def delete(kept: Kept) -> None:
    try:
        session.client().delete(kept.id)
    except ApiError as error:
        st.session_state["gallery.told"] = str(error)
    else:
        st.session_state["gallery.told"] = "The picture, its settings and its vector are gone."
        if st.session_state.get("gallery.picture") == kept:
            forget_picture()


def pages() -> None:
    """As many as were asked for, one after another."""
    shown: list[Kept] = []
    more = True
    for _ in range(st.session_state.get("gallery.pages", 1)):
        found, more = session.client().pictures(PAGE_OF, shown[-1].id if shown else None)
        shown += found
        if not more:
            break
    if not shown:
        st.info("The gallery is empty. What is drawn with “Keep in the gallery” comes here.")
    cards.kept_grid(shown, "gallery", actions)
    if more and st.button("More"):
        st.session_state["gallery.pages"] = st.session_state.get("gallery.pages", 1) + 1
        st.rerun()


def main() -> None:
    st.title("Gallery")
    found = session.variants()
    if told := st.session_state.pop("gallery.told", ""):
        st.info(told)
    wide, narrow, narrower = st.columns([3, 1, 1])
    prompt = wide.text_input(
        "Search by a prompt",
        key="gallery.prompt",
        type="search",
        live="400ms",
        max_chars=1000,
        on_change=forget_picture,
    )
    model = narrow.selectbox("Variant", ["", *(each.id for each in found)],
                             format_func=lambda name: name or "any")  # fmt: skip
    sizes = sorted({size for each in found for size in each.sizes})
    size = narrower.selectbox("Size", ["", *sizes], format_func=lambda name: name or "any")
    picture: Kept | None = st.session_state.get("gallery.picture")
    try:
        if picture or prompt:
            if picture:
                st.subheader(f"Like “{picture.prompt}”")
                st.button("All pictures", on_click=forget_picture)
            asked = {"picture": picture.id} if picture else {"prompt": prompt or ""}
            near = session.client().similar(limit=PAGE_OF, model=model, size=size, **asked)
            if not near:
                st.info("Nothing kept is like it.")
            cards.kept_grid(near, "gallery", actions)
        else:
            pages()
    except ApiError as error:
        st.warning(session.without_gallery(error))


sign_in.require()
main()
