"""The ray executor: two nodes on this machine give what one process gives, also when one of them dies in the middle."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microtome.capture.arithmetic import arithmetic_for
from microtome.capture.pieces import Piece
from microtome.capture.recorders.histogram import Histogram
from microtome.capture.recorders.moments import BLOCK
from microtome.capture.recorders.tally import Tally
from microtome.capture.shard import Shard
from microtome.client import Client
from microtome.core.context import SilentContext
from microtome.core.errors import Conflict, InvalidInput, MicrotomeError, RunCancelled, Unavailable
from microtome.core.settings import Settings
from microtome.engine import Engine
from microtome.engine.cluster.address import check_address
from microtome.models import load_model
from microtome.probes import open_probe
from tests import micro

# before Ray is imported, which reads it once: a token of our own, so that it neither looks for one in the home folder nor leaves one
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "of-the-tests-" + "0" * 32}
ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")
from microtome.engine.cluster.connect import connect  # noqa: E402
from microtome.engine.cluster.pool import Pool  # noqa: E402
from microtome.engine.cluster.shards import ClusterShards, cut  # noqa: E402

pytestmark = pytest.mark.slow
COUNT = 2 * BLOCK + 100
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster whose head computes nothing; tests add nodes of one core."""
    old = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{ROOT / 'backend'}:{ROOT}"
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
        if old is None:
            os.environ.pop("PYTHONPATH")
        else:
            os.environ["PYTHONPATH"] = old


@pytest.fixture(scope="module")
def probe() -> Any:
    """Images enough for three blocks, small ones."""
    return open_probe(f"path:{micro.write_probe(micro.ROOT / 'cluster', COUNT, (40, 40))}#val")


@pytest.fixture(scope="module")
def model() -> Any:
    return load_model(f"path:{micro.model_folder('resnet')}")


@pytest.fixture(scope="module")
def local(model: Any, probe: Any) -> Shard:
    """Everything recorded in this process."""
    shard = Shard(probe, 0, COUNT, arithmetic_for("cpu"))
    shard.forward(model, pieces_of(model), SilentContext())
    return shard


def pieces_of(model: Any) -> list[Piece]:
    return [Piece(layer.name, 0, layer.units) for layer in model.default_layers()]


class Watched(SilentContext):
    """Calls ``at`` once the pass has done some examples, and keeps what was reported."""

    def __init__(self, at: int = 0, then: Callable[[], None] | None = None) -> None:
        super().__init__()
        self.at, self.then, self.reports = at, then, []  # type: ignore[var-annotated]
        self.stop, self.asked = False, []  # type: ignore[var-annotated]

    def check(self) -> None:
        self.asked.append(threading.get_ident())
        if self.stop:
            raise RunCancelled("stopped")

    def progress(self, done: int, total: int, what: str = "") -> None:
        self.reports.append((done, total))
        if self.then is not None and done >= self.at:
            then, self.then = self.then, None
            then()


@pytest.fixture(scope="module")
def pool(nodes: Any) -> Iterator[Pool]:
    """Stations on two nodes of one core each; a test that takes a node away brings another one."""
    for _ in range(2):
        nodes.add_node(num_cpus=1)
    settings = Settings(data_dir=micro.ROOT / "cluster-data", executor="ray", ray_address=nodes.address)
    pool = Pool(connect(settings), settings, {"MICROTOME_DATA_DIR": str(settings.data_dir)})
    yield pool
    for seat in list(pool.seats):
        pool.lose(seat)


