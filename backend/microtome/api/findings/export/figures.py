"""The figures of a finding on paper, and their numbers as CSV."""

from __future__ import annotations

import csv
import importlib
import io
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from microtome.api.desk import Desk
from microtome.api.examples import checked
from microtome.api.pictures import geometry_of, upload_path
from microtome.api.results import csv_of, safe_cell
from microtome.api.texts import tokenizer_of
from microtome.core.errors import MicrotomeError, NotFound
from microtome.core.viewstate import ViewState
from microtome.probes import TextSet, decode_image
from microtome.results import Distribution, Gallery, ImageMap

TOP = 9
AROUND = 24  # tokens to either side of the strongest
SIZE = 320  # pixels of a printed image: enough for paper, and an SVG of nine stays below a megabyte


def draw(desk: Desk, finding: Mapping[str, Any], number: int, format: str, *, captioned: bool = True) -> bytes:
    """One figure as SVG, PDF or PNG, with what it was made from.

    Args:
        captioned: with its caption, as plain text; not where one stands beside it.

    Raises:
        NotFound: there is no figure of this number, counted from 1.
    """
    figure = figure_of(finding, number)
    room = importlib.import_module("microtome.results.printed")  # matplotlib is large
    words = re.sub(r"\*\*?|`", "", figure["caption"])  # marks of emphasis mean nothing on paper
    caption = f"Figure {number}. {words}\n{made_from(finding)}" if captioned else made_from(finding)
    panels = [_panel(desk, room, figure, panel) for panel in figure["panels"]]
    return bytes(room.printed(panels, caption, format))


def figure_of(finding: Mapping[str, Any], number: int) -> Mapping[str, Any]:
    figures: list[Mapping[str, Any]] = finding["figures"]
    if not 1 <= number <= len(figures):
        raise NotFound(f"Finding {finding['number']} has {len(figures)} figures; there is no {number}.", field="number")
    return figures[number - 1]


def made_from(finding: Mapping[str, Any]) -> str:
    """What captions carry: the finding with its hash, weights, data, methods."""
    made = finding["provenance"]
    parts = [f"Finding {finding['number']}, revision {finding['shown']}, sha256 {finding['content_hash'][:12]}"]
    for name, word in (("model_hash", "weights"), ("probe_hash", "data")):
        found = sorted({m[name][:12] for m in made if m[name]})
        parts += [f"{word} {', '.join(found)}"] if found else []
    methods = sorted({f"{m['method']} {m['version']}" for m in made})
    return "; ".join([*parts, *methods[:6]])


def numbers(desk: Desk, finding: Mapping[str, Any], number: int) -> str:
    """The data of a figure: each panel as a table of its own under a line that names it."""
    figure, blocks = figure_of(finding, number), [f"# {made_from(finding)}"]
    for panel in figure["panels"]:
        if panel["kind"] == "exemplars":
            rows, _, _ = _exemplars(desk, figure, panel)
            lines = ["example,activation", *(f"{example},{activation!r}" for example, activation in rows)]
            blocks.append(f"# exemplars of {panel['layer']} / {panel['unit']}\n" + "\n".join(lines))
        else:
            result = desk.engine.results.result_of(desk.engine.results.item(panel["key"], panel["item"]))
            table = _maps(result) if isinstance(result, ImageMap) else csv_of(result, panel["item"])
            blocks.append(f"# {panel['item']} of result {panel['key']}\n{table}".rstrip())
    return "\n\n".join(blocks) + "\n"


