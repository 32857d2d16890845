"""`sd.kinds.neuron.compile`: how a model becomes one for Inferentia2."""

from dataclasses import dataclass, field

from sd_contract.environment import COMPILE_BACKENDS
from stacks.catalogue.images import sdk_of
from stacks.settings.rules import flag, number, one_of, optional, setting, whole
from stacks.settings.variant import VariantSettings

TRAINIUM_INSTANCES = ("ml.trn1.2xlarge", "ml.trn1.32xlarge", "ml.trn1n.32xlarge")


@dataclass(frozen=True, kw_only=True)
class CompileSettings:
    """The Neuron compile. Sizes and dtype are the variant's own, the SDK is its image's.

    `spot` saves money and can wait long. The bar of the parity gate is measured (see
    docs/operations.md); `parity_db` is one more, the least PSNR of each picture against eager
    float32. `poll_s` is how often the build asks for the job's state.
    """

    compute: str = setting(one_of("training-job", "codebuild-cpu"))
    instance_type: str = setting(one_of(*TRAINIUM_INSTANCES))
    spot: bool = setting(flag())
    # The wait in the deploy ends after 720 minutes; this leaves room for the build's queue.
    timeout_min: int = setting(whole(10, 600))
    backend: str = setting(one_of(*COMPILE_BACKENDS))
    parity_db: float | None = setting(optional(number(10, 80)))
    poll_s: int = setting(whole(1, 300))


@dataclass(frozen=True, kw_only=True)
class CompiledSettings(VariantSettings):
    """Of kinds that serve what was compiled first."""

    compile: CompileSettings = field(metadata={"section": CompileSettings})

    @property
    def keeps_deep_half(self) -> bool:
        """It would take a second graph."""
        return False

    @property
    def rows_count(self) -> bool:
        """Each half has a core of its own."""
        return False

    @property
    def sdk(self) -> str:
        """The Neuron SDK that compiles and serves: that of the image."""
        return sdk_of(self.base_image) or ""
