"""A page over the public API, in Streamlit. It is one of its callers: nothing of what runs behind
the API is imported here."""
