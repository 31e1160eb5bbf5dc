"""Texts on their way to a model: labels of tokens, lengths, and what recorders make of rows that differ in length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microtome.capture.arithmetic.compiled import Compiled
from microtome.capture.arithmetic.tensors import Tensors
from microtome.capture.labels import IGNORED, blank, encode
from microtome.capture.reading import TextReading, reading_of, text_width, token_labels
from microtome.capture.taken import captured
from microtome.core.context import SilentContext
from microtome.core.errors import InvalidInput
from microtome.models.tokens import TextTokenizer
from microtome.probes.packed import packed
from microtome.probes.pycode import concepts
from microtome.probes.pycode.corpus import read_modules
from tests import micro

WINDOW = 1 << 20


def slow_labels(masks: np.ndarray, text: str, spans: list[tuple[int, int]]) -> list[set[int]]:
    """Concepts of every token, one character after the other."""
    out = []
    for start, stop in spans:
        places = range(start, stop)
        written = [i for i in places if not text[i].isspace()]
        out.append({c for c in range(len(masks)) for i in (written or places) if masks[c, i]})
    return out


def sets_of(labels: np.ndarray) -> list[set[int]]:
    return [{int(v) - 1 for v in column if v} for column in labels.T]


@pytest.mark.parametrize("kind", ["byte-level", "wordpiece", "sentencepiece", "characters"])
@settings(max_examples=60, deadline=None)
@given(module=st.sampled_from(read_modules("val")[0]), start=st.integers(0, 20_000), length=st.integers(1, 300))
def test_labels_of_tokens_are_those_of_their_characters(kind: str, module, start: int, length: int) -> None:
    """Any stretch of any module of pycode, in any tokenizer, against the plain definition; exact."""
    start %= len(module.text)
    text = module.text[start : start + length]
    masks = concepts.masks(module.text)[:, start : start + length]
    tokens = TextTokenizer(micro.tokenizer(kind).to_str(), WINDOW).encode(text)
    own = slice(tokens.first, tokens.last)
    found = token_labels(packed(masks), text, tokens, len(masks))
    expected = slow_labels(masks, text, list(zip(tokens.starts[own].tolist(), tokens.stops[own].tolist(), strict=True)))
    assert sets_of(found) == expected


@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_packing_keeps_every_concept_of_every_place(seed: int, concepts: int, places: int) -> None:
    masks = np.random.default_rng(seed).random((concepts, places)) < 0.3
    assert sets_of(packed(masks)) == [set(np.flatnonzero(column).tolist()) for column in masks.T]


def ragged(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maps of texts that differ in length, one of them empty; labels of their tokens."""
    rng = np.random.default_rng(seed)
    lengths = np.array([7, 0, 12, 3, 12], np.int32)
    maps = rng.normal(size=(5, 6, 1, 12)).astype(np.float32)
    maps[:, 2] = np.round(maps[:, 2])  # many ties
    labels = rng.integers(0, 4, (5, 2, 1, 12)).astype(np.uint16)
    for row, length in enumerate(lengths):
        maps[row, :, :, length:] = 0.0
        labels[row, :, :, length:] = IGNORED
    return maps, lengths, labels


