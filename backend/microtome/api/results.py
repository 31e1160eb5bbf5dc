"""Result sets, blobs, figures and exports."""

from __future__ import annotations

import csv
import importlib
import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from fastapi import Response
from fastapi.responses import StreamingResponse

from microtome.api.deps import immutable
from microtome.api.desk import Desk
from microtome.core.errors import InvalidInput, NotFound, TooLarge
from microtome.results import Result, UnitTable
from microtome.results.rows import rows_of

EXPORT_VALUES = 20_000_000
PART = 1_000_000  # bytes of an array read at once
FIGURE_BYTES = 2_000_000  # what a browser is given to draw


def result_set(desk: Desk, key: str) -> dict[str, Any]:
    """All results under a key."""
    head = desk.engine.results.head(key)
    provenance = {name: head.provenance.get(name) for name in ("model_hash", "probe_hash", "software", "device", "seed", "imported")}
    items = [{"name": row.name, "kind": row.kind, "document": row.document, "arrays": row.arrays} for row in desk.engine.results.items(key)]
    return {
        "key": key, "method": head.method, "version": head.version, "part": head.part, "subjects": head.subjects,
        "params": head.params, "created": head.created, "seconds": head.seconds, "provenance": provenance, "results": items,
    }  # fmt: skip


def blob_response(desk: Desk, sha256: str, row: int | None, range_header: str | None) -> Response:
    """An array, one slice of its first axis, or a range of its bytes."""
    array = desk.store.blobs.array(sha256)
    if row is not None:
        if array.ndim < 2 or row >= len(array):
            raise NotFound(f"The array has the shape {list(array.shape)}; there is no slice {row} of its first axis.", field="row")
        array = array[row]
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8) if array.size else np.zeros(0, np.uint8)
    shape = ",".join(map(str, array.shape))
    etag = sha256 if row is None else f"{sha256}-{row}"
    headers = {"X-Dtype": array.dtype.name, "X-Shape": shape, "Accept-Ranges": "bytes", **immutable(etag)}
    if range_header and (match := re.fullmatch(r"bytes=(\d{1,15})-(\d{0,15})", range_header, re.ASCII)):
        first = int(match[1])
        last = min(int(match[2]) if match[2] else flat.size - 1, flat.size - 1)
        if first <= last:
            headers["Content-Range"] = f"bytes {first}-{last}/{flat.size}"
            return Response(flat[first : last + 1].tobytes(), 206, headers, "application/octet-stream")
    headers["Content-Length"] = str(flat.size)
    return StreamingResponse(_parts(flat), 200, headers, "application/octet-stream")


def _parts(flat: npt.NDArray[np.uint8]) -> Iterator[bytes]:
    """A large array is sent as it is read, never held whole."""
    for start in range(0, flat.size, PART):
        yield flat[start : start + PART].tobytes()


def table_rows(desk: Desk, key: str, name: str, offset: int, limit: int, sort: str | None, descending: bool) -> dict[str, Any]:
    """A page of the rows of a unit table.

    Raises:
        NotFound: no such result. InvalidInput: it is no unit table, or has no such column.
    """
    row = desk.engine.results.item(key, name)
    if row.kind != "unit-table":
        raise InvalidInput(f"'{name}' is a {row.kind}, which has no rows to page through.", field="name")
    result = desk.engine.results.result_of(row)
    assert isinstance(result, UnitTable)
    if sort is not None and sort not in {c.name for c in result.columns}:
        have = ", ".join(c.name for c in result.columns)
        raise InvalidInput(f"'{name}' has no column '{sort[:60]}'. Columns: {have}.", field="sort")
    order = np.arange(len(result.units), dtype=np.int32)
    if sort is not None:
        order = desk.browse.remember(("table-order", key, name, sort, descending), lambda: _table_order(result, sort, descending), cap=8)
    some = order[offset : offset + limit]
    return {"total": len(order), "units": result.units[some].tolist(), "rows": _cells(result, some)}


def _table_order(table: UnitTable, sort: str, descending: bool) -> npt.NDArray[np.int32]:
    """Rows by a column; what has no value comes last, whichever way. Codes of texts are in the order of the texts."""
    head, values = table.stored(sort)
    missing = values < 0 if head.type == "text" else np.isnan(values) if head.type == "number" else np.zeros(len(values), bool)
    keyed = values.astype(np.float64) * (-1 if descending else 1)
    return np.argsort(np.where(missing, np.inf, keyed), kind="stable").astype(np.int32)


