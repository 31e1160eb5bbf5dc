"""From a request to a plan: checked, complete, with the key of every result, before anything runs. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, select

from microtome.core.keys import content_key, result_key
from microtome.engine.manifest import ManifestReader
from microtome.engine.params import complete
from microtome.engine.reader import SourceReader
from microtome.engine.subjects import SubjectChecker, Subjects
from microtome.store import Store
from microtome.store import tables as t


@dataclass(frozen=True, slots=True)
class Named:
    """A method that a parameter of another one names.

    Attributes:
        place: of the name among the parameters (``method``, ``methods.1``).
        params: what is given of its own parameters.
    """

    place: str
    manifest: dict[str, Any]
    params: Mapping[str, Any]


@dataclass(slots=True)
class Plan:
    """Everything about a run that is known beforehand."""

    manifest: dict[str, Any]
    subjects: Subjects
    params: dict[str, Any]
    parts: list[tuple[str, str]]  # part, key
    group_key: str  # the same for all layers of one question
    builds_on: dict[str, dict[str, str]] = field(default_factory=dict)  # method -> part -> key
    requires: list[Plan] = field(default_factory=list)
    named: list[Named] = field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        return [key for _, key in self.parts]

    @property
    def request_key(self) -> str:
        return content_key({"keys": self.keys, "method": self.manifest["id"]})

    @property
    def examples(self) -> int:
        """Examples of the probe set that the run reads."""
        if self.subjects.probe is not None and self.manifest["cost"]["per_probe"]:
            total = int(self.subjects.probe.description["examples"])
            limits = [n for name in ("max_examples", "examples") if isinstance(n := self.params.get(name), int)]
            return min([total, *limits])
        return 1 if "example" in self.subjects.values else 0

    @property
    def pass_key(self) -> str | None:
        """Equal for runs that can share a pass of the model; None for what records nothing."""
        if not self.manifest["cost"]["capture"]:
            return None
        return pass_key(self.subjects.hashes["model"], self.subjects.hashes["probe"], self.examples)

    @property
    def built_keys(self) -> list[str]:
        return [key for parts in self.builds_on.values() for key in parts.values()]

    def document(self) -> dict[str, Any]:
        """What the worker needs, as JSON."""
        return {**self.subjects.plan, "builds_on": self.builds_on, "group_key": self.group_key, "hashes": self.subjects.hashes}


def pass_key(model_hash: str, probe_hash: str, examples: int) -> str:
    """Names a pass of a model over the first examples of a probe set."""
    return content_key({"model": model_hash, "probe": probe_hash, "examples": examples})


class Planner:
    """Makes plans."""

    def __init__(self, store: Store, manifests: ManifestReader, reader: SourceReader) -> None:
        self.store, self.manifests = store, manifests
        self.checker = SubjectChecker(store, reader)

    def plan(
        self, method: str, subjects: Mapping[str, Any], params: Mapping[str, Any], built: Mapping[str, dict[str, str]] | None = None
    ) -> Plan:
        """
        Args:
            built: the results to build on, key by part by method; the newest ones if left out.

        Raises:
            InvalidInput, NotFound: naming the field and the remedy.
        """
        manifest = self.manifests.get(method)
        checked = self.checker.check(manifest, subjects)
        filled = complete(manifest, params)
        named = self._named(manifest, filled)
        requires = [self._requirement(base, checked) for base in manifest["builds_on"]] if built is None else []
        builds_on = {r.manifest["id"]: dict(r.parts) for r in requires} if built is None else dict(built)
        common: dict[str, Any] = {
            "method": manifest["id"], "version": manifest["version"], "subjects": checked.hashes,
            # A question about other methods is asked anew when one of those changes.
            "params": filled | {f"version of {n.place}": n.manifest["version"] for n in named},
            "builds_on": [key for parts in builds_on.values() for key in parts.values()],
        }  # fmt: skip
        names = checked.layers if manifest["partition"] == "layers" else [""]
        parts = [(name, result_key(**common, part=name)) for name in names]
        return Plan(manifest, checked, filled, parts, content_key(common), builds_on, requires, named)

    def _named(self, manifest: Mapping[str, Any], params: Mapping[str, Any]) -> list[Named]:
        """The methods that parameters name; their own parameters are in ``method_params``, by id where there can be several.

        Raises:
            NotFound: there is no method of that name.
        """
        found, own = [], params.get("method_params", {})
        for name, schema in manifest["params"].get("properties", {}).items():
            if schema.get("format") == "method":
                found.append(Named(name, self.manifests.get(params[name], f"params.{name}"), own))
            elif schema.get("items", {}).get("format") == "method":
                for number, id in enumerate(params[name]):
                    place = f"{name}.{number}"
                    found.append(Named(place, self.manifests.get(id, f"params.{place}"), own.get(id, {})))
        return found

    def _requirement(self, base: str, checked: Subjects) -> Plan:
        """The run whose results are built on: the newest with these subjects, else one with default parameters."""
        manifest = self.manifests.get(base)
        roles = set(manifest["subject"]) | set(manifest["optional_subject"])
        subjects = {role: value for role, value in checked.values.items() if role in roles}
        params: Mapping[str, Any] = {}
        newest = newest_result(self.store, base, manifest["version"], checked.hashes.get("model"), checked.hashes.get("probe"))
        if newest is not None:
            params = newest.params
        return self.plan(base, subjects, params)


def newest_result(store: Store, method: str, version: str | None, model_hash: str | None, probe_hash: str | None) -> Row[Any] | None:
    """The newest stored result of a method for these subjects."""
    query = select(t.result).where(t.result.c.method == method, t.result.c.model_hash == model_hash, t.result.c.probe_hash == probe_hash)
    if version is not None:
        query = query.where(t.result.c.version == version)
    with store.read() as connection:
        return connection.execute(query.order_by(t.result.c.created.desc()).limit(1)).first()
