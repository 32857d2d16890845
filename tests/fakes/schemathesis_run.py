"""Schemathesis over HTTP against an API in this process, by the document that it serves."""

from collections.abc import Sequence
from typing import Any

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from tests.fakes.wsgi_gateway import KEY, Respond, served


def tried(respond: Respond, cases: int, operations: Sequence[dict[str, Any]]) -> int:
    """How many requests were made, up to `cases` an operation and phase. Raises AssertionError with
    all that was found. `operations` configures some of them."""
    with served(respond) as url:
        config = SchemathesisConfig.from_dict(
            {
                "base-url": url,
                "headers": {"x-api-key": KEY},
                "seed": 1,
                "generation": {
                    "max-examples": cases,
                    "deterministic": True,
                    # Beside the key: of two, one that is wrong is no matter.
                    "with-security-parameters": False,
                },
                "operations": list(operations),
            }
        )
        schema = schemathesis.openapi.from_url(
            f"{url}/openapi.json", config=config, headers={"x-api-key": KEY}
        )
        made, found = 0, []
        for event in from_schema(schema).execute():
            assert not isinstance(event, events.NonFatalError | events.FatalError), event
            if isinstance(event, events.ScenarioFinished):
                made += len(event.recorder.cases)
                checks = [each for some in event.recorder.checks.values() for each in some]
                found += [each.failure_info for each in checks if each.failure_info]
    assert not found, "\n".join(f"{each.failure}\n{each.code_sample}" for each in found)
    return made
