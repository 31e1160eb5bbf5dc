"""Texts of probe sets in a model's tokens, and how units respond to them. No model is run; nothing here imports torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtome.api.browse.atlas import AtlasState, facts
from microtome.api.browse.columns import Columns, LayerColumns
from microtome.api.browse.detail import threshold_at
from microtome.api.desk import Desk
from microtome.api.examples import checked
from microtome.core.errors import InvalidInput, NotFound
from microtome.models.tokens import TextTokenizer, Tokens, kept_tokenizer
from microtome.probes import ProbeSet, TextSet

#: Texts whose tokens are remembered.
_TEXTS = 4000


def tokenizer_of(desk: Desk, model_hash: str) -> TextTokenizer:
    """The tokenizer of a version of a model.

    Raises:
        Unavailable: it is not kept here.
    """
    return desk.browse.remember(("tokenizer", model_hash), lambda: kept_tokenizer(desk.store.data_dir / "tokenizers", model_hash), cap=8)


def text_set(probe: ProbeSet) -> TextSet:
    """The probe set, if it holds texts.

    Raises:
        InvalidInput: it holds images, which have no tokens.
    """
    if not isinstance(probe, TextSet):
        raise InvalidInput(f"{probe.source} holds images, which have no tokens. Ask for their pictures.", field="probe")
    return probe


def tokens_of(desk: Desk, model_hash: str, probe: TextSet, index: int) -> tuple[str, Tokens]:
    """An example and its tokens in a version of a model."""

    def encode() -> tuple[str, Tokens]:
        text = probe.text(index)
        return text, tokenizer_of(desk, model_hash).encode(text)

    return desk.browse.remember(("tokens", model_hash, probe.hash, index), encode, cap=_TEXTS)


def example_tokens(desk: Desk, slug: str, index: int, model: str) -> dict[str, Any]:
    """The document of ``GET /probes/{probe}/examples/{index}/tokens``: the text's own tokens with their characters."""
    probe = text_set(checked(desk, slug, index)[1])
    row = desk.engine.sources.get("model", model, "model")
    text, tokens = tokens_of(desk, row.hash, probe, index)
    return {"index": index, "name": probe.name(index), **token_list(text, tokens)}


def prompt_tokens(desk: Desk, model: str, text: str) -> dict[str, Any]:
    """A prompt in tokens, as the editor shows it while one types."""
    row = desk.engine.sources.get("model", model, "model")
    if row.description.get("modality") != "text":
        raise InvalidInput(f"{model} takes images, not texts.", field="model")
    return token_list(text, tokenizer_of(desk, row.hash).encode(text))


def token_list(text: str, tokens: Tokens) -> dict[str, Any]:
    """The tokens of a text itself, with the characters each was made from, and how many had no room."""
    own = slice(tokens.first, tokens.last)
    spans = zip(tokens.ids[own].tolist(), tokens.pieces(text), tokens.starts[own].tolist(), tokens.stops[own].tolist(), strict=True)
    items = [{"id": id, "text": piece, "start": start, "stop": stop} for id, piece, start, stop in spans]
    return {"text": text, "tokens": items, "before": tokens.first, "left_out": tokens.left_out}


def snippets(desk: Desk, found: AtlasState, layer_name: str, unit: int, *, count: int, band: str | None, context: int) -> dict[str, Any]:
    """Exemplars of a unit as tokens around the place where it is strongest, with its activation at each; ``count`` of each band.

    Raises:
        NotFound: no such band, or no exemplars. InvalidInput: the probe set holds images.
    """
    columns = desk.browse.columns(found.keys)
    columns.row(layer_name, unit)
    layer = columns.by_name[layer_name]
    document = layer.documents.get("exemplars")
    if document is None or not columns.has(layer, "exemplars", "maps"):
        raise NotFound(f"Exemplars of {layer_name} were not imported, so there is nothing to show.", field="layer")
    bands = list(dict.fromkeys(document["bands"]))
    if band is not None and band not in bands:
        raise NotFound(f"There is no band '{band}'. Bands: {', '.join(bands)}.", field="band")
    probe = text_set(desk.engine.reader.probe(found.probe_source))
    about = desk.browse.remember(("facts", found.keys), lambda: facts(desk, found))
    threshold, _, _ = threshold_at(columns, layer, unit, about["quantile"])
    example = np.asarray(columns.array(layer, "exemplars", "example")[unit])
    items = []
    for name in [band] if band is not None else bands:
        slots = [s for s, of in enumerate(document["bands"]) if of == name and example[s] >= 0][:count]
        items += [_snippet(desk, found, columns, layer, probe, unit, slot, context) | {"band": name} for slot in slots]
    return {"threshold": threshold, "most": _most(columns, layer, unit), "items": items}


def _most(columns: Columns, layer: LayerColumns, unit: int) -> float:
    """The largest size of the unit's activation, for the scale of colours."""
    maps = np.asarray(columns.array(layer, "exemplars", "maps")[unit])
    return float(np.abs(maps).max(initial=0.0))


def _snippet(
    desk: Desk, found: AtlasState, columns: Columns, layer: LayerColumns, probe: TextSet, unit: int, slot: int, context: int
) -> dict[str, Any]:
    index = int(columns.array(layer, "exemplars", "example")[unit, slot])
    site = int(columns.array(layer, "exemplars", "site")[unit, slot, 1])
    values = np.asarray(columns.array(layer, "exemplars", "maps")[unit, slot, 0], np.float64)
    text, tokens = tokens_of(desk, found.model_hash, probe, index)
    first, stop = max(0, site - context), min(tokens.last - tokens.first, site + context + 1)
    return {
        "example": index, "name": probe.name(index), "slot": slot,
        "activation": float(columns.array(layer, "exemplars", "activation")[unit, slot]),
        "at": site - first, "first": first, "tokens": tokens.pieces(text)[first:stop],
        "values": values[first:stop].tolist(), "cut_before": first > 0, "cut_after": stop < tokens.last - tokens.first,
    }  # fmt: skip
