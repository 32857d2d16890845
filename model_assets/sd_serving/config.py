"""The container's settings: what the deploy told it, and what its image and SageMaker decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sd_contract.environment import EXACT, Batching, Reader, ServingEnvironment, text, whole
from sd_contract.fields import Whole


@dataclass(frozen=True)
class ServingConfig(ServingEnvironment):
    loader: str = ""
    """`module:function` of the variant's `load`; the server needs it, DJL's entry point doesn't."""
    model_dir: Path = Path("/opt/ml/model")
    host: str = "0.0.0.0"  # noqa: S104 - SageMaker's router comes from outside the container
    """Address to listen on."""
    port: int = 8080
    batching: Batching = EXACT

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> ServingConfig:
        read = Reader(env)
        config = cls(
            **vars(ServingEnvironment.read(read)),
            loader=read("SD_LOADER", text(), cls.loader),
            model_dir=Path(read("SM_MODEL_DIR", text(), str(cls.model_dir))),
            host=read("SD_BIND_HOST", text(), cls.host),
            port=read("SAGEMAKER_BIND_TO_PORT", whole(Whole(0, 65_535)), cls.port),
            batching=Batching.read(read),
        )
        read.raise_problems()
        return config
