"""Runs that read a source and store what it is: adding a model or a probe set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from sqlalchemy import Row

from microtome.core.errors import TooLarge
from microtome.core.settings import Settings
from microtome.engine.residency import Residency
from microtome.models.tokens import keep_tokenizer
from microtome.store.sources import SourceRepository

REPORTS = 500


def add_model(run: Row[Any], models: Residency, sources: SourceRepository, settings: Settings) -> str:
    """Load, hash and describe a model; returns its slug."""
    source = run.subjects["source"]
    with models.borrow(source, "") as model:  # no hash fits, so it is loaded anew
        description = dict(model.describe())
        hash = model.hash
        if description.get("modality") == "text":
            keep_tokenizer(settings.data_dir / "tokenizers", hash, model.tokenizer)
    if description["units"] > settings.max_units:
        raise TooLarge(
            f"{source} has {description['units']:,} units; at most {settings.max_units:,} are allowed (MICROTOME_MAX_UNITS).",
            field="source",
        )
    return sources.save("model", source, hash, description, run.params.get("name"))


def add_probe(run: Row[Any], probe: Any, sources: SourceRepository, settings: Settings, progress: Callable[[int, int, str], None]) -> str:
    """Store what a probe set is; returns its slug."""
    return list_probe(run.subjects["source"], run.params.get("name"), probe, sources, settings, progress)


def list_probe(
    source: str, name: str | None, probe: Any, sources: SourceRepository, settings: Settings, progress: Callable[[int, int, str], None]
) -> str:
    """Store what an opened probe set is; returns its slug."""
    if len(probe) > settings.max_examples:
        raise TooLarge(
            f"{source} has {len(probe):,} examples; at most {settings.max_examples:,} are allowed (MICROTOME_MAX_EXAMPLES).",
            field="source",
        )
    reports = [_report(r) for r in probe.reports]
    description = {
        "modality": probe.modality,
        "kind": probe.kind,
        "examples": len(probe),
        "classes": list(probe.classes),
        "size": list(probe.size) if probe.size else None,
        "categories": dict(Counter(c.category for c in probe.concepts)),
        "concept_counts": concept_counts(probe, progress),
        "concepts": [{"name": c.name, "category": c.category} for c in probe.concepts],
        "bytes": probe.bytes,
        "skipped": len(reports),
        "reports": reports[:REPORTS],
    }
    return sources.save("probe", source, probe.hash, description, name)


def concept_counts(probe: Any, progress: Callable[[int, int, str], None]) -> list[list[int]]:
    """Examples of every concept and its places in them (pixels, characters), in order; ignored pixels do not count."""
    counts = np.zeros((len(probe.concepts), 2), np.int64)
    for index in range(len(probe) if len(probe.concepts) else 0):
        labels = probe.labels(index)
        if labels is None:
            continue
        ignore = probe.ignore(index) if probe.modality == "image" else None
        kept = labels if ignore is None else labels[:, ~ignore]
        pixels = np.bincount(kept.reshape(-1), minlength=len(counts) + 1)[1 : len(counts) + 1]
        counts += np.stack([pixels > 0, pixels], axis=1)
        if index % 64 == 0:
            progress(index, len(probe), "examples counted")
    return counts.tolist()  # type: ignore[no-any-return]


def _report(report: Any) -> dict[str, str]:
    file, reason = (report.file, report.reason) if hasattr(report, "file") else report
    return {"file": str(file), "reason": str(reason)}
