"""What a build is told: the stack writes it into the project's environment, the script reads it.

Runs in the Neuron container too, on its Python 3.10.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TypeVar, get_type_hints

T = TypeVar("T", bound="BuildEnvironment")


@dataclass(frozen=True)
class BuildEnvironment:
    """A field `image` is the variable SD_IMAGE: text as it is, anything else as JSON."""

    def to_env(self) -> dict[str, str]:
        return {
            _variable(name): value if isinstance(value, str) else json.dumps(value)
            for name, value in vars(self).items()
        }

    @classmethod
    def from_env(cls: type[T], env: Mapping[str, str]) -> T:
        """Raises KeyError for what is missing."""
        types = get_type_hints(cls)
        told = {item.name: env[_variable(item.name)] for item in fields(cls)}
        return cls(**{name: v if types[name] is str else json.loads(v) for name, v in told.items()})


def _variable(name: str) -> str:
    return f"SD_{name.upper()}"
