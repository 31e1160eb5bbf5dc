"""One claimed run on its way through a worker: what it is put to, what it publishes, how it ends."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import Row
from sqlalchemy.exc import SQLAlchemyError

from microtome.core.errors import NotFound
from microtome.engine.context import WorkContext
from microtome.engine.outcome import columns
from microtome.results.compare import compared
from microtome.store.results import ResultHead
from microtome.store.times import now

if TYPE_CHECKING:
    from microtome.engine.execute import Worker

log = structlog.get_logger("microtome.engine")
SOFTWARE = ("microtome", "torch", "transformers", "numpy", "pillow", "numba", "pacmap", "ray")


def software() -> dict[str, str]:
    """Versions that a number may depend on."""
    found = {"python": platform.python_version()}
    for name in SOFTWARE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


class Job:
    """A run this worker has claimed.

    Args:
        between: does other people's short work at safe points; None where there is none to do.
    """

    def __init__(self, worker: Worker, row: Row[Any], between: Callable[[], float] | None) -> None:
        self.worker, self.row = worker, row
        self.passes = 0
        self.check: Mapping[str, Any] | None = row.plan.get("check")  # a stored result that is computed again, see engine/check.py
        spec = None if row.system else worker.workshop.methods().get(row.method)
        short = row.priority > 0 and spec is not None and spec.interactive
        self.context = WorkContext(
            row.id, worker.runs, worker.events, self.publish, between, worker.settings.run_seconds,
            worker.captures if self.check is None else None, gives_way=not short,
        )  # fmt: skip
        self._published: set[str] = set()
        worker.active.append(row.id)
        self.tell()

    def tell(self) -> None:
        """Have browsers look at the run again; a database that is busy must not end it for that."""
        try:
            self.worker.events.add("run", {"id": self.row.id})
        except SQLAlchemyError as error:
            log.warning("event", run=self.row.id, error=str(error)[:200])

    @cached_property
    def spec(self) -> Any:
        methods = self.worker.workshop.methods()
        method = self.row.method if self.check is None else self.check["method"]
        if method not in methods:
            raise NotFound(f"The worker has no method '{method}'. Install the package that brings it and start again.", field="method")
        return methods[method]

    @cached_property
    def parts(self) -> dict[str, str]:
        """Key by part."""
        return {part: key for part, key, _ in self.worker.runs.parts([self.row.id])[self.row.id]}

    @cached_property
    def missing(self) -> list[str]:
        """Parts that are not stored; fewer than asked for when somebody else's run stored some meanwhile."""
        stored = self.worker.results.stored(self.parts.values())
        return [part for part, key in self.parts.items() if key not in stored]

    def subjects(self, model: Any) -> dict[str, Any]:
        """What the method is put to, by role; the model is borrowed by the caller."""
        spec, plan, values = self.spec, self.row.plan, self.row.subjects
        out: dict[str, Any] = {} if model is None else {"model": model}
        if "probe" in plan:
            out["probe"] = self.worker.probes.open(plan["probe"])
        if "example" in plan:
            out["example"] = self.worker.probes.example(plan["example"])
        if "prompt" in values:
            out["prompt"] = values["prompt"]
        if "layers" in {*spec.subjects, *spec.optional_subjects}:
            out["layers"] = self.missing if spec.partition == "layers" else values["layers"]
        if "units" in values:
            out["units"] = values["units"]
        if "targets" in values:
            images = {name: self.worker.probes.example(r["image"]) for name, r in plan.get("references", {}).items()}
            out["targets"] = [{**x, "example": images[x["like"]]} if isinstance(x, dict) and "like" in x else x for x in values["targets"]]
        if spec.builds_on:
            load = self.worker.results.load
            out["results"] = {method: {part: load(key) for part, key in keys.items()} for method, keys in plan["builds_on"].items()}
        for role in spec.optional_subjects:
            out.setdefault(role, None)
        return out

    def publish(self, part: str, results: Mapping[str, Any]) -> None:
        """Store the complete results of one part."""
        if part not in self.parts:
            raise ValueError(f"published a part '{part}' that was not asked for")
        share = self.context.seconds / max(1, len(self.missing) if part else 1)
        if self.check is not None:
            results = compared(self.worker.results.load(self.check["of"][part]), results, self.check["references"][part])
        self.worker.results.put(self._head(part, share), results)
        self._published.add(part)
        self.tell()

    def complete(self, results: Mapping[str, Any]) -> None:
        """Store what the method returned; what it published part by part must be complete by now."""
        if self.spec.partition == "":
            self.context.check()
            self.publish("", results)
        lacking = [part for part in self.missing if part not in self._published]
        if lacking:
            raise RuntimeError(f"the method published nothing for {', '.join(lacking[:5])}")

    def end(self, error: BaseException | None) -> None:
        """Say how it ended."""
        self.worker.active.remove(self.row.id)
        seconds = self.context.seconds
        ending = columns(error, self.row.method, self.worker.store.data_dir)
        ending |= {"ended": now(), "seconds": seconds, "forward_passes": self.passes, "owner": None, "lease": None, "progress": None}
        self.worker.close(self.row.id, ending)
        log.info("run ended", run=self.row.id, method=self.row.method, state=ending["state"], seconds=round(seconds, 2))

    def _head(self, part: str, seconds: float) -> ResultHead:
        row, hashes = self.row, self.row.plan["hashes"]
        seed = row.params.get("seed")
        provenance = {
            "model_hash": hashes.get("model"), "probe_hash": hashes.get("probe"), "software": software(),
            "device": self._device(), "seed": seed if isinstance(seed, int) else None,
        }  # fmt: skip
        version, group, about = self.spec.version, row.plan["group_key"], (hashes.get("model"), hashes.get("probe"))
        if self.check is not None:  # nobody who looks for results of this model or question may find a comparison
            version, group, about = "1", self.parts[part], (None, None)
        return ResultHead(
            key=self.parts[part], method=row.method, version=version, part=part, subjects=row.subjects, params=row.params,
            group_key=group, model_hash=about[0], probe_hash=about[1],
            builds_on=[k for keys in row.plan["builds_on"].values() for k in keys.values()], provenance=provenance,
            seconds=seconds, run_id=row.id,
        )  # fmt: skip

    def _device(self) -> str:
        """What computed the numbers: this worker's device, or the stations of a cluster for what is recorded in passes."""
        shop = self.worker.workshop
        cluster = getattr(shop, "cluster", None)
        return (cluster.device if cluster is not None and self.spec.cost.capture else None) or str(shop.device)
