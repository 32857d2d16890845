"""What this session has drawn. It ends with the browser's tab; the gallery stays."""

import streamlit as st

from generator_app import cards, session, sign_in

sign_in.require()
st.title("History")
results = session.history()
if results:
    pictures = "1 picture" if len(results) == 1 else f"{len(results)} pictures"
    st.caption(f"{pictures} of this session, the newest first.")
    cards.grid(results, "history")
else:
    st.info("Nothing is drawn yet in this session.")