def _cells(table: UnitTable, some: Any) -> list[list[Any]]:
    """Values of some rows, one list per row, None where there is none."""
    columns = []
    for head in table.columns:
        values = table.column(head.name)[some].tolist()
        columns.append([None if v != v else v for v in values] if head.type == "number" else values)
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in range(len(table.units[some]))]


def _figures() -> Any:
    """The room that builds plotly figures; imported when first needed, since plotly is large."""
    try:
        return importlib.import_module("microtome.results.figures")
    except ModuleNotFoundError:
        return None


def figure_of(desk: Desk, key: str, name: str) -> bytes:
    """The plotly figure as JSON.

    Raises:
        NotFound: this kind is no chart.
    """
    row = desk.engine.results.item(key, name)
    module = _figures()
    figure = module.figure(desk.engine.results.result_of(row)) if module is not None else None
    if figure is None:
        raise NotFound(f"'{name}' is a {row.kind}, which is not drawn as a chart. Use its arrays, or export it.", field="name")
    data = orjson.dumps(figure, option=orjson.OPT_SERIALIZE_NUMPY, default=_plain)
    if len(data) > FIGURE_BYTES:
        raise NotFound(f"'{name}' is too large for a chart ({len(data)} bytes of JSON). Use its arrays, or export it.", field="name")
    return data


def _plain(value: Any) -> Any:
    if hasattr(value, "to_plotly_json"):
        return value.to_plotly_json()
    raise TypeError(type(value).__name__)


def export_file(desk: Desk, key: str, name: str, format: str) -> tuple[bytes, str, str]:
    """Bytes, media type and file name."""
    row = desk.engine.results.item(key, name)
    result = desk.engine.results.result_of(row)
    stem = f"{desk.engine.results.head(key).method}-{re.sub(r'[^A-Za-z0-9_-]', '', name)}-{key[:8]}"
    if sum(a.size for a in result.arrays.values()) > EXPORT_VALUES and format != "npz":
        raise TooLarge(f"'{name}' has too many values for {format}. Export it as npz.", field="format")
    if format == "npz":
        out = io.BytesIO()
        np.savez_compressed(out, document=np.array(result.model_dump_json()), **result.arrays)  # type: ignore[arg-type]
        return out.getvalue(), "application/octet-stream", f"{stem}.npz"
    if format == "json":
        document = result.model_dump(mode="json") | {"arrays": {n: np.asarray(a) for n, a in result.arrays.items()}}
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY), "application/json", f"{stem}.json"
    if format == "csv":
        return csv_of(result, name).encode(), "text/csv; charset=utf-8", f"{stem}.csv"
    module = _figures()
    page = module.html(result) if module is not None and hasattr(module, "html") else None
    if page is None:
        raise InvalidInput(f"'{name}' is a {row.kind}, which has no page of its own. Export it as csv, json or npz.", field="format")
    return page.encode(), "text/html; charset=utf-8", f"{stem}.html"


def safe_cell(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets a quote in front."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def csv_of(result: Result, name: str) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    if isinstance(result, UnitTable):
        writer.writerow(["unit", *(c.name for c in result.columns)])
        for unit, cells in zip(result.units.tolist(), _cells(result, slice(None)), strict=True):
            writer.writerow([unit, *map(safe_cell, cells)])
        return out.getvalue()
    if (long := rows_of(result)) is not None:
        writer.writerow([safe_cell(v) for v in long[0]])
        for row in long[1]:
            writer.writerow([safe_cell(v) for v in row])
        return out.getvalue()
    document = result.model_dump(mode="json")
    if document["kind"] == "scorecard":
        writer.writerow(list(document["scores"][0]) if document["scores"] else ["name"])
        for score in document["scores"]:
            writer.writerow([safe_cell(v) for v in score.values()])
        return out.getvalue()
    two = {n: a for n, a in result.arrays.items() if a.ndim <= 2}
    if not two:
        raise InvalidInput(f"'{name}' has arrays of more than two axes, which CSV cannot hold. Export it as npz.", field="format")
    main = two.get("values", two.get("points", two.get("y", next(iter(two.values())))))
    columns = document.get("columns") or [str(i) for i in range(main.shape[1] if main.ndim == 2 else 1)]
    rows = document.get("rows") or document.get("series") or [str(i) for i in range(len(main))]
    writer.writerow(["", *map(safe_cell, columns)])
    for label, values in zip(rows, np.atleast_2d(main) if main.ndim == 2 else main[:, None], strict=False):
        writer.writerow([safe_cell(label), *(v.item() for v in values)])
    return out.getvalue()
