"""Salient relevance: the areas around what LRP finds."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from microtome.methods.attribution import lrp
from microtome.methods.attribution.explain import Attribution, Call, ExplainParams, attribution
from microtome.methods.contract import Cost

#: Pixels of the longer side at which patches are compared, their side, and the step between them.
SIDE, PATCH, STEP = 64, 7, 2
#: Sizes of the map at which it is looked at, and sizes to which patches are compared there, in parts of it.
SCALES, AGAINST, SMALLEST = (1.0, 0.8, 0.5, 0.3), (1.0, 0.5, 0.25), 0.2
#: Weight of the distance of patches, and from which salience on a place is a focus (Goferman et al.).
NEARNESS, FOCUS = 3.0, 0.8
#: Distances from differences: from products, equal patches would differ by rounding.
_EXACT = "donot_use_mm_for_euclid_dist"


class Params(ExplainParams):
    rule: lrp.Rule = Field("auto", description="Preset of the rules of LRP whose map is looked at.")
    similar: int = Field(64, ge=1, le=128, description="How many of the most similar patches one is compared with.")


def resized(map: Tensor, size: tuple[int, int]) -> Tensor:
    """[h, w] of [H, W], bilinear, smoothed where it gets smaller."""
    return torch.nn.functional.interpolate(map[None, None], size, mode="bilinear", antialias=True)[0, 0]


def patches(map: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Patches [n, PATCH x PATCH] of [h, w], their centres [n, 2] in parts of the longer side, and the grid they lie in."""
    height, width = map.shape
    padded = torch.nn.functional.pad(map[None, None], [PATCH // 2] * 4, mode="replicate")
    values = torch.nn.functional.unfold(padded, PATCH, stride=STEP)[0].T
    rows, columns = (torch.arange(0, side, STEP, device=map.device) for side in (height, width))
    centres = torch.cartesian_prod(rows, columns).float() + 0.5
    return values, centres / max(height, width), (len(rows), len(columns))


def salience(relevance: Tensor, similar: int) -> Tensor:
    """Context-aware salience in 0 to 1, float32 [H, W], of a map [H, W]: high for patches unlike even those most like them."""
    most = relevance.abs().max()
    if not most > 0:
        return torch.zeros_like(relevance, dtype=torch.float32)
    whole, longer = (relevance / most).float(), max(relevance.shape)
    height, width = (max(PATCH, round(side * min(1.0, SIDE / longer))) for side in relevance.shape)

    def at(scale: float) -> tuple[Tensor, Tensor, tuple[int, int]]:
        return patches(resized(whole, (max(PATCH, round(height * scale)), max(PATCH, round(width * scale)))))

    found = torch.zeros(height, width, device=relevance.device)
    for scale in SCALES:
        values, centres, grid = at(scale)
        others = [at(scale * part)[:2] for part in AGAINST if scale * part >= SMALLEST]
        apart = torch.cdist(centres, torch.cat([c for _, c in others]), compute_mode=_EXACT)
        # Values lie in -1 to 1: 2 PATCH is the largest distance there can be.
        unlike = torch.cdist(values, torch.cat([v for v, _ in others]), compute_mode=_EXACT) / (2 * PATCH) / (1 + NEARNESS * apart)
        count = min(similar, unlike.shape[1] - 1)
        nearest = unlike.topk(count + 1, largest=False).values  # with itself, which differs by nothing
        found += resized((1 - torch.exp(-nearest.sum(1) / count)).view(grid), (height, width)) / len(SCALES)
    found = found / found.max().clamp(min=1e-12)
    places = torch.cartesian_prod(*(torch.arange(side, device=found.device).float() for side in (height, width))) / max(height, width)
    far = torch.cdist(places, places[(found >= FOCUS).flatten()], compute_mode=_EXACT).amin(1).view(height, width)
    found = resized(found * (1 - far).clamp(min=0), tuple(relevance.shape)).clamp(min=0)  # type: ignore[arg-type]
    return found / found.max().clamp(min=1e-12)


@attribution(
    "salient-relevance",
    title="Salient Relevance",
    params=Params,
    cite="Li et al. 2019, arXiv:1712.08268; Goferman, Zelnik-Manor, Tal 2012, doi:10.1109/TPAMI.2011.272",
    quantity="salience, 1 = highest",
    signed=False,
    cost=Cost(passes=16.0),
    passes=lambda p: 16.0,
)
def salient_relevance(call: Call, params: Params) -> Attribution:
    """Where the map of LRP stands out from its surroundings: areas of attention in place of single pixels.

    LRP gives each pixel's relevance; context-aware salience of that map then finds patches that are unlike even the patches
    most like them, at four scales, and keeps what is near the foci. Simplified: salience is computed at 64 pixels a side, on the
    map's values alone (it has no colours), and places near foci are weighted once, on the mean over scales.

    Formula:
        `d(p, q) = |p - q| / (1 + 3 |place p - place q|)`; `S = 1 - exp(-mean of the smallest d)`, averaged over scales, largest 1;
        `map = S * (1 - distance to the nearest place with S >= 0.8)`, largest 1.

    Known failures:
        The result is an area, not a share: its values add up to nothing, and it has no sign; evidence against the target stands out as
        evidence for it does. Finer than the patches it says nothing. What LRP's preset misses, it misses.
    """
    relevance, _, rule, kind = lrp.relevance_of(call, lrp.Params(seed=params.seed, rule=params.rule))
    maps = []
    for one in relevance.sum(1):
        call.run.check()
        maps.append(salience(one, params.similar))
    note = f"Salience of the map of LRP with the rule {rule}; the layer that sees the image: {'the same' if kind == 'same' else kind}."
    return Attribution(torch.stack(maps), None, {"rule": rule, "input rule": kind, "computed at": f"{SIDE} pixels a side"}, note)
