"""What `streamlit run` gets, with the repository (or the image's folder) as the working directory:
`python -m streamlit run generator_app/app.py`."""

import streamlit as st

from generator_app import session, sign_in

st.set_page_config(page_title="Stable Diffusion", page_icon="🎨", layout="wide")
sign_in.require()
st.navigation(
    [
        st.Page(session.CREATE, title="Create", icon=":material/brush:", default=True),
        st.Page(session.EDIT, title="Edit", icon=":material/auto_fix_high:"),
        st.Page(session.COMPARE, title="Compare", icon=":material/compare:"),
        st.Page(session.GALLERY, title="Gallery", icon=":material/photo_library:"),
        st.Page(session.HISTORY, title="History", icon=":material/history:"),
    ],
    position="top",
).run()
