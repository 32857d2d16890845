"""Files dropped anywhere on a page go to its uploader."""

import streamlit as st

_JS = """
export default function () {
  const holds = (event) => event.dataTransfer?.types.includes("Files");
  const uploader = () => document.querySelector('[data-testid="stFileUploader"] input[type=file]');
  const own = (event) => event.target.closest?.('[data-testid="stFileUploader"]');
  function over(event) {
    if (holds(event) && !own(event)) event.preventDefault();
  }
  function drop(event) {
    if (!holds(event) || own(event) || !uploader()) return;
    event.preventDefault();
    uploader().files = event.dataTransfer.files;
    uploader().dispatchEvent(new Event("change", { bubbles: true }));
  }
  document.addEventListener("dragover", over);
  document.addEventListener("drop", drop);
  document.body.dataset.takesFiles = "";
  return () => {
    document.removeEventListener("dragover", over);
    document.removeEventListener("drop", drop);
    delete document.body.dataset.takesFiles;
  };
}
"""


def page_drop() -> None:
    """On a page with one file uploader."""
    st.components.v2.component("page_drop", js=_JS)(key="page_drop")
