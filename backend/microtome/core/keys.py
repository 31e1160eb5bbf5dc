"""Content keys: the same question about the same things has the same key (DESIGN section 6)."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces. Refuses NaN and infinity, which have no one spelling.

    Integral floats are written as integers, so that ``1`` and ``1.0``, which mean the same parameter, agree.
    """

    def normal(item: Any) -> Any:
        if isinstance(item, bool) or item is None or isinstance(item, int | str):
            return item
        if isinstance(item, float):
            if not math.isfinite(item):
                raise ValueError(f"{item} has no canonical form")
            return int(item) if item == int(item) and abs(item) < 2**53 else item
        if isinstance(item, Mapping):
            return {str(k): normal(v) for k, v in item.items()}
        if isinstance(item, set | frozenset):
            return sorted((normal(v) for v in item), key=lambda v: json.dumps(v, sort_keys=True))
        if isinstance(item, Iterable):
            return [normal(v) for v in item]
        raise TypeError(f"{type(item).__name__} has no canonical form")

    return json.dumps(normal(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def content_key(value: Any) -> str:
    """sha256, in hexadecimal, of the canonical JSON of ``value``."""
    return sha256(canonical_json(value))


def file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def result_key(
    *,
    method: str,
    version: str,
    subjects: Mapping[str, str],
    params: Mapping[str, Any],
    builds_on: Iterable[str] = (),
    part: str = "",
) -> str:
    """Key of one result.

    Args:
        method, version: id and version of the method; a new version misses the cache.
        subjects: content hash of every subject, by role (``model``, ``probe``, ``example`` ...).
        params: complete canonical parameters, defaults included, seed and precision among them.
        builds_on: keys of the results this one was computed from.
        part: the part of a run that can be asked for alone (a layer of a dissection), or ``""``.
    """
    return content_key(
        {
            "method": method,
            "version": version,
            "subjects": dict(subjects),
            "params": dict(params),
            "builds_on": sorted(builds_on),
            "part": part,
        }
    )
