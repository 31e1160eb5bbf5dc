"""Checking what a method is put to, from stored rows, and hashing it (DESIGN section 6)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, select

from microtome.core.errors import InvalidInput, NotFound
from microtome.core.keys import content_key, sha256
from microtome.engine.imports import refuse_imported
from microtome.engine.reader import SourceReader
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.sources import SourceRepository

#: Characters of a prompt.
MAX_PROMPT = 20_000


@dataclass(slots=True)
class Subjects:
    """Checked subjects: canonical values by role, their hashes, and the rows behind them."""

    values: dict[str, Any] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    layers: list[str] = field(default_factory=list)
    model: Row[Any] | None = None
    probe: Row[Any] | None = None
    plan: dict[str, Any] = field(default_factory=dict)  # what the worker needs to fetch them
    changed: list[tuple[str, Row[Any]]] = field(default_factory=list)  # sources that must be read again first


class SubjectChecker:
    """Turns the subjects of a request into :class:`Subjects`, or says which one is wrong."""

    def __init__(self, store: Store, reader: SourceReader) -> None:
        self.store, self.reader, self.sources = store, reader, SourceRepository(store)

    def check(self, manifest: Mapping[str, Any], given: Mapping[str, Any]) -> Subjects:
        """
        Raises:
            InvalidInput, NotFound: with the subject's dotted name.
        """
        id, required = manifest["id"], manifest["subject"]
        allowed = set(required) | set(manifest["optional_subject"])
        for role in required:
            if role not in given and role not in ("layers", "results"):
                raise InvalidInput(f"{id} needs a {role}: give subjects.{role}.", field=f"subjects.{role}")
        for role in given:
            if role not in allowed and not (role == "layers" and manifest["partition"] == "layers"):
                raise InvalidInput(f"{id} takes no {role}. It is put to: {', '.join(sorted(allowed))}.", field=f"subjects.{role}")
        out = Subjects()
        out.model = self._source(out, "model", given["model"]) if "model" in given else None
        if "probe" in given:
            out.probe = self._source(out, "probe", given["probe"])
        rows = self.sources.layers(out.model.id) if out.model is not None else []
        if "layers" in allowed or manifest["partition"] == "layers":
            self._layers(out, rows, given.get("layers"), by_part=manifest["partition"] == "layers")
        if "units" in given:
            self._units(out, rows, given["units"])
        _check_modality(out, manifest)
        if "example" in given:
            self._example(out, given["example"])
        if "prompt" in given:
            self._prompt(out, given["prompt"])
        if "targets" in given:
            self._targets(out, rows, given["targets"])
        return out

    def _source(self, out: Subjects, type: Any, name: str) -> Row[Any]:
        row = self.sources.get(type, name, f"subjects.{type}")
        refuse_imported(row, type)
        hash = self.reader.hash_now(type, row.source, force=True) or row.hash
        if hash != row.hash:
            out.changed.append((type, row))
        out.values[type], out.hashes[type] = row.slug, hash
        out.plan[type] = {"source": row.source, "hash": hash}
        return row

    def _layers(self, out: Subjects, rows: list[Row[Any]], names: list[str] | None, *, by_part: bool) -> None:
        known = {r.name: r for r in rows} | {r.label: r for r in rows if r.label}
        if names is None:
            chosen = [r.name for r in rows if r.chosen] or [r.name for r in rows]
        else:
            for name in names:
                if name not in known:
                    raise _unknown_layer(name, rows, "subjects.layers")
            wanted = {known[n].name for n in names}
            chosen = [r.name for r in rows if r.name in wanted]  # order and repetition do not make another question
        out.layers = chosen
        out.values["layers"] = chosen
        if not by_part:
            out.hashes["layers"] = content_key(chosen)

    def _units(self, out: Subjects, rows: list[Row[Any]], units: Mapping[str, Any]) -> None:
        row = _layer(rows, units["layer"], "subjects.units.layer")
        indices = sorted(set(units["indices"]))
        _unit(row, indices[-1], "subjects.units.indices")
        out.values["units"] = {"layer": row.name, "indices": indices}
        out.hashes["units"] = content_key(out.values["units"])

    def _example(self, out: Subjects, text: str) -> None:
        out.values["example"], out.hashes["example"], out.plan["example"] = self._image(out, text, "subjects.example")

    @staticmethod
    def _prompt(out: Subjects, text: str) -> None:
        try:
            out.hashes["prompt"] = sha256(text.encode())
        except UnicodeEncodeError as error:
            raise InvalidInput(
                f"Character {error.start} of the prompt is half of a pair and stands for nothing.", field="subjects.prompt"
            ) from None
        if len(text) > MAX_PROMPT:
            raise InvalidInput(
                f"The prompt has {len(text):,} characters; at most {MAX_PROMPT:,} are taken. Add a long text as a probe set.",
                field="subjects.prompt",
            )
        out.values["prompt"] = text

    def _image(self, out: Subjects, text: str, field: str) -> tuple[str, str, dict[str, Any]]:
        """An image that is named: its canonical name, its hash, and what the worker needs to fetch it."""
        if match := re.fullmatch(r"upload:([0-9a-f]{64})", text):
            with self.store.read() as connection:
                found = connection.execute(select(t.upload).where(t.upload.c.sha256 == match[1])).first()
            if found is None:
                raise NotFound(f"There is no upload {match[1][:12]}…. Send the image to POST /api/v1/uploads first.", field=field)
            return text, match[1], {"upload": match[1]}
        slug, _, number = text.rpartition(":")
        if not slug or not re.fullmatch(r"\d{1,9}", number):
            raise InvalidInput(
                f"'{text[:100]}' is not an example. Write PROBE:INDEX, for example tinyplaces:7, or upload:SHA256.", field=field
            )
        row = self.sources.get("probe", slug, field)
        index = int(number)
        if index >= row.description["examples"]:
            raise InvalidInput(f"{row.slug} has {row.description['examples']} examples, numbered from 0; there is no {index}.", field=field)
        hash = self.reader.hash_now("probe", row.source, force=True) or row.hash
        if hash != row.hash:
            out.changed.append(("probe", row))
        plan = {"source": row.source, "hash": hash, "index": index}
        return f"{row.slug}:{index}", content_key({"probe": hash, "index": index}), plan

    def _targets(self, out: Subjects, rows: list[Row[Any]], targets: Sequence[Any]) -> None:
        checked = [self._target(out, rows, target, f"subjects.targets.{i}") for i, target in enumerate(targets)]
        out.values["targets"] = list({content_key(target): target for target in checked}.values())
        # Images that are compared with count by what they show, not by what they are called.
        images = out.plan.get("references", {})
        hashed = [{**x, "like": images[x["like"]]["key"]} if isinstance(x, dict) and "like" in x else x for x in out.values["targets"]]
        out.hashes["targets"] = content_key(hashed)

    def _target(self, out: Subjects, rows: list[Row[Any]], target: Any, field: str) -> Any:
        """One spelling for one target: layers by name, weights in order of their units."""
        names = out.model.description["class_names"] if out.model is not None else []
        if not isinstance(target, dict):
            return _class(out, names, target, "subjects.targets")
        if "minus" in target:
            one, other = (_class(out, names, index, f"{field}.minus") for index in target["minus"])
            if one == other:
                raise InvalidInput(f"Class {one} minus itself is always nothing; name two classes.", field=f"{field}.minus")
            return {"minus": [one, other]}
        if "like" in target:
            name, key, plan = self._image(out, target["like"], f"{field}.like")
            out.plan.setdefault("references", {})[name] = {"key": key, "image": plan}
            at = target.get("layer")
            return {"like": name} | ({} if at is None else {"layer": _layer(rows, at, f"{field}.layer").name})
        row = _layer(rows, target["layer"], f"{field}.layer")
        if "unit" in target:
            site = target.get("site")
            if site is not None and not (site[0] < row.height and site[1] < row.width):
                raise InvalidInput(
                    f"Layer {row.name} has {row.height} x {row.width} sites, numbered from 0; there is none at {list(site)}.",
                    field=f"{field}.site",
                )
            unit = _unit(row, target["unit"], f"{field}.unit")
            return {"layer": row.name, "unit": unit} | ({} if site is None else {"site": [int(i) for i in site]})
        weights = {_unit(row, int(i), f"{field}.weights"): float(w) for i, w in target["weights"].items()}
        if not any(weights.values()):
            raise InvalidInput("A direction needs at least one weight that is not zero.", field=f"{field}.weights")
        return {"layer": row.name, "weights": {str(i): w for i, w in sorted(weights.items()) if w}}


def _check_modality(out: Subjects, manifest: Mapping[str, Any]) -> None:
    """Images go to models that see, texts to models that read, and both to methods that are for them.

    Raises:
        InvalidInput: naming the subject that does not fit.
    """
    held = {"image": "images", "text": "texts"}
    kinds = {
        role: row.description.get("modality", "image") for role, row in (("model", out.model), ("probe", out.probe)) if row is not None
    }
    for role, kind in kinds.items():
        if kind not in manifest["modalities"]:
            takes = " and ".join(held[m] for m in manifest["modalities"])
            raise InvalidInput(
                f"{manifest['id']} is for {takes}; {out.values[role]} is for {held[kind]}. `microtome methods` says what each is for.",
                field=f"subjects.{role}",
            )
    if len(set(kinds.values())) > 1:
        raise InvalidInput(
            f"{out.values['model']} takes {held[kinds['model']]}, {out.values['probe']} holds {held[kinds['probe']]}. Choose a probe set "
            f"of {held[kinds['model']]}.",
            field="subjects.probe",
        )


def _class(out: Subjects, names: Sequence[str], index: int, field: str) -> int:
    if index >= len(names):
        raise InvalidInput(f"{out.values.get('model')} has {len(names)} classes, numbered from 0; there is no class {index}.", field=field)
    return int(index)


def _unit(row: Row[Any], unit: int, field: str) -> int:
    if unit >= row.units:
        raise InvalidInput(f"Layer {row.name} has {row.units} units, numbered 0 to {row.units - 1}; there is no unit {unit}.", field=field)
    return int(unit)


def _layer(rows: list[Row[Any]], name: str, field: str) -> Row[Any]:
    """The layer of this name or label."""
    row = next((r for r in rows if name in (r.name, r.label)), None)
    if row is None:
        raise _unknown_layer(name, rows, field)
    return row


def _unknown_layer(name: str, rows: list[Row[Any]], field: str) -> NotFound:
    have = ", ".join(r.name for r in rows[:40]) + (" …" if len(rows) > 40 else "")
    return NotFound(f"There is no layer '{name[:100]}'. Layers: {have}.", field=field)
