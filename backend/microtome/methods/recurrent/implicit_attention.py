"""What a gated linear recurrence takes from every earlier token, as if it attended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from microtome.core.context import RunContext
from microtome.core.errors import InvalidInput
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import inputs_of, names_of, prompt_tokens, text_model
from microtome.models.model import Model
from microtome.models.readout import refused
from microtome.models.text import TextModel
from microtome.results import Result, Scorecard, TokenMap

_PARTS = ("in_proj", "x_proj", "dt_proj", "out_proj")
#: Numbers of one temporary array [channels, T, T, states].
_ROOM = 1 << 24
#: Relative error up to which the matrix times its input counts as what the layer gave.
_SAME = 1e-2


class Params(MethodParams):
    matrix: Literal["state space", "with gate and skip", "with convolution"] = Field(
        "with gate and skip", description="How much of the layer is in the matrix: the recurrence alone, or what stands around it as well."
    )


@method(
    "implicit-attention",
    title="Implicit attention",
    question="What does a recurrent layer take from every earlier token?",
    subjects=("model", "prompt"),
    optional_subjects=("layers",),
    modalities=("text",),
    returns=(TokenMap, Scorecard),
    params=Params,
    interactive=True,
    cite="Ali, Zimerman, Wolf 2024, arXiv:2403.01590; Zimerman, Ali, Wolf 2024, arXiv:2405.16504",
    cost=Cost(passes=6),
)
def implicit_attention(
    *, model: Model, prompt: str, layers: list[str] | None = None, params: Params, run: RunContext
) -> dict[str, Result]:  # fmt: skip
    """A selective state-space layer (Mamba) written as a matrix between tokens, channel by channel.

    With its steps d_t, inputs B_t and outputs C_t held as they are on this text, channel c of the recurrence
    h_t = exp(d_t A) h_(t-1) + d_t B_t u_t, y_t = C_t h_t is y = a u, with for s <= t
    a[t, s] = sum over states n of C_t,n exp(A_n (d_(s+1) + ... + d_t)) d_s B_s,n.
    With gate and skip it is silu(g_t) (a[t, s] + D [s = t]). With the convolution it reads what comes before that: since
    silu(v) = sigmoid(v) v, the convolution, a band of weights, is multiplied from the right. The matrix times its input is compared with
    what the layer gave ('gap'; the convolution adds a constant that is in no matrix).

    There is one matrix for every channel, and signs differ; drawn is the mean of their sizes over channels, every row divided by its sum,
    so that it reads as a share. What a channel takes in is not in it, nor that steps, inputs and outputs depend on the text themselves.

    Raises:
        InvalidInput: a model without such layers, or whose layers do more (``model``); layers that are none of them (``layers``).
    """
    reader = text_model(model)
    run.check()
    tokens = prompt_tokens(reader, prompt)
    mixers = _chosen(reader, layers)
    seen = _watched(reader, [path for path, _ in mixers], inputs_of(reader, [tokens]))
    count = len(tokens)
    maps = np.empty((len(mixers), count, count), np.float32)
    scores, worst = [], 0.0
    distance = torch.arange(count)[:, None] - torch.arange(count)[None, :]
    even = torch.ones(count, count).tril() / torch.arange(1, count + 1)[:, None]
    for number, (path, mixer) in enumerate(mixers):
        run.check()
        found = _Mixer.of(mixer, seen[path])
        worst = max(worst, found.gap(run))
        if worst > _SAME:
            raise refused(reader, f"does more in {path} than the recurrence of a selective state space, its gate and its skip")
        size = found.size(params.matrix, run)
        share = size / size.sum(1, keepdim=True).clamp(min=1e-30)
        maps[number] = share.numpy()
        name = _label(reader, path)
        for what, table in (("own token", distance == 0), ("mean distance", distance.clamp(min=0))):
            value, chance = (float((m * table).sum(1).mean()) for m in (share, even))
            scores.append(
                Scorecard.Score(name=name, value=value, chance=chance, unit="tokens" if what == "mean distance" else "share", group=what)
            )
        run.progress(number + 1, len(mixers), "layers")
    facts: dict[str, Any] = {"matrix": params.matrix, "channels": mixers[0][1].D.numel(), "largest gap": worst}
    return {
        "attention": TokenMap(
            title="Implicit attention", note="Mean size over channels, every row divided by its sum.", tokens=names_of(reader, tokens),
            rows=[_label(reader, path) for path, _ in mixers], row_axis="layer", quantity="share of the size of the implicit attention",
            signed=False, facts=facts, arrays={"pairs": maps},
        ),
        "summary": Scorecard(
            title="How far back layers reach", scores=scores, facts=facts, note="Chance: all tokens up to the own one alike.",
        ),
    }  # fmt: skip


def _is_mixer(module: nn.Module) -> bool:
    logs, skip = getattr(module, "A_log", None), getattr(module, "D", None)
    maps = all(isinstance(getattr(module, part, None), nn.Linear) for part in _PARTS)
    states = isinstance(logs, Tensor) and logs.ndim == 2 and isinstance(skip, Tensor) and skip.shape == logs.shape[:1]
    return maps and states and isinstance(getattr(module, "conv1d", None), nn.Conv1d)


def _label(model: TextModel, path: str) -> str:
    return next((model.layers[b.path].label for b in model.blocks if path.startswith(b.path + ".")), path)


def _chosen(model: TextModel, layers: list[str] | None) -> list[tuple[str, Any]]:
    found = [(path, module) for path, module in model.network.named_modules() if _is_mixer(module)]
    if not found:
        raise refused(model, "has no layers that are selective state spaces (as Mamba has them)")
    if not layers:
        return found
    asked = [model.layer(name).name for name in layers]
    chosen = [(p, m) for p, m in found if any(p.startswith(a + ".") or a.startswith(p.rsplit(".", 1)[0] + ".") for a in asked)]
    if not chosen:
        raise InvalidInput(f"None of these layers is recurrent: {', '.join(asked)[:200]}.", field="layers")
    return chosen


def _watched(model: TextModel, paths: list[str], ids: Tensor) -> dict[str, dict[str, Tensor]]:
    """Inputs and outputs of the maps of every mixer, float32 [T, ...] on the CPU, by mixer and ``in_proj.out`` and the like."""
    seen: dict[str, dict[str, Tensor]] = {path: {} for path in paths}

    def note(path: str, part: str) -> Any:
        def hook(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            seen[path][f"{part}.in"], seen[path][f"{part}.out"] = (x[0].detach().float().cpu() for x in (args[0], output))

        return hook

    network = model.network
    handles = [
        network.get_submodule(f"{p}.{part}").register_forward_hook(note(p, part))
        for p in paths
        for part in ("in_proj", "x_proj", "out_proj")
    ]
    try:
        with torch.no_grad():
            model.through(ids)
    finally:
        for handle in handles:
            handle.remove()
    return seen


@dataclass(frozen=True, slots=True)
class _Mixer:
    """One layer on one text. T tokens, c channels, n states.

    Attributes:
        steps: [T, c]. decay: [c, n], negative. reads, writes: [T, n], C and B. taken: [T, c], u. gate: [T, c], g behind its silu.
        skip: [c], D. before: [T, c], what the convolution gave, before its silu. band: [c, k] weights of the convolution.
        gave: [T, c].
    """

    steps: Tensor
    decay: Tensor
    reads: Tensor
    writes: Tensor
    taken: Tensor
    gate: Tensor
    skip: Tensor
    before: Tensor
    band: Tensor
    gave: Tensor

    @classmethod
    def of(cls, module: Any, seen: dict[str, Tensor]) -> _Mixer:
        decay = -module.A_log.detach().float().cpu().exp()
        states, rank = decay.shape[1], module.dt_proj.in_features
        step, writes, reads = seen["x_proj.out"].split([rank, states, states], dim=-1)
        bias = module.dt_proj.bias
        steps = step @ module.dt_proj.weight.detach().float().cpu().T + (0 if bias is None else bias.detach().float().cpu())
        inner, gate = seen["in_proj.out"].chunk(2, dim=-1)
        band = module.conv1d.weight.detach().float().cpu()[:, 0]
        shift = 0 if module.conv1d.bias is None else module.conv1d.bias.detach().float().cpu()
        padded = functional.pad(inner.T, (band.shape[1] - 1, 0))
        before = (padded.unfold(1, band.shape[1], 1) * band[:, None]).sum(-1).T + shift
        return cls(
            functional.softplus(steps), decay, reads, writes, seen["x_proj.in"], functional.silu(gate),
            module.D.detach().float().cpu(), before, band, seen["out_proj.in"],
        )  # fmt: skip

    def matrices(self, channels: slice) -> Tensor:
        """float32 [c, T, T] of the recurrence alone."""
        time = self.steps[:, channels].double().cumsum(0).T  # [c, T]
        since = (time[:, :, None] - time[:, None, :]).clamp(min=0)  # [c, t, s], the steps from s + 1 to t
        kept = torch.exp(since[..., None].float() * self.decay[channels][:, None, None])  # [c, t, s, n]
        weights = torch.einsum("tn,sn,ctsn->cts", self.reads, self.writes, kept) * self.steps[:, channels].T[:, None]
        return weights.tril()

    def whole(self, channels: slice) -> Tensor:
        """float32 [c, T, T] with gate and skip."""
        return (self.matrices(channels) + torch.diag_embed(self.skip[channels, None].expand(-1, len(self.gate)))) * self.gate[
            :, channels
        ].T[..., None]

    def convolved(self, channels: slice) -> Tensor:
        """float32 [c, T, T], from what goes into the convolution."""
        scaled = self.whole(channels) * torch.sigmoid(self.before[:, channels]).T[:, None]
        out, width = torch.zeros_like(scaled), self.band.shape[1]
        for back in range(min(width, scaled.shape[2])):
            # Token s goes into the convolution's output at s + back.
            out[:, :, : scaled.shape[2] - back] += scaled[:, :, back:] * self.band[channels, width - 1 - back, None, None]
        return out

    def _parts(self, run: RunContext) -> list[slice]:
        run.check()
        each = max(1, _ROOM // (len(self.gate) ** 2 * self.decay.shape[1]))
        return [slice(first, min(first + each, len(self.skip))) for first in range(0, len(self.skip), each)]

    def gap(self, run: RunContext) -> float:
        """Relative error of the matrices times their input, beside what the layer gave."""
        made = torch.cat([torch.einsum("cts,sc->tc", self.whole(part), self.taken[:, part]) for part in self._parts(run)], dim=1)
        return float((made - self.gave).norm() / self.gave.norm().clamp(min=1e-30))

    def size(self, matrix: str, run: RunContext) -> Tensor:
        """float32 [T, T]: mean size over channels."""
        make = {"state space": self.matrices, "with gate and skip": self.whole, "with convolution": self.convolved}[matrix]
        total = torch.zeros(len(self.gate), len(self.gate))
        for part in self._parts(run):
            run.check()
            total += make(part).abs().sum(0)
        return total / len(self.skip)
