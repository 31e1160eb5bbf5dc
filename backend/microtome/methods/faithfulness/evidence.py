"""What is put beside every map: how far the model's own behaviour bears it out, and what a random map would get."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from microtome.probes import Example
from microtome.results import Curves, Scorecard

if TYPE_CHECKING:
    from microtome.methods.attribution.explain import Attribution, Call

#: Part of the version of every attribution method: a change of what stands here misses the cache.
EVIDENCE_VERSION = "1"


def evidence(
    call: Call,
    explain: Callable[[Call, Any], Attribution],
    attribution: Attribution,
    params: Any,
    example: Example,
    *,
    passes: float,
    map_seconds: float | None = None,
) -> tuple[Scorecard, Curves]:
    """The scores and curves of the maps of one example, one group per target.

    Args:
        call: what was explained; its rows are the targets of one example.
        explain: the method itself, called again on noisy inputs and on a network with other weights.
        passes: forward passes that one map costs, of which follows how often it is called again.
        map_seconds: seconds that the maps alone took, to be told beside them.

    Raises:
        InvalidInput: a value is not finite. RunCancelled.
    """
    raise NotImplementedError  # the measures follow
