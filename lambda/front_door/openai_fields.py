"""OpenAI's fields that this API has no choice to offer for, by name: a value that asks for what is
done anyway is taken, any other is refused with what is possible.

Source: the types of the client openai 3.57 (PyPI), ImageGenerateParams and ImageEditParams.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sd_contract.fields import Problem, json_type


@dataclass(frozen=True)
class OpenAiField:
    """`taken` are the values that ask for what is done; `about` says what is done, or what to ask
    for in its place."""

    name: str
    taken: tuple[str | int, ...]
    about: str

    def takes(self, value: Any) -> bool:
        # By type as well: to Python, 0 is False. A JSON number 0.0 is the integer 0.
        return any(
            value == each and isinstance(value, bool) == isinstance(each, bool)
            for each in self.taken
        )

    def schema(self) -> dict[str, Any]:
        return {"enum": [*self.taken, None], "description": self.about}

    def problem(self, value: Any) -> Problem:
        possible = " or ".join(map(_text, self.taken))
        given = _text(value) if isinstance(value, bool) else json_type(value)
        said = f"must be {possible}, not {given}" if possible else "not supported"
        return Problem(self.name, f"{self.name}: {said}. {self.about}", "unsupported")

    def from_text(self, text: str) -> str | int:
        """What a form's text says: one of `taken`, if it is that one's JSON."""
        return next((each for each in self.taken if _text(each) == text), text)


_ONE_PICTURE = "A picture is one PNG, JPEG or WebP: output_format."
GENERATION = (
    OpenAiField("background", ("auto", "opaque"), "Pictures are opaque."),
    OpenAiField("moderation", ("auto", "low"), "Prompts and pictures are not moderated."),
    OpenAiField("stream", (False,), "Pictures come whole, in one answer."),
    OpenAiField("partial_images", (0,), "Pictures come whole, in one answer."),
    OpenAiField("style", (), "The prompt says it."),
    OpenAiField(
        "complexity", (), "quality and num_inference_steps say how much work goes into a picture."
    ),
    OpenAiField("frame_count", (), _ONE_PICTURE),
    OpenAiField("frame_duration_ms", (), _ONE_PICTURE),
    OpenAiField("svg", (), _ONE_PICTURE),
)
EDIT = (
    *GENERATION,
    OpenAiField("input_fidelity", (), "strength says how far from the image."),
    OpenAiField("markup", (), "mask says what is drawn anew."),
)


def parted(
    body: Mapping[str, Any], fields: Iterable[OpenAiField]
) -> tuple[dict[str, Any], list[Problem]]:
    """The rest of the body, and what of `fields` it asks for in vain."""
    rest, problems = dict(body), []
    for field in fields:
        value = rest.pop(field.name, None)
        if value is not None and not field.takes(value):
            problems.append(field.problem(value))
    return rest, problems


def _text(value: str | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