def _maps(result: ImageMap) -> str:
    """Maps as rows: target, row, column, value."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["target", "row", "column", "value"])
    for target, values in zip(result.targets, result.arrays["maps"], strict=True):
        name = safe_cell(target)
        writer.writerows([name, row, column, value] for row, line in enumerate(values.tolist()) for column, value in enumerate(line))
    return out.getvalue()


def _panel(desk: Desk, room: Any, figure: Mapping[str, Any], panel: Mapping[str, Any]) -> Any:
    if panel["kind"] == "exemplars":
        rows, maps, threshold = _exemplars(desk, figure, panel)
        title = f"Top exemplars of {_label(desk, figure, panel['layer'])} / {panel['unit']}"
        contexts = _contexts(desk, room, figure, rows, maps)
        if contexts:
            return room.Panel(title, contexts=contexts, threshold=threshold)
        images = _images(desk, figure["state"].get("probe"), figure["state"].get("model"))
        return room.Panel(title, exemplars=[example for example, _ in rows], maps=maps, threshold=threshold, images=images)
    row = desk.engine.results.item(panel["key"], panel["item"])
    head, result = desk.engine.results.head(panel["key"]), desk.engine.results.result_of(row)
    picture = _example(desk, str(head.subjects["example"]), head.subjects.get("model")) if "example" in head.subjects else None
    return room.Panel(result.title, result, picture=picture, images=_images(desk, head.subjects.get("probe"), head.subjects.get("model")))


def _exemplars(desk: Desk, figure: Mapping[str, Any], panel: Mapping[str, Any]) -> tuple[list[tuple[int, float]], Any, float | None]:
    """Example and activation of the top band, their native maps, and the threshold at the view's quantile."""
    frozen = desk.shares.get(figure["share"]).frozen
    key = next(layer["key"] for layer in frozen["atlas"]["layers"] if layer["name"] == panel["layer"])
    results = desk.engine.results.load(key)
    gallery = results.get("exemplars")
    if not isinstance(gallery, Gallery):
        raise NotFound(f"The exemplars of {panel['layer']} were not kept.", field="panels")
    unit = panel["unit"]
    example, activation = gallery.arrays["example"][unit], gallery.arrays["activation"][unit]
    slots = [slot for slot, band in enumerate(gallery.bands) if band == "top" and example[slot] >= 0][:TOP]
    maps = np.asarray(gallery.arrays["maps"][unit][slots]) if "maps" in gallery.arrays else None
    return [(int(example[slot]), float(activation[slot])) for slot in slots], maps, _threshold(results.get("activation"), unit, figure)


def _contexts(desk: Desk, room: Any, figure: Mapping[str, Any], rows: list[tuple[int, float]], maps: Any) -> list[Any]:
    """Of a unit that reads: tokens around the strongest of every exemplar. Empty for images, and where texts cannot be had any more."""
    slug, frozen = figure["state"].get("probe"), desk.shares.get(figure["share"]).frozen
    if slug is None or maps is None:
        return []
    found = []
    try:
        for (example, _), values in zip(rows, maps, strict=True):
            probe = checked(desk, slug, example)[1]
            if not isinstance(probe, TextSet):
                return []
            text = probe.text(example)
            tokens = tokenizer_of(desk, frozen["model_hash"]).encode(text)
            pieces = tokens.pieces(text)
            at = int(np.argmax(values[0, : len(pieces)]))
            part = slice(max(0, at - AROUND), at + AROUND + 1)
            found.append(room.Context(pieces[part], values[0, part].tolist()[: len(pieces[part])], at - part.start))
    except (MicrotomeError, OSError):
        return []
    return found


def _label(desk: Desk, figure: Mapping[str, Any], layer: str) -> str:
    """The short name of a layer."""
    layers = desk.shares.get(figure["share"]).frozen["atlas"]["layers"]
    return next((str(la["label"]) for la in layers if la["name"] == layer and la["label"]), layer)


def _threshold(activation: Any, unit: int, figure: Mapping[str, Any]) -> float | None:
    if not isinstance(activation, Distribution) or "thresholds" not in activation.arrays:
        return None
    quantile = ViewState.model_validate(figure["state"]).quantile
    place = int(np.abs(np.array(activation.grid) - quantile).argmin())
    return float(activation.arrays["thresholds"][unit, place])


def _images(desk: Desk, probe: str | None, model: str | None) -> Any:
    """Images of the probe set as the model sees them; None where they cannot be had any more."""

    def image(index: int) -> Any:
        if probe is None or index < 0:
            return None
        try:
            _, opened = checked(desk, probe, index)
            return _seen(desk, opened.image(index), model)
        except (MicrotomeError, OSError):
            return None

    return image


def _example(desk: Desk, text: str, model: str | None) -> Any:
    slug, _, place = text.rpartition(":")
    if slug != "upload":
        return _images(desk, slug, model)(int(place))
    try:
        return _seen(desk, decode_image(upload_path(desk, place), desk.settings.image_pixels), model)
    except (MicrotomeError, OSError):
        return None


def _seen(desk: Desk, image: Any, model: str | None) -> Any:
    try:
        geometry = geometry_of(desk, model)
    except NotFound:  # it was taken off the list
        geometry = None
    seen = geometry.view(image) if geometry is not None else image
    step = max(1, -(-max(seen.shape[:2]) // SIZE))
    return seen[::step, ::step]
