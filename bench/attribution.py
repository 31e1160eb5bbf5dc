"""Attribution methods beside the bare passes they are made of, and beside Captum, in one process on tinyplaces-resnet.

"METHOD over passes": the method's map of one image, over as many images forward (and backward) through the same network in batches of
the same size, laid out as PyTorch does by default, and nothing else. "captum over ours METHOD": Captum for the same result, over
ours; where Captum's default differs from its best setting, the default is meant, and the best setting stands beside it. Answers are
compared before a time is printed. Outside: loading, preprocessing, and the evidence, which is measured by tests of the whole screen.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import captum.attr as peer
import torch
from common import arguments, document, paired, peak_megabytes, ratio, report
from torch import Tensor, nn

from microtome.core.context import SilentContext
from microtome.methods.attribution.baseline import baseline_input
from microtome.methods.attribution.coalitions import coalitions
from microtome.methods.attribution.explain import BATCH, FORWARD_BATCH, Call, portions
from microtome.methods.attribution.features import squares as parts
from microtome.methods.attribution.target import targets_of
from microtome.methods.registry import get_method
from microtome.models.loading import load_model
from microtome.probes import open_probe

GOAL, CAM_GOAL, DEFAULT_GOAL = 1.10, 1.25, 1.5


class Logits(nn.Module):
    """What Captum explains: a module from inputs to logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.network(inputs).logits
        return logits


