"""Settings → stacks → checks. Reads the repository's files alone; needs no credentials."""

import os
import sys

from aws_cdk import Annotations, App, Validations
from cdk_nag import AwsSolutionsChecks, ServerlessChecks

from stacks.alarms_stack import AlarmsStack
from stacks.api_stack import ApiStack
from stacks.app_stack import AppStack
from stacks.artifacts_stack import ArtifactsStack
from stacks.batch_stack import BatchStack
from stacks.compile_stack import CompileStack
from stacks.components.network import Network
from stacks.endpoint_stack import EndpointStack
from stacks.gallery_stack import GalleryStack
from stacks.network_stack import NetworkStack
from stacks.settings import Settings, SettingsError, load
from stacks.settings.compile import CompiledSettings
from stacks.settings.network import GIVEN, OWN
from stacks.storage_stack import StorageStack


def compose(app: App, settings: Settings) -> None:
    """Adds the stacks; a variant's depends on all it needs, so deploying it brings them along."""
    name = settings.names.stack
    alarms = AlarmsStack(app, name("Alarms"), settings=settings)
    storage = StorageStack(app, name("Storage"), settings=settings)
    artifacts = ArtifactsStack(app, name("Artifacts"), settings=settings, storage=storage)
    api = ApiStack(app, name("Api"), settings=settings, storage=storage)
    network = _network(app, settings)
    firsts = [artifacts, api]
    # The app is one of the callers that have a key and nothing else.
    if settings.api.authorization == "keys":
        firsts.append(AppStack(app, name("App"), settings=settings, storage=storage, api=api))
    for first in firsts:
        first.add_stack_dependency(alarms)
    batch = (
        BatchStack(app, name("Batch"), settings=settings, storage=storage, api=api, network=network)
        if settings.batch.enabled
        else None
    )
    if settings.gallery.enabled:
        GalleryStack(app, name("Gallery"), settings=settings, artifacts=artifacts, api=api)
    stacks = {}
    for variant in settings.variants:
        compiled = (
            CompileStack(
                app,
                name(f"{variant.title}Compile"),
                settings=settings,
                variant=variant,
                storage=storage,
                artifacts=artifacts,
                network=network,
            )
            if isinstance(variant, CompiledSettings)
            else None
        )
        stacks[variant.name] = EndpointStack(
            app,
            name(variant.title),
            settings=settings,
            variant=variant,
            storage=storage,
            artifacts=artifacts,
            api=api,
            batch=batch,
            compiled=compiled,
            network=network,
        )
    for notice in settings.notices:
        Annotations.of(stacks[notice.variant]).add_warning_v2(notice.id, notice.text)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app), ServerlessChecks(app))


def _network(app: App, settings: Settings) -> Network | None:
    told = settings.network
    if told.vpc == OWN:
        return NetworkStack(app, settings.names.stack("Network"), settings=settings).network
    given = told.vpc == GIVEN
    return Network(told.subnets or (), told.security_groups or ()) if given else None


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