def assert_same(found: ClusterShards, wanted: Shard, model: Any, probe: Any, pieces: list[Piece]) -> None:
    """Every answer of the cluster has the bits of the one of this process."""
    run = SilentContext()
    for piece in pieces:
        ours, theirs = found.look(piece), wanted.look(piece)
        np.testing.assert_array_equal(ours.tops, theirs.tops)
        moments, others = ours.moments.finish(), theirs.moments.finish()
        for name in ("mean", "std", "minimum", "maximum", "count"):
            np.testing.assert_array_equal(getattr(moments, name), getattr(others, name), err_msg=name)
        for mine, other in zip(found.peaks(piece), wanted.peaks(piece), strict=True):
            np.testing.assert_array_equal(mine, other)
        steps = np.stack([moments.mean + k * moments.std for k in range(3)], axis=1).astype(np.float32)

        def recorders(steps: Any = steps, moments: Any = moments) -> list[Any]:
            return [Tally(steps, len(probe.concepts)), Histogram(moments.minimum, moments.maximum)]

        (tally, bins), (tally_here, bins_here) = found.record(piece, recorders(), run), wanted.record(piece, recorders(), run)
        counts, counts_here = tally.finish(), tally_here.finish()
        np.testing.assert_array_equal(counts.shared, counts_here.shared)
        np.testing.assert_array_equal(counts.unit_areas, counts_here.unit_areas)
        np.testing.assert_array_equal(bins.finish()[1], bins_here.finish()[1])
        slots = np.random.default_rng(1).integers(0, COUNT, (piece.units, 5)).astype(np.int32)
        np.testing.assert_array_equal(found.maps(piece, slots), wanted.maps(piece, slots))
        half = (0, max(1, piece.units // 2))
        some, some_here = (w.record(piece, [Tally(steps[: half[1]], len(probe.concepts))], run, half)[0] for w in (found, wanted))
        np.testing.assert_array_equal(some.finish().shared, some_here.finish().shared)
    np.testing.assert_array_equal(found.logits(), wanted.logits())
    labels, labels_here = found.labels(), wanted.labels()
    for name in ("codes", "members", "offsets"):
        np.testing.assert_array_equal(getattr(labels, name), getattr(labels_here, name))
    areas, areas_here = found.areas(len(probe.concepts)), wanted.areas(len(probe.concepts))
    np.testing.assert_array_equal(areas.areas, areas_here.areas)
    assert areas.positions == areas_here.positions


def test_two_nodes_give_what_one_process_gives(pool: Pool, model: Any, probe: Any, local: Shard) -> None:
    run, before = Watched(), model.forward_passes
    shards = ClusterShards(pool, model, probe, COUNT, None)
    pieces = pieces_of(model)
    pool.ready(run.check, everybody=True)
    began = time.monotonic()
    shards.forward(model, pieces[:1], run)
    assert model.forward_passes - before == COUNT
    # waiting for stations is a safe point for short work of others: the run is asked often, in the thread that began it
    assert set(run.asked) == {threading.get_ident()}
    assert len(run.asked) > 3 * (time.monotonic() - began)
    assert run.reports[-1] == (COUNT, COUNT)
    assert [r[0] for r in run.reports] == sorted(r[0] for r in run.reports)
    assert len({s.about["pid"] for s in pool.seats if s.about}) == 2
    assert len(set(shards._owner.values())) == 2  # both had their part of it
    shards.forward(model, pieces[1:], run)  # more layers of the same examples, beside what is kept
    shards.drop(pieces[0])
    assert_same(shards, local, model, probe, pieces[1:])
    shards.close()


def test_cancel_reaches_the_nodes(pool: Pool, model: Any, probe: Any) -> None:
    shards = ClusterShards(pool, model, probe, COUNT, None)
    run = Watched(64)
    run.then = lambda: setattr(run, "stop", True)
    with pytest.raises(RunCancelled):
        shards.forward(model, pieces_of(model), run)
    end = time.monotonic() + 10
    while any(n != -1 for n, _ in ray.get([s.handle.state.remote() for s in pool.seats])):
        assert time.monotonic() < end, "stations go on with what was cancelled"
        time.sleep(0.05)
    shards.close()
    again = ClusterShards(pool, model, probe, 32, None)  # and are free for the next question
    again.forward(model, [], SilentContext())
    assert again.logits().shape == (32, len(model.classes))
    again.close()


def test_errors_of_a_node_name_it(pool: Pool, model: Any, tmp_path: Path) -> None:
    folder = micro.write_probe(tmp_path / "spoilt", 40)
    spoilt = open_probe(f"path:{folder}#val")
    shards = ClusterShards(pool, model, spoilt, 40, None)
    shards.forward(model, [], SilentContext())  # the stations have it open now
    (folder / "val" / "007.png").write_bytes(b"not an image")
    other = ClusterShards(pool, model, spoilt, 40, None)
    with pytest.raises(MicrotomeError, match=r"007\.png could be read when .* This was on ") as caught:
        other.forward(model, [], SilentContext())
    assert caught.value.field == "probe"
    changed = open_probe(f"path:{folder}#val")
    plan = {"model": {"source": model.source, "hash": model.hash}, "probe": {"source": changed.source, "hash": "0" * 64}}
    for seat in pool.seats:  # a station that sees other files than the server does
        with pytest.raises(Conflict, match="same files at the same path"):
            ray.get(seat.handle.forward.remote(10**9, "x", plan, (0, 16), []))


def test_work_that_ends_every_worker_is_given_up(pool: Pool, probe: Any) -> None:
    shards = ClusterShards(pool, load_model("module:tests.engine.deadly:build"), probe, 32, None)
    with pytest.raises(Unavailable, match="Examples 0 to 31 ended 3 workers of the cluster, one after the other"):
        shards.forward(shards._model, [], SilentContext())
    shards.close()


def test_a_node_that_dies_in_the_middle_costs_its_shard_only(pool: Pool, nodes: Any, model: Any, probe: Any, local: Shard) -> None:
    shards = ClusterShards(pool, model, probe, COUNT, None)
    pieces = pieces_of(model)
    pool.ready(lambda: None, everybody=True)
    first = next(iter(nodes.worker_nodes))
    run = Watched(COUNT // 2, lambda: nodes.remove_node(first, allow_graceful=False))
    before = model.forward_passes
    shards.forward(model, pieces, run)
    assert run.then is None  # it did die on the way
    assert [r[0] for r in run.reports] == sorted(r[0] for r in run.reports)
    # blocks the lost node had finished pass again, those of the other one do not
    assert COUNT <= model.forward_passes - before <= COUNT + COUNT // 2 + BLOCK
    assert_same(shards, local, model, probe, pieces)
    # and between two questions: what was recorded on a station that ends is recorded again elsewhere
    victim = next(iter(shards._owner.values()))
    nodes.add_node(num_cpus=1)
    os.kill(victim.about["pid"], 9)
    assert_same(shards, local, model, probe, pieces[-1:])
    assert victim not in pool.seats
    shards.close()


def test_a_whole_dissection(pool: Pool, nodes: Any, probe: Any, tmp_path: Path) -> None:
    """Through the engine: every array and every row of the results, exemplars with their ties included."""
    for seat in list(pool.seats):
        pool.lose(seat)  # the engine starts its own, and needs the cores
    stored: list[dict[str, Any]] = []
    for name, more in (("local", {}), ("ray", {"executor": "ray", "ray_address": nodes.address})):
        engine = Engine(Settings(data_dir=tmp_path / name, inline=True, **more))
        try:
            model, images = (
                engine.ensure_source("model", f"path:{micro.model_folder('resnet')}"),
                engine.ensure_source("probe", probe.source),
            )
            run = engine.submit("dissection", {"model": model, "probe": images}, {"max_examples": BLOCK + 20})
            assert run.state == "done", run.error
            assert run.forward_passes == BLOCK + 20
            device = engine.results.head(engine.runs.parts([run.id])[run.id][0][1]).provenance["device"]
            assert device == ("ray: 2 x cpu" if name == "ray" else "cpu")
            stored.append({part: engine.results.load(key) for part, key, _ in engine.runs.parts([run.id])[run.id]})
        finally:
            engine.stop()
            engine.store.close()
    here, there = stored
    assert list(here) == list(there)
    for part, results in here.items():
        for kind, result in results.items():
            other = there[part][kind]
            assert result.model_dump_json() == other.model_dump_json(), (part, kind)
            assert list(result.arrays) == list(other.arrays)
            for array, values in result.arrays.items():
                np.testing.assert_array_equal(values, other.arrays[array], err_msg=f"{part} {kind} {array}")


@pytest.mark.parametrize(("examples", "seats"), [(1, 1), (256, 3), (257, 1), (5000, 2), (40_000, 2), (1_300_000, 8), (1_300_000, 64)])
def test_blocks_cover_everything_once(examples: int, seats: int) -> None:
    blocks = cut(examples, seats)
    assert [b[0] for b in blocks] == [0, *(b[1] for b in blocks[:-1])]
    assert blocks[-1][1] == examples
    assert all(start % BLOCK == 0 for start, _ in blocks)
    assert len(blocks) >= min(seats, -(-examples // BLOCK))


def test_addresses() -> None:
    with pytest.raises(InvalidInput, match="no address of a Ray cluster"):
        check_address("http://here/")
    assert [check_address(a) for a in ("local", "auto", "ray://head.example:10001", "10.0.0.1:6379", "[::1]:6379")]


def test_a_cluster_without_room_says_so(nodes: Any, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microtome.engine.cluster.pool.GRACE", 1.0)
    settings = Settings(data_dir=micro.ROOT / "cluster-data", ray_cpus=64, ray_actors=1)
    hungry = Pool(pool.ray, settings, {})
    with pytest.raises(Unavailable, match="No machine of the Ray cluster gave room"):
        hungry.ready(lambda: None)
    hungry.lose(hungry.seats[0])


def test_deployment_examples_use_what_there_is() -> None:
    """Images, settings and commands in the examples are those of this repository."""
    yaml = pytest.importorskip("yaml")
    compose = yaml.safe_load((ROOT / "deploy/docker-compose.ray.yml").read_text())
    ray_services = [compose["services"][n] for n in ("app", "head", "worker")]
    assert all(s["environment"]["RAY_AUTH_MODE"] == "token" and "RAY_AUTH_TOKEN" in s["environment"] for s in ray_services)
    documents = list(yaml.safe_load_all((ROOT / "deploy/kuberay.yaml").read_text()))
    text = (ROOT / "deploy/docker-compose.ray.yml").read_text() + (ROOT / "deploy/kuberay.yaml").read_text()
    assert {n.lower() for n in re.findall(r"MICROTOME_([A-Z_]+)", text)} <= set(Settings.model_fields)
    assert [d["kind"] for d in documents][2:] == ["RayCluster", "Deployment", "Service"]
    assert documents[2]["spec"]["rayVersion"] in (ROOT / "constraints.txt").read_text()
    server = documents[3]["spec"]["template"]["spec"]["containers"][0]
    for command in (compose["services"]["app"]["command"], server["command"]):
        assert command[:2] == ["microtome", "serve"]
        assert check_address(command[command.index("--ray-address") + 1])
    assert "127.0.0.1:8000:8000" in compose["services"]["app"]["ports"]
    assert not [
        p for name in ("head", "worker", "db") for p in compose["services"][name].get("ports", [])
    ]  # Ray is reached from inside only
    assert documents[2]["spec"]["authOptions"] == {"mode": "token"}
    assert {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} <= {v["name"] for v in server["env"]}


def serve(data: Path, *more: str) -> subprocess.Popen[str]:
    environment = os.environ | {
        "MICROTOME_DATA_DIR": str(data), "MICROTOME_SOURCE_ROOTS": f'["{micro.ROOT}"]', "PYTHONPATH": f"{ROOT / 'backend'}:{ROOT}",
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "microtome.cli", "serve", "--port", "0", *more],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_the_server_over_a_cluster_of_its_own(probe: Any, tmp_path: Path) -> None:
    """``microtome serve --executor ray``: a dissection, an explanation while it runs, and nothing left behind at the end."""
    server = serve(tmp_path / "data", "--executor", "ray", "--ray-address", "local")
    try:
        assert server.stdout is not None
        match = re.search(r"http://\S+", server.stdout.readline())
        assert match
        client = Client(match[0].rstrip("/"))
        client.add_model(f"path:{micro.model_folder('resnet')}", "net")
        client.add_probe(probe.source, "photos")
        run = client.submit("dissection", model="net", probe="photos")
        assert client.run("grad-cam", model="net", example="photos:3", timeout=60)["state"] == "done"
        done = client.wait(run["id"], 150)
        assert (done["state"], done["forward_passes"]) == ("done", COUNT)
        for part in done["parts"]:
            assert "units" in client.results(part["key"])
    finally:
        server.terminate()
        server.wait(20)
    end = time.monotonic() + 30
    while leftovers := [p for p in Path("/proc").glob("[0-9]*/environ") if str(tmp_path / "data") in _text(p)]:
        assert time.monotonic() < end, f"still running: {leftovers}"
        time.sleep(0.2)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--executor", "cloud"), "There is no executor 'cloud'. Choose one of local, ray."),
        (("--executor", "ray", "--ray-address", "http://here"), "'http://here' is no address of a Ray cluster."),
    ],
)
def test_the_command_line_refuses_what_cannot_be(tmp_path: Path, more: tuple[str, ...], message: str) -> None:
    server = serve(tmp_path / "data", *more)
    _, errors = server.communicate(timeout=60)
    assert server.returncode == 2
    assert message in errors
    assert "Traceback" not in errors


def test_a_cluster_that_is_away_fails_the_run_that_needs_it(probe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: (_ for _ in ()).throw(ConnectionError("ray client connection timeout")))
    engine = Engine(Settings(data_dir=tmp_path / "data", inline=True, executor="ray", ray_address="ray://nobody.invalid:10001"))
    try:
        model, images = engine.ensure_source("model", f"path:{micro.model_folder('resnet')}"), engine.ensure_source("probe", probe.source)
        failed = engine.submit("dissection", {"model": model, "probe": images}, {"max_examples": 16})
        assert failed.state == "failed"
        assert "No Ray cluster answers at 'ray://nobody.invalid:10001': ray client connection timeout" in failed.error["detail"]
        assert "ray start --head" in failed.error["detail"]
        assert engine.submit("predict", {"model": model, "example": f"{images}:1"}).state == "done"  # what needs no cluster goes on
    finally:
        engine.stop()
        engine.store.close()
