"""``manifest.json`` of a folder of results: what the tables beside it mean. Reading it needs neither torch nor pyarrow."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from microtome.core.address import LAYER
from microtome.core.errors import InvalidInput, NotFound, TooLarge
from microtome.core.keys import content_key, result_key, sha256
from microtome.results.iou import MIN_IOU
from microtome.store.results import IMPORTED

NAME = "manifest.json"
FORMAT = "microtome-import"
MAX_BYTES = 16 * 2**20
Table = Literal["units", "quantiles", "scores", "exemplars", "histograms", "peaks"]
_CONCEPT_TEXT = 400_000  # they stand in the document of every layer
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,150}"
_FILE = re.compile(rf"{_PART}(?:/{_PART}){{0,8}}\.(?:parquet|arrow)")

Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Source = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=1, le=65_536)]
Share = Annotated[float, Field(gt=0, lt=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$", description="Becomes the name in Microtome.")]
# "category:name"; longer ones would not fit the store's columns
Concept = Annotated[str, Field(pattern=r"^[^:\x00-\x1f\x7f]{1,50}:[^\x00-\x1f\x7f]{1,100}$")]


class Strict(BaseModel):
    """Unknown fields are refused, so that a misspelt one is not silently without effect."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TableFile(Strict):
    """One table: its place inside the folder, the sha256 of its bytes and its number of rows."""

    file: str = Field(max_length=400)
    sha256: Sha256
    rows: int = Field(ge=0, le=2**40)

    @field_validator("file")
    @classmethod
    def _inside(cls, file: str) -> str:
        if not _FILE.fullmatch(file) or ".." in file:
            raise ValueError("must be a relative path inside the folder, of letters, digits, dots, dashes, ending in .parquet or .arrow")
        return file


class MapFile(TableFile):
    """A table of positions in the plane: layer, unit, x, y."""

    projection: str = Field(min_length=1, max_length=200, description="How it was made: 'UMAP of concept profiles, seed 0'.")


class Geometry(Strict):
    """How an image becomes the input, as in :class:`microtome.core.geometry.Geometry`."""

    mode: Literal["exact", "shortest", "none"]
    resize: tuple[Size, Size]
    input: tuple[Size, Size]
    stated: str = Field("import", max_length=40)


class Model(Strict):
    """The network that was measured. ``hash`` is Microtome's own of the real model, when it is known."""

    name: Name
    family: Text
    input: tuple[Annotated[int, Field(ge=1, le=64)], Size, Size]
    parameters: int = Field(ge=0, le=2**50)
    classes: list[Text] = Field(default_factory=list, max_length=1_000_000)
    hash: Sha256 | None = None
    source: Source | None = None
    revision: Text | None = None
    geometry: Geometry | None = None
    card: str | None = Field(None, max_length=100_000)


class Probe(Strict):
    """The examples it was measured on. With a ``source`` that can be read here, pictures are shown; else names."""

    name: Name
    examples: int = Field(ge=1, le=2**31 - 1)
    classes: list[Text] = Field(default_factory=list, max_length=1_000_000)
    concepts: list[Concept] = Field(default_factory=list, max_length=20_000)
    source: Source | None = None
    hash: Sha256 | None = None
    size: tuple[Size, Size] | None = None
    names: TableFile | None = None


class Measure(Strict):
    """How the numbers were made."""

    quantile: Share = 0.995
    grid: list[Share] = Field(default_factory=list, max_length=200)
    min_iou: float = Field(MIN_IOU, ge=0, le=1)
    bins: int = Field(64, ge=1, le=4096, description="Bins of the histograms.")
    positions: int | None = Field(None, ge=1, le=2**60)
    concept_areas: list[Annotated[int, Field(ge=0, le=2**60)]] | None = None
    omitted_scores: Literal["absent", "zero"] = "absent"
    chance: str = Field("", max_length=1000, description="What the chance level is, in a sentence.")
    permutations: int | None = Field(None, ge=0, le=10**6)

    @property
    def points(self) -> list[float]:
        """Quantiles at which thresholds and counts stand."""
        return self.grid or [self.quantile]


class Band(Strict):
    """A kind of exemplars and how many slots each unit has of it."""

    name: str = Field(min_length=1, max_length=20, pattern=r"^[A-Za-z0-9_. -]+$")
    count: int = Field(ge=1, le=200)


class Layer(Strict):
    """One layer and its tables."""

    name: str
    units: int = Field(ge=1, le=2**31 - 1)
    height: Size = 1
    width: Size = 1
    label: Text | None = None
    kind: Text = "imported"
    depth: int = Field(0, ge=0, le=10_000)
    main: bool = True
    files: dict[Table, TableFile]

    @field_validator("name")
    @classmethod
    def _addressable(cls, name: str) -> str:
        if not LAYER.fullmatch(name):
            raise ValueError("must be up to 200 letters, digits, dots, dashes and underscores")
        return name

    @property
    def shown(self) -> str:
        return self.label or self.name


