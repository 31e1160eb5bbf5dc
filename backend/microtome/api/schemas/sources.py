"""Models, probe sets, examples, uploads."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from microtome.api.schemas.common import Out
from microtome.core.selection import Strict

State = Literal["ready", "changed", "missing"]


class NewSource(Strict):
    source: str = Field(
        min_length=1,
        max_length=1000,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="builtin:NAME, path:FOLDER or hf:ORG/NAME",
        examples=["builtin:tinyplaces-resnet", "path:/data/my-model"],
    )
    name: str | None = Field(None, min_length=1, max_length=64, description="Short name; made from the source if left out.")


class NewImport(Strict):
    folder: str = Field(
        min_length=1,
        max_length=1000,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="Folder on the server that holds manifest.json and the tables it names.",
        examples=["/data/exports/my-net"],
    )


Modality = Literal["image", "text"]


class LayerInfo(Out):
    name: str
    label: str
    kind: str
    units: int
    height: int
    width: int
    default: bool
    order: int
    depth: int


class DissectedLayer(Out):
    label: str
    name: str
    units: int
    categories: dict[str, int]
    computed: bool


class DissectionState(Out):
    probe: str
    state: Literal["current", "computing", "stale", "none"]
    run: str | None
    layers: list[DissectedLayer]
    labelled: int


class Model(Out):
    slug: str
    source: str
    family: str
    modality: Modality
    task: Literal["causal", "masked", "classify", "encode"] | None = Field(description="What a model that reads does; null for images.")
    hash: str
    state: State
    problem: str | None
    parameters: int
    units: int
    input: list[int] = Field(
        description="Channels, height and width of an image; or the most tokens of a text.", min_length=1, max_length=3
    )
    classes: int
    bytes: int
    added: str
    builtin: bool
    dissection: DissectionState | None


class ModelDetail(Model):
    layers: list[LayerInfo]
    class_names: list[str]
    config: dict[str, Any]
    card: str | None


class Models(Out):
    items: list[Model]


class Probe(Out):
    slug: str
    source: str
    hash: str
    modality: Modality
    kind: Literal["generator", "images", "segmentation", "imported", "texts"]
    examples: int
    classes: list[str]
    size: tuple[int, int] | None
    concepts: int
    categories: dict[str, int]
    bytes: int
    added: str
    builtin: bool
    skipped: int
    state: State
    problem: str | None


class ConceptInfo(Out):
    index: int
    name: str
    category: str
    images: int | None
    pixels: int | None


class FileReport(Out):
    file: str
    reason: str


class ProbeDetail(Probe):
    concept_list: list[ConceptInfo]
    reports: list[FileReport]


class Probes(Out):
    items: list[Probe]


class Prediction(Out):
    class_: int = Field(alias="class", serialization_alias="class")
    name: str
    probability: float
    correct: bool | None
    true_probability: float | None


class Example(Out):
    index: int
    name: str
    label: int | None
    label_name: str | None
    image: str | None = Field(description="Address of the picture; null for a text.")
    text: str | None = Field(description="The text, at most 2,000 characters of it; null for an image.")
    prediction: Prediction | None


class Examples(Out):
    items: list[Example]
    next: str | None


class TextToken(Out):
    id: int
    text: str = Field(description="The characters that it was made from.")
    start: int
    stop: int


class TextTokens(Out):
    text: str
    tokens: list[TextToken] = Field(description="Of the text itself, without special tokens around it.")
    before: int = Field(description="Special tokens that the model reads before the text.")
    left_out: int = Field(description="Tokens at the end that the model's window has no room for.")


class ExampleTokens(TextTokens):
    index: int
    name: str


class PromptText(Strict):
    model: str = Field(min_length=1, max_length=64)
    text: str = Field(max_length=20_000)


class MaskConcept(Out):
    index: int
    name: str
    category: str
    pixels: int


class Masks(Out):
    concepts: list[MaskConcept]


class Upload(Out):
    sha256: str
    width: int
    height: int
    bytes: int
    example: str
