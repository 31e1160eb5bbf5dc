"""One look for all printed figures: the tokens of the light theme."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import matplotlib as mpl
from cycler import cycler
from matplotlib.colors import LinearSegmentedColormap

from microtome.results.figures import BAR, CATEGORICAL, GRID, INK, QUIET, SEQUENTIAL

CHANCE: Final = "#E3E5E9"
REGION, CASING = "#FFD60A", "#16191D"
SIGNED = LinearSegmentedColormap.from_list("signed", ["#124B80", "#5B94C6", "#F4F3F1", "#D98A5E", "#8E330F"])
MAGNITUDE = LinearSegmentedColormap.from_list("magnitude", list(SEQUENTIAL))

#: matplotlib is set up for each figure alone; what else uses it in this process is left as it is.
RC: Final[dict[str, Any]] = {
    "font.family": "sans-serif", "font.sans-serif": ["Inter", "DejaVu Sans"], "font.size": 8, "text.color": INK, "axes.labelcolor": QUIET,
    "axes.edgecolor": BAR, "axes.linewidth": 0.6, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 8.5,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.grid": False, "grid.color": GRID, "grid.linewidth": 0.6,
    "xtick.color": QUIET, "ytick.color": QUIET, "xtick.major.size": 0, "ytick.major.size": 0, "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "axes.prop_cycle": cycler(color=list(CATEGORICAL)), "svg.fonttype": "path", "pdf.fonttype": 42, "figure.facecolor": "white",
    "savefig.facecolor": "white", "axes.unicode_minus": True, "svg.hashsalt": "microtome", "text.parse_math": False,
}  # fmt: skip

_lock = threading.Lock()


@contextmanager
def styled() -> Iterator[None]:
    """Draw in our style. One at a time: settings of matplotlib are those of the process, and requests come in threads."""
    with _lock, mpl.rc_context(RC):  # type: ignore[arg-type]
        yield


__all__ = ["BAR", "CASING", "CATEGORICAL", "CHANCE", "GRID", "INK", "MAGNITUDE", "QUIET", "RC", "REGION", "SIGNED", "styled"]
