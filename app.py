"""Settings → stacks → checks. Reads the repository's files alone; needs no credentials."""

import os
import sys

from aws_cdk import Annotations, App, Validations
from cdk_nag import AwsSolutionsChecks

from stacks.api_stack import ApiStack
from stacks.artifacts_stack import ArtifactsStack
from stacks.compile_stack import CompileStack
from stacks.endpoint_stack import EndpointStack
from stacks.settings import Settings, SettingsError, load
from stacks.storage_stack import StorageStack


def compose(app: App, settings: Settings) -> None:
    """Adds the stacks; a variant's depends on all it needs, so deploying it brings them along."""
    storage = StorageStack(app, "SdStorageStack", settings=settings)
    artifacts = ArtifactsStack(app, "SdArtifactsStack", settings=settings, storage=storage)
    api = ApiStack(app, "SdApiStack", settings=settings)
    for variant in settings.variants:
        compiled = (
            CompileStack(
                app, "SdCompileStack", settings=settings, storage=storage, artifacts=artifacts
            )
            if variant.name == "inf2"
            else None
        )
        EndpointStack(
            app,
            f"Sd{variant.name.capitalize()}Stack",
            settings=settings,
            variant=variant,
            storage=storage,
            artifacts=artifacts,
            api=api,
            compiled=compiled,
        )
    for notice in settings.notices:
        stack = app.node.find_child(f"Sd{notice.variant.capitalize()}Stack")
        Annotations.of(stack).add_warning_v2(notice.id, notice.text)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def main() -> None:
    app = App()
    context = app.node.get_all_context()
    try:
        settings = load(context, os.environ.get("CDK_DEFAULT_REGION") or "us-east-1")
    except SettingsError as error:
        sys.exit(str(error))
    compose(app, settings)
    app.synth()


if __name__ == "__main__":
    main()
