"""What is compared with what, and how far it is to go."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmark.speed.levers import ON_CPU, ON_GPU, row_name

COUNTED, CPU, GPU = SECTIONS = ("counted", "cpu", "gpu")
TITLES = {COUNTED: "Counted, on any machine", CPU: "On a CPU", GPU: "On a GPU"}


@dataclass(frozen=True)
class Row:
    """`ratio` of the two sides' figures: ours to theirs."""

    name: str
    section: str
    what: str
    ours: str
    theirs: str
    unit: str
    reach: float
    at_least: bool = False
    """The ratio is to be that or more; else that or less."""
    when_named: bool = False
    """Not measured unless `--only` names it."""

    def is_reached(self, ratio: float) -> bool:
        """By the two places that are shown: 40 rows of 102 are 0.39."""
        shown = round(ratio, 2)
        return shown >= self.reach if self.at_least else shown <= self.reach


@dataclass(frozen=True)
class Measured:
    """JSON values alone."""

    ours: float
    theirs: float
    difference: str
    """In the picture."""
    conditions: str
    machine: str
    date: str
    """ISO's, of the day."""

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


_PLAIN = "diffusers' StableDiffusionPipeline, same scheduler, same seed"
_STUDY = "diffusers' default, most likely the study's: PNDM, 50 steps, 102 rows of the UNet"
_START = "container start to first picture, full-size weights on the disk"
_FOLDER = "from the folder, as SageMaker lays an uncompressed prefix out"
_ARCHIVE = "from a model.tar.gz, which is taken apart first"


def _levers(names: Iterable[str], where: str, section: str, conditions: str) -> Iterable[Row]:
    """Not to be slower is what each has to do."""
    for name in names:
        what = f"a picture{conditions}, by `{name}`"
        yield Row(row_name(name, where), section, what, "with it", "without", "s", 1.0)


ROWS = (
    Row(
        "flops-standard-small",
        COUNTED,
        "the UNet's work a picture, `standard`, small model",
        "our default",
        _STUDY,
        "TFLOP",
        0.30,
    ),
    Row(
        "flops-standard",
        COUNTED,
        "the same with real weights",
        "our default",
        _STUDY,
        "TFLOP",
        0.39,
    ),
    Row(
        "flops-fast-small",
        COUNTED,
        "the same, `fast`, small model",
        "our default",
        _STUDY,
        "TFLOP",
        0.20,
    ),
    Row(
        "flops-fast",
        COUNTED,
        "the same with real weights",
        "our default",
        _STUDY,
        "TFLOP",
        0.20,
    ),
    Row(
        "picture-cpu",
        CPU,
        "a picture, full-size networks, float32, equal steps",
        "`sd_serving.engine` with the diffusers kind's parts",
        _PLAIN,
        "s",
        0.95,
    ),
    Row(
        "picture-cpu-small",
        CPU,
        "the same, small model",
        "`sd_serving.engine` with the diffusers kind's parts",
        _PLAIN,
        "s",
        0.95,
    ),
    Row("start", CPU, _START, _FOLDER, _ARCHIVE, "s", 0.35),
    Row(
        "djl-batches",
        CPU,
        "8 djl requests at once, small model",
        "in one batch",
        "one after another",
        "s",
        0.80,
    ),
    Row(
        "load-cpu-small",
        CPU,
        "pictures a second of the diffusers kind under load, small model",
        "requests that wait drawn together",
        "one by one",
        "pictures/s",
        1.5,
        at_least=True,
    ),
    Row(
        "synth",
        CPU,
        "`cdk synth SdInf2Stack`",
        "as it is",
        "without cdk-nag's checks",
        "s",
        1.3,
    ),
    *_levers((*ON_CPU, "prompt_cache"), "cpu-small", CPU, ", small model"),
    Row(
        "make-test",
        CPU,
        "`make test`",
        "its three parts side by side",
        "`make in-turn`, the same tests one after another",
        "s",
        0.70,
        when_named=True,
    ),
    Row("start-gpu", GPU, _START, _FOLDER, _ARCHIVE, "s", 0.35),
    Row(
        "picture-gpu",
        GPU,
        "a picture, full-size networks, float16, batch 1, equal steps",
        "`sd_serving.engine` with the diffusers kind's parts",
        _PLAIN,
        "s",
        0.60,
    ),
    Row(
        "picture-gpu-levers",
        GPU,
        "the same with `fused_qkv`, `cuda_graphs` and `torch_compile`",
        "`sd_serving.engine` with the diffusers kind's parts",
        _PLAIN,
        "s",
        0.60,
    ),
    *_levers((*ON_GPU, "prompt_cache"), "gpu", GPU, ", float16, batch 1"),
    Row(
        "files-gpu",
        GPU,
        "4 pictures one by one and their files, full-size networks, float16",
        "of one request: a file is written while the next is drawn",
        "of a request each",
        "s",
        1.0,
    ),
    Row(
        "load-gpu",
        GPU,
        "pictures a second under load, full-size networks, float16",
        "requests that wait drawn together",
        "one by one",
        "pictures/s",
        1.5,
        at_least=True,
    ),
)
BY_NAME = {row.name: row for row in ROWS}