class Manifest(Strict):
    """The whole document. ``identity`` changes with anything in it, so also with any byte of any table."""

    format: Literal["microtome-import"]
    version: Literal[1]
    model: Model
    probe: Probe
    measure: Measure = Measure()
    bands: list[Band] = Field(default_factory=list, max_length=50)
    layers: list[Layer] = Field(min_length=1, max_length=5000)
    map: MapFile | None = None
    software: dict[Annotated[str, Field(max_length=60)], Annotated[str, Field(max_length=200)]] = Field(
        default_factory=dict, max_length=100
    )
    device: str = Field("not stated", max_length=100)
    created: str = Field("", max_length=40)

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        _distinct("layers", [layer.name for layer in self.layers])
        _distinct("bands", [band.name for band in self.bands])
        _distinct("probe.concepts", self.probe.concepts)
        _distinct("files", [file.file for file in self.files()])
        if sum(map(len, self.probe.concepts)) > _CONCEPT_TEXT:
            raise ValueError(f"probe.concepts is longer than {_CONCEPT_TEXT:,} characters in all")
        grid, areas = self.measure.grid, self.measure.concept_areas
        if grid and (sorted(set(grid)) != grid or self.measure.quantile not in grid):
            raise ValueError("measure.grid must be increasing and hold measure.quantile")
        if areas is not None and len(areas) != len(self.probe.concepts):
            raise ValueError(f"measure.concept_areas has {len(areas)} numbers for {len(self.probe.concepts)} probe.concepts")
        if self.probe.source is not None and self.probe.names is not None:
            raise ValueError("probe.names is for probe sets without a source; remove one of the two")
        for layer in self.layers:
            if "units" not in layer.files:
                raise ValueError(f"layer {layer.name} has no table 'units', which every layer needs")
            if "scores" in layer.files and not self.probe.concepts:
                raise ValueError(f"layer {layer.name} has scores, but probe.concepts is empty")
            if "exemplars" in layer.files and not self.bands:
                raise ValueError(f"layer {layer.name} has exemplars, but bands is empty")
        return self

    def files(self) -> Iterable[TableFile]:
        """All tables."""
        for layer in self.layers:
            yield from layer.files.values()
        yield from (file for file in (self.probe.names, self.map) if file is not None)

    @property
    def identity(self) -> str:
        return content_key(self.model_dump(mode="json"))

    @property
    def model_hash(self) -> str:
        """The real model's hash, else one of what is known of it: the same name, revision and layers are the same model."""
        if self.model.hash is not None:
            return self.model.hash
        layers = [[layer.name, layer.units, layer.height, layer.width] for layer in self.layers]
        return content_key({"imported": self.model.name, "revision": self.model.revision, "layers": layers, "classes": self.model.classes})

    @property
    def probe_hash(self) -> str:
        """Identity of a probe set without a source."""
        return self.probe.hash or content_key({"imported": self.probe.model_dump(mode="json")})

    @property
    def bands_of_slots(self) -> list[str]:
        """Band of every exemplar slot, in order."""
        return [band.name for band in self.bands for _ in range(band.count)]


def part_keys(manifest: Manifest, probe_hash: str) -> dict[str, str]:
    """Key of the result of every layer, by name, and of the map under ``""``; the same folder has the same keys."""
    common: dict[str, Any] = {
        "version": IMPORTED, "subjects": {"model": manifest.model_hash, "probe": probe_hash}, "params": {"import": manifest.identity},
    }  # fmt: skip
    keys = {layer.name: result_key(method="dissection", part=layer.name, **common) for layer in manifest.layers}
    if manifest.map is not None:
        keys[""] = result_key(method="unit-map", builds_on=keys.values(), **common)
    return keys


def _distinct(what: str, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what} holds '{name}' twice")
        seen.add(name)


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """The manifest of a folder, and the sha256 of its bytes.

    Raises:
        NotFound: no such folder, or no manifest in it. TooLarge: more than 16 MiB.
        InvalidInput: naming the first field that is wrong, its value and what is allowed.
    """
    path = folder / NAME
    if not folder.is_dir():
        raise NotFound(f"There is no folder '{folder}'. Give the folder that holds {NAME}.", field="folder")
    if not path.is_file():
        raise NotFound(f"'{folder}' has no {NAME}. docs/bulk-import.md describes it.", field="folder")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InvalidInput(f"{path} is a link that leaves the folder. Put the file itself there.", field="folder")
    with path.open("rb") as handle:
        data = handle.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise TooLarge(f"{path} is larger than {MAX_BYTES:,} bytes. Tables belong into Parquet files beside it.", field="folder")
    try:
        document: Any = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"{path} is not valid JSON: {error}. Write it again.", field="manifest") from None
    try:
        return Manifest.model_validate(document), sha256(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        given = "" if place in ("", "layers") or first["type"] == "missing" else f"; got {repr(first.get('input'))[:100]}"
        message = first["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"{path}: {place + ': ' if place else ''}{message}{given}.", field=f"manifest.{place}".rstrip(".")) from None
