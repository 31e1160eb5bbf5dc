"""Random orders of a text's tokens, asked about once for a text and a target and shared by all methods that explain it.

An order and its reverse are equally likely; so the curve of an order read backwards is an insertion curve, and one set of texts serves
both curves, comprehensiveness and sufficiency, and infidelity as perturbations.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from microtome.methods.faithfulness.chance import DRAWS, random_ranks
from microtome.methods.faithfulness.order import Ranks
from microtome.methods.text_attribution.call import Call, Fill, Floats, number_and_value, readings

#: Shares of the tokens that comprehensiveness and sufficiency are means over (DeYoung et al. 2020, section 5.2).
BINS = (0.01, 0.05, 0.10, 0.20, 0.50)
#: Texts of so many tokens or fewer are asked about token by token.
_SHORT = 10
_KEPT = 8


def bin_counts(tokens: int) -> list[int]:
    """Tokens at each of ``BINS``, at least one."""
    return [max(1, round(share * tokens)) for share in BINS]


def counts(tokens: int) -> list[int]:
    """Tokens that are changed at each point of the curves: with every count the one that leaves as many."""
    if tokens <= _SHORT:
        return list(range(tokens + 1))
    half = bin_counts(tokens)
    return sorted({0, tokens, *half, *(tokens - count for count in half)})


@dataclass(frozen=True, slots=True)
class Chance:
    """What the model says of a text while random tokens are off.

    Attributes:
        places: orders [DRAWS, tokens].
        numbers, values: float64 [DRAWS, inner counts], the target's number and what curves show, with the first tokens of an order off.
    """

    places: Ranks
    numbers: Floats
    values: Floats

    def curves(self, whole: float, filled: float) -> Floats:
        """Deletion curves [DRAWS, counts], with the exact ends; read backwards they are insertion curves."""
        ends = np.ones((len(self.values), 1))
        return np.hstack([ends * whole, self.values, ends * filled])


_shared: OrderedDict[str, Chance] = OrderedDict()
_lock = threading.Lock()


def chance_of(call: Call, fill: Fill) -> Chance:
    """The random orders of a text of at least two tokens, from the last few that were asked about or drawn now.

    A model without identity is never taken for another.
    """
    model = call.model
    digest = hashlib.sha256(call.vectors.cpu().numpy().tobytes() + call.ids.cpu().numpy().tobytes()).hexdigest()
    key = f"{model.hash}/{digest}/{call.places.tolist()}/{call.at}/{call.target.weights}/{fill.name}/{call.seed}"
    with _lock:
        kept = _shared.get(key) if model.hash else None
        if kept is not None:
            _shared.move_to_end(key)
            return kept
    places = random_ranks(1, call.count, call.seed)
    inner = np.array(counts(call.count)[1:-1])
    present = (places[:, None, :] >= inner[None, :, None]).reshape(-1, call.count)
    said = readings(call, present, fill, number_and_value(call), "texts with random tokens off").reshape(DRAWS, len(inner), 2)
    found = Chance(places, said[:, :, 0], said[:, :, 1])
    with _lock:
        if model.hash:
            _shared[key] = found
            while len(_shared) > _KEPT:
                _shared.popitem(last=False)
    return found
