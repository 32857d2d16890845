"""Who may see a page."""


def require() -> None:
    """What each page calls first. Without SD_APP_OIDC_… there is no sign-in to ask for."""
