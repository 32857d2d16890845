"""Docker without a daemon: the `docker` that builds get, the Dockerfile laid out, the images kept,
AWS's own registries, and how an image's command is run here."""
