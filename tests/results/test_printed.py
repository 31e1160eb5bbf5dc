"""Results on paper: every kind draws, says what it leaves out, and gives the same bytes for the same content."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from microtome.results import (
    KINDS,
    Curves,
    Distribution,
    Generation,
    Graph,
    ImageMap,
    LensGrid,
    MapSet,
    Matrix,
    Scatter,
    Scorecard,
    TokenMap,
    Tree,
    UnitTable,
)
from microtome.results.kinds import Column
from microtome.results.printed import Panel, printed
from microtome.results.printed.images import exemplars
from microtome.results.printed.texts import Context, contexts

RNG = np.random.default_rng(0)
MAP = np.outer(np.hanning(8), np.hanning(8)).astype(np.float32)


def score(i: int) -> Scorecard.Score:
    return Scorecard.Score(
        name=f"score {i}", value=i - 5.0, low=i - 6.0, high=i - 4.0, chance_low=-1, chance_high=1, unit="points", group="g"
    )


def floats(*shape: int) -> Any:
    return RNG.random(shape).astype(np.float32)


EXAMPLES: dict[str, Any] = {
    "scorecard": lambda: Scorecard(title="Scores", scores=[score(i) for i in range(40)]),
    "curves": lambda: Curves(
        title="Curves",
        series=["a", "b"],
        x_axis="share",
        y_axis="p",
        arrays={"x": np.arange(9, dtype=np.float32), "y": floats(2, 9), "low": floats(2, 9) - 1, "high": floats(2, 9) + 1},
    ),
    "matrix": lambda: Matrix(
        title="Matrix",
        rows=[],
        columns=[f"c:{i}" for i in range(12)],
        row_axis="unit",
        column_axis="concept",
        quantity="IoU",
        arrays={"values": floats(30, 12)},
    ),
    "scatter": lambda: Scatter(
        title="Map",
        layers=["one", "two"],
        projection="PCA",
        arrays={"points": floats(50, 2), "unit": np.arange(50, dtype=np.int32), "layer": (np.arange(50) % 2).astype(np.int32)},
    ),
    "distribution": lambda: Distribution(
        title="Activation",
        rows=["a"],
        quantity="activation",
        arrays={"edges": np.arange(6, dtype=np.float32)[None], "counts": np.ones((1, 5), np.int64)},
    ),
    "unit-table": lambda: UnitTable.of(
        title="Units",
        layer="l",
        columns=[Column("m", "mean", "number", [0.5, None] * 20), Column("c", "concept", "text", ["sky", None] * 20)],
    ),
    "tree": lambda: Tree(
        title="Parts",
        quantity="logit",
        arrays={"parent": np.array([-1, 0, 0], np.int32), "value": floats(3)},
        names=["all", "left", "right"],
    ),
    "image-map": lambda: ImageMap(
        title="Saliency", targets=["street", "beach"], target_indices=[1, 2], quantity="logit", arrays={"maps": np.stack([MAP, -MAP])}
    ),
    "map-set": lambda: MapSet(
        title="Maps",
        groups=["best", "worst"],
        quantity="logit",
        value_name="score",
        arrays={
            "maps": floats(4, 8, 8),
            "example": np.arange(4, dtype=np.int32),
            "group": np.array([0, 0, 1, 1], np.int32),
            "value": floats(4),
        },
    ),
    "lens-grid": lambda: LensGrid(
        title="Lens", rows=[f"h{i}" for i in range(20)], columns=["def", " $x$", "\n"], row_axis="layer", column_axis="token",
        names=["a", " b", "\t"], quantity="probability",
        arrays={"items": np.arange(180, dtype=np.int32).reshape(20, 3, 3) % 4 - 1, "values": floats(20, 3, 3)},
    ),
    "token-map": lambda: TokenMap(
        title="Scores", tokens=["def", " f", "(", "):\n"], rows=["answer", "other"], row_axis="target", quantity="logits",
        arrays={"values": floats(2, 4) - 0.5},
    ),
    "graph": lambda: Graph(
        title="Flow", rows=["embeddings", "h0"], columns=["def", " f"], quantity="contribution",
        nodes=[Graph.Node(name=f"n{i}", kind="head", row=i % 2, column=i // 2, words=[" x"]) for i in range(4)],
        arrays={
            "source": np.array([0, 2], np.int32), "target": np.array([1, 3], np.int32), "weight": np.array([1, -0.5], np.float32),
        },
    ),
    "generation": lambda: Generation(
        title="Written", prompt=["def"], conditions=["as it is", "changed"], tokens=[[" f", "("], [" $g$\x00"]],
        arrays={"logprobs": np.array([[-1, -2], [-3, np.nan]], np.float32)},
    ),
}  # fmt: skip


def picture(index: int) -> Any:
    return np.full((32, 32, 3), 40 + index, np.uint8)


def test_every_kind_is_here_or_said_not_to_be_drawn() -> None:
    assert set(KINDS) - set(EXAMPLES) == {"gallery"}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_it_is_drawn_the_same_each_time(kind: str) -> None:
    panel = Panel(
        "A title that is long enough to need more than one line of the panel", EXAMPLES[kind](), picture=picture(3), images=picture
    )
    svg = printed([panel], "Figure 1. A caption.\nweights 9c1e", "svg")
    assert svg == printed([panel], "Figure 1. A caption.\nweights 9c1e", "svg")
    assert svg.startswith(b"<?xml")
    assert b"<script" not in svg
    with Image.open(io.BytesIO(printed([panel], "x", "png"))) as drawn:
        pixels = np.asarray(drawn.convert("L"))
    assert 0.002 < (pixels < 200).mean() < 0.9, "something is drawn, and not everything is dark"
    assert printed([panel], "x", "pdf").startswith(b"%PDF")


def text_of(panel: Panel) -> str:
    """What the figure says, letters as text."""
    import matplotlib as mpl

    from microtome.results.printed import style

    before = style.RC["svg.fonttype"]
    style.RC["svg.fonttype"] = "none"
    try:
        svg = printed([panel], "caption & <b>", "svg").decode()
    finally:
        style.RC["svg.fonttype"] = before
    assert mpl.rcParams["svg.fonttype"] != "none", "the figure leaves the settings of the process alone"
    return " ".join(re.findall(r">([^<>]+)</text>", svg))


def test_what_is_left_out_is_said() -> None:
    said = text_of(Panel("Scores", EXAMPLES["scorecard"]()))
    assert "12 more numbers are in the data." in said
    assert "&lt;b&gt;" in said
    assert "The first 12 of 40 units" in text_of(Panel("Units", EXAMPLES["unit-table"]()))


def test_a_region_is_outlined_where_the_map_passes_the_threshold() -> None:
    """The outline of a radially symmetric map is a ring around the middle of the image."""
    from matplotlib.figure import Figure

    figure = Figure()
    assert exemplars([0], MAP[None], 0.5, picture, figure.subfigures()) == ""
    [ax] = [a for a in figure.axes if a.images]
    lines = np.concatenate([path.vertices for c in ax.collections for path in c.get_paths()])
    field = np.asarray(Image.fromarray(MAP).resize((32, 32), Image.Resampling.BILINEAR))
    inside = field > 0.5
    radius = np.hypot(lines[:, 0] - 16, lines[:, 1] - 16)
    assert abs(radius.mean() - np.sqrt(inside.sum() / np.pi)) < 0.8


def test_images_that_are_gone_are_counted() -> None:
    from matplotlib.figure import Figure

    assert exemplars([0, 1], None, None, lambda index: None, Figure().subfigures()) == "2 images could not be read."


def test_figures_at_once_do_not_disturb_each_other() -> None:
    """Requests come in threads, and settings of matplotlib belong to the process."""
    from concurrent.futures import ThreadPoolExecutor

    import matplotlib as mpl

    before = dict(mpl.rcParams)
    panel = Panel("Scores", Scorecard(title="Scores", scores=[score(i) for i in range(12)]))
    alone = printed([panel], "x", "svg")
    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(lambda _: printed([panel], "x", "svg"), range(24))) == {alone}
    assert dict(mpl.rcParams) == before


def test_contexts_are_aligned_filled_and_underlined() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    sub = figure.subfigures()
    rows = [Context(["def", " add", "(", "left"], [0.0, 2.0, 0.5, 0.0], 1), Context(["x", " = ", "y"], [0.1, 0.2, 1.5], 2)]
    assert contexts(rows, 1.0, sub) == ""
    ax = sub.axes[0]
    assert [t.get_text() for t in ax.texts] == ["def", " add", "(", "left", "x", " = ", "y"]
    strongest = [t.get_position()[0] + len(t.get_text()) / 2 for t in ax.texts if t.get_text() in (" add", "y")]
    assert strongest == [0, 0]
    assert len(ax.lines) == 2, "one token of each is above the threshold"
    assert len(ax.patches) == 4, "values near zero are not filled"
    assert printed([Panel("Contexts", contexts=rows, threshold=1.0)], "caption", "svg").startswith(b"<?xml")