@pytest.mark.parametrize("do", [Compiled(), Tensors()], ids=["compiled", "tensors"])
def test_what_lies_behind_a_text_counts_nowhere(do) -> None:
    maps, lengths, labels = ragged(3)
    units = maps.shape[1]
    values = [np.concatenate([maps[i, u, 0, : lengths[i]] for i in range(5)]) for u in range(units)]
    peaks, sites = np.empty((units, 5), np.float32), np.empty((units, 5), np.int32)
    tops = np.zeros((units, 1 << 12), np.int64)
    mean, squares, low, high = do.look(maps, peaks, sites, tops, lengths)
    assert (tops.sum(1) == lengths.sum()).all()
    for u in range(units):
        for i in np.flatnonzero(lengths):
            own = maps[i, u, 0, : lengths[i]]
            np.testing.assert_allclose(mean[i, u], own.mean(dtype=np.float64), atol=1e-6)
            np.testing.assert_allclose(squares[i, u], ((own - own.mean(dtype=np.float64)) ** 2).sum(), atol=1e-5)
            assert (peaks[u, i], low[i, u], high[i, u]) == (own.max(), own.min(), own.max())
            assert sites[u, i] == own.argmax()
    counts = np.zeros((units, 10), np.int64)
    smallest = np.array([v.min() for v in values], np.float32)
    spread = np.array([v.max() for v in values], np.float32) - smallest
    do.histogram(maps, smallest, np.float32(10) / spread, counts, lengths)
    assert (counts.sum(1) == lengths.sum()).all()
    least, where = np.empty((units, 5), np.float32), np.empty((units, 5), np.int32)
    do.troughs(maps, least, where, lengths)
    for u in range(units):
        for i in np.flatnonzero(lengths):
            assert least[u, i] == maps[i, u, 0, : lengths[i]].min()
            assert where[u, i] == maps[i, u, 0, : lengths[i]].argmin()
    codes = encode(labels)
    cuts = np.sort(np.stack([np.quantile(v, [0.1, 0.5, 0.9]).astype(np.float32) for v in values]), axis=1)
    above, shared = np.zeros((units, 3), np.int64), np.zeros((units, 3, 3), np.int64)
    do.ranked(maps, cuts, codes, above, shared)
    for u in range(units):
        flat = np.concatenate([maps[i, u, 0, : lengths[i]] for i in range(5)])
        marks = np.concatenate([labels[i, :, 0, : lengths[i]] for i in range(5)], axis=1)
        place = np.searchsorted(cuts[u], flat, side="left") - 1  # the last cut strictly below
        assert above[u].tolist() == [int((place == g).sum()) for g in range(3)]
        for c in range(3):
            # a label that stands twice at a place counts twice: labels that are packed never do
            expected = [sum(int(((place == g) & (layer == c + 1)).sum()) for layer in marks) for g in range(3)]
            if not (marks == c + 1).all(0).any():
                assert shared[u, c].tolist() == expected


def test_blank_labels_end_where_texts_end() -> None:
    codes = blank(3, (1, 5), np.array([2, 0, 5], np.int32))
    assert codes.positions == 7
    assert (codes.codes[0, 0] > 0).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("family", micro.TEXT_FAMILIES)
def test_recorded_texts_equal_single_forward_passes(family: str) -> None:
    import torch

    model, probe = micro.load_text(family), micro.texts()
    layers = [x for x in model.layers.values() if x.kind in ("neurons", "heads", "residual")]
    with captured(model, probe, layers, len(probe), SilentContext()) as taken:
        lengths = None
        for view in taken.views():
            peaks, sites = view.peaks()
            lengths = taken.lengths()
            for index in (0, 4, 7):
                inputs = model.inputs([probe.text(index)])
                with torch.inference_mode(), model.record([view.layer]) as found:
                    model.forward(inputs)
                own = view.layer.canonical(found[view.layer.name])[0, :, 0, : lengths[index]]
                np.testing.assert_allclose(peaks[:, index], own.max(1).values.numpy(), atol=1e-5)
                assert (own.numpy()[np.arange(len(peaks)), sites[:, index]] >= own.max(1).values.numpy() - 1e-5).all()
    assert lengths is not None
    for index in range(len(probe)):
        tokens = model.tokenizer.encode(probe.text(index))
        assert lengths[index] == tokens.last - tokens.first


def test_images_and_texts_do_not_mix() -> None:
    with pytest.raises(InvalidInput), captured(micro.load_text("gpt2"), micro.probe(), [], 2, SilentContext()):
        pass
    with pytest.raises(InvalidInput), captured(micro.load("resnet"), micro.texts(), [], 2, SilentContext()):
        pass


def test_room_is_taken_for_the_longest_text_only() -> None:
    model, probe = micro.load_text("gpt2"), micro.texts()
    width = text_width(model, probe, len(probe))
    longest = max(t.last - t.first for t in (model.tokenizer.encode(probe.text(i)) for i in range(len(probe))))
    assert width == longest < model.tokenizer.window
    assert isinstance(reading_of(model, probe, width), TextReading)