def main() -> None:
    options = arguments(__doc__ or "")
    steps, pairs = (32, 5) if options.quick else (64, 9)
    model = load_model("builtin:tinyplaces-resnet", "cpu")
    probe = open_probe("builtin:tinyplaces#val:24")
    inputs = model.inputs([probe.image(1)])
    [target] = targets_of(model, inputs, [1])
    others = model.inputs([probe.image(i) for i in range(8)])
    call = Call(model, inputs, [target], SilentContext(), 0, neighbours=lambda count: others[:count])
    net, black = Logits(model.network), baseline_input(model, inputs, "black")

    def ours(id: str, **params: Any) -> Callable[[], Tensor]:
        spec = get_method(id)
        assert spec.explain is not None
        return lambda: spec.explain(call, spec.params(**params)).maps  # type: ignore[misc]

    def gradients(count: int) -> None:
        """``count`` images forward and backward to the input."""
        for start, end in portions(count, BATCH):
            leaf = inputs.expand(end - start, -1, -1, -1).clone().requires_grad_(True)
            with torch.enable_grad():
                torch.autograd.grad(model.forward(leaf)[:, 1].sum(), leaf)

    def forwards(count: int) -> None:
        with torch.inference_mode():
            for start, end in portions(count, FORWARD_BATCH):
                model.forward(inputs.expand(end - start, -1, -1, -1).clone())

    window, stride = 12, 6
    squares = len(range(0, 96 - window + 1, stride)) ** 2
    layer, masks, features = model.attribution_layer(), 8 * steps, 49
    subsets = len(coalitions(features, masks, 0).present)  # of the draws, those that differ
    maps = {
        "integrated-gradients": ours("integrated-gradients", steps=steps, max_steps=steps),
        "smoothgrad": ours("smoothgrad", samples=steps, colours="signed"),
        "gradient-shap": ours("gradient-shap", samples=steps, references=8),
        "occlusion": ours("occlusion", window=window, stride=stride, baseline="black"),
        "rise": ours("rise", masks=masks),
        "kernel-shap": ours("kernel-shap", samples=masks, count=features, baseline="black"),
        "grad-cam": ours("grad-cam"),
    }
    passes: dict[str, Callable[[], None]] = {
        "integrated-gradients": lambda: gradients(steps),
        "smoothgrad": lambda: gradients(steps),
        "gradient-shap": lambda: gradients(steps),
        "occlusion": lambda: forwards(squares),
        "rise": lambda: forwards(masks),
        "kernel-shap": lambda: forwards(subsets + 2),  # and the two ends
        "grad-cam": lambda: forwards(1),
    }

    def occluded(at_once: int) -> Tensor:
        kept = {"sliding_window_shapes": (3, window, window), "strides": (3, stride, stride), "baselines": black}
        return peer.Occlusion(net).attribute(inputs, target=1, perturbations_per_eval=at_once, **kept)[0, 0]

    def cam() -> Tensor:
        found = peer.LayerGradCam(net, model.module(layer)).attribute(inputs, target=1, relu_attributions=True)
        return peer.LayerAttribution.interpolate(found, (96, 96), "bilinear")[0, 0]

    def places(count: int) -> Tensor:
        return torch.from_numpy(parts(96, 96, count)).expand(1, 3, -1, -1).contiguous()

    def sampled(at_once: int) -> Tensor:
        given = {"feature_mask": places(features), "n_samples": subsets + 2, "perturbations_per_eval": at_once}
        return peer.KernelShap(net).attribute(inputs, black, target=1, **given)[0, 0]

    integrated = peer.IntegratedGradients(net, multiply_by_inputs=True)
    theirs: dict[str, Callable[[], Tensor]] = {
        "integrated-gradients": lambda: integrated.attribute(
            inputs, black, target=1, n_steps=steps, method="gausslegendre", internal_batch_size=BATCH, return_convergence_delta=True
        )[0][0].sum(0),  # with the gap, which is a part of our answer
        "occlusion": lambda: occluded(1),
        "occlusion, Captum at its best": lambda: occluded(FORWARD_BATCH),
        "kernel-shap": lambda: sampled(1),
        "kernel-shap, Captum at its best": lambda: sampled(FORWARD_BATCH),
        "grad-cam": cam,
    }
    answers = {name: (maps[name]()[0], theirs[name]().detach()) for name in ("integrated-gradients", "occlusion", "grad-cam")}
    every = peer.ShapleyValues(net).attribute(inputs, black, target=1, feature_mask=places(4))[0, 0]
    answers["kernel-shap, all coalitions of four squares"] = (
        ours("kernel-shap", samples=14, count=4, baseline="black")()[0] * 48 * 48,
        every,
    )
    differences = {name: float((mine - other).abs().max() / other.abs().max()) for name, (mine, other) in answers.items()}
    # Captum's noise and references are drawn otherwise, so SmoothGrad and gradient SHAP have no common answer, and it has no RISE.
    # Gradients of a network of ReLUs jump: the last bit of a step's position moves single pixels of integrated gradients by
    # thousandths of the largest.
    if max(differences.values()) > 5e-3:
        sys.exit(f"maps differ from Captum's (largest difference over the largest value: {differences}); no time is printed")

    def times(name: str) -> int:
        """More pairs for what is short, whose median would be the machine's noise otherwise."""
        return pairs * {"grad-cam": 8, "gradient-shap": 3}.get(name, 1)

    for run in (*maps.values(), *passes.values()):
        run()
    ratios: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    for name, method in maps.items():
        found = paired(method, passes[name], times(name))
        goal = CAM_GOAL if name == "grad-cam" else GOAL
        ratios[f"{name} over {'one forward pass' if name == 'grad-cam' else 'passes'}"] = ratio(found["ratio"], goal)
        seconds[name] = min(found["a"])
    for name, captum in theirs.items():
        mine = maps[name.split(",")[0]]
        few = name in ("occlusion", "kernel-shap")
        found = paired(captum, mine, 5 if few else times(name))
        ratios[f"captum over ours {name}"] = ratio(found["ratio"], DEFAULT_GOAL if few else 1.0)
    before = peak_megabytes()
    ours("integrated-gradients", steps=8 * steps, max_steps=8 * steps)()
    figures = {
        "steps": steps, "squares": squares, "masks": masks, "coalitions": subsets, "batch": BATCH,
        "forward batch": FORWARD_BATCH, "seconds": seconds,
        "largest differences from Captum": differences,
        "peak megabytes": before,
        "more megabytes with eight times the steps": peak_megabytes() - before, "threads": torch.get_num_threads(),
    }  # fmt: skip
    report(document("attribution", ratios, figures, ("torch", "transformers", "captum")), options.json)


if __name__ == "__main__":
    main()
