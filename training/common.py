"""What the training scripts of the built-in scene classifiers share: pictures, the loop with its checkpoints, export, evaluation.

A script describes its network as a :class:`Recipe` and calls :func:`main`. Pictures are rendered once and kept as uint8 under
``--cache``, which belongs outside the repository, as do the checkpoints written after every epoch; the same command resumes from
the newest one. The log is appended to ``training/NAME.log``. When the last epoch is done the weights are exported as float16 to
``--out``, and the accuracy of the exported file, loaded back as float32, is measured on the split "test".
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
BUILTIN = ROOT / "backend" / "microtome" / "models" / "builtin"
sys.path.insert(0, str(ROOT / "backend"))

from microtome.probes import tinyplaces  # noqa: E402
from microtome.probes.tinyplaces import CLASSES, SIZE, VERSION  # noqa: E402, F401 scripts take them from here


def labels_of(classes: Sequence[str]) -> dict[str, Any]:
    """Names of the classes as configurations hold them."""
    return {"id2label": dict(enumerate(classes)), "label2id": {name: i for i, name in enumerate(classes)}}


LABELS = labels_of(CLASSES)
log = logging.getLogger("training")


@dataclass(frozen=True)
class Outcome:
    """What a training came to: accuracy of the exported file, overall and by class, and what it took."""

    accuracy: float
    per_class: list[float]
    pictures: int
    parameters: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Recipe:
    """What differs between the networks.

    Attributes:
        name: folder of the built-in model.
        about: what the command line says of the script.
        architecture: name of the class in transformers.
        configuration: of the untrained network, with the names of the classes.
        build: untrained network of a configuration, or of the dictionary of one.
        augmented: pictures float32 [n, 3, 96, 96] in -1..1, changed as training pictures may be; may work in place.
        logits: logits of a batch while training, of (network, pictures, generator, epochs left with this one).
        card: text of the model card, where a script writes it.
        defaults: of the command line: images, epochs, lr.
        warm: share of the steps until the learning rate is at its largest.
        clip: largest norm of a gradient; None for no limit.
        decays: whether a parameter is subject to weight decay.
        data: the generator of the pictures: CLASSES, SIZE, VERSION, render.
    """

    name: str
    about: str
    architecture: str
    configuration: Callable[[], Any]
    build: Callable[[Any], nn.Module]
    augmented: Callable[[Tensor, torch.Generator], Tensor]
    logits: Callable[[nn.Module, Tensor, torch.Generator, int], Tensor]
    defaults: dict[str, Any]
    card: Callable[[Outcome, argparse.Namespace], str] | None = None
    warm: float = 0.25
    clip: float | None = None
    decays: Callable[[str, nn.Parameter], bool] = lambda name, parameter: True
    data: Any = tinyplaces


def networks() -> Any:
    """The builders, loaded from their file so that training needs nothing else of the backend."""
    spec = importlib.util.spec_from_file_location("networks", BUILTIN / "networks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pictures(data: Any, cache: Path, split: str, count: int) -> tuple[np.ndarray, Tensor]:
    """Pictures uint8[count, SIZE, SIZE, 3], memory-mapped, and labels int64[count]."""
    prefix = "" if data is tinyplaces else data.__name__.rpartition(".")[2] + "-"
    path = cache / f"{prefix}{split}-{data.VERSION}-{count}.npy"
    if not path.exists():
        start, partial = time.time(), path.with_suffix(".partial")
        store = np.lib.format.open_memmap(partial, "w+", np.uint8, (count, data.SIZE, data.SIZE, 3))
        for i in range(count):
            store[i] = data.render(split, i).image
        store.flush()
        del store
        os.replace(partial, path)
        log.info("rendered %d pictures of split %s in %.0f s", count, split, time.time() - start)
    return np.load(path, mmap_mode="r"), torch.arange(count) % len(data.CLASSES)


def scaled(batch: np.ndarray) -> Tensor:
    """uint8[n, 96, 96, 3] to float32[n, 3, 96, 96] in -1..1, channels last in memory."""
    x = torch.from_numpy(np.array(batch, order="C")).permute(0, 3, 1, 2)
    return x.float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)


def mirrored_and_tinted(x: Tensor, generator: torch.Generator) -> Tensor:
    """Random mirroring and small changes of brightness, contrast and tint, per picture; in place."""
    n = len(x)
    flip = torch.rand(n, generator=generator) < 0.5
    x[flip] = x[flip].flip(3)
    gain = 1 + 0.12 * (2 * torch.rand(n, 1, 1, 1, generator=generator) - 1)
    tint = 0.06 * (2 * torch.rand(n, 3, 1, 1, generator=generator) - 1)
    return x.mul_(gain).add_(tint).clamp_(-1, 1)


@torch.inference_mode()
def accuracy(model: nn.Module, store: np.ndarray, labels: Tensor, bf16: bool) -> tuple[float, list[float]]:
    """Share of correct classes, overall and per class."""
    model.eval()
    guesses = []
    for i in range(0, len(store), 100):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            guesses.append(model(scaled(store[i : i + 100])).logits.float().argmax(1))
    hit = torch.cat(guesses) == labels
    return hit.float().mean().item(), [hit[labels == k].float().mean().item() for k in range(int(labels.max()) + 1)]


def optimiser_of(recipe: Recipe, model: nn.Module, lr: float) -> torch.optim.Optimizer:
    """AdamW, with weight decay where the recipe wants it."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        groups[recipe.decays(name, parameter)].append(parameter)
    return torch.optim.AdamW([{"params": p, "weight_decay": 0.05 if decay else 0.0} for decay, p in groups.items() if p], lr=lr)


def train(recipe: Recipe, args: argparse.Namespace) -> tuple[nn.Module, float]:
    """Train from the newest checkpoint, or from the seed; the network, and the seconds that all its epochs took."""
    torch.manual_seed(args.seed)
    store, labels = pictures(recipe.data, args.cache, "train", args.images)
    held, held_labels = pictures(recipe.data, args.cache, "val", 1200)
    if args.permuted:
        labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(args.seed))]
    model = recipe.build(recipe.configuration()).to(memory_format=torch.channels_last)
    optimiser = optimiser_of(recipe, model, args.lr)
    steps = len(store) // args.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, args.lr, total_steps=steps * args.epochs, pct_start=recipe.warm)
    checkpoint = args.cache / f"{recipe.name}-{recipe.data.VERSION}-{args.images}-{args.epochs}-{args.seed}.pt"
    first, taken = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        first, taken = state["epoch"], state["seconds"]
        log.info("resuming after epoch %d", first)
    else:
        name = recipe.data.__name__.rpartition(".")[2]
        log.info("%s version %s, %d pictures, %d epochs, batch %d, lr %g, seed %d, bfloat16 autocast %s, %d threads, "
                 "%d parameters", name, recipe.data.VERSION, args.images, args.epochs, args.batch, args.lr, args.seed, args.bf16,
                 torch.get_num_threads(), sum(p.numel() for p in model.parameters()))  # fmt: skip
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.0 if args.permuted else 0.05)  # labels by lot are learnt by heart
    for epoch in range(first, args.epochs):
        # Order and augmentation follow from seed and epoch alone, so that a resumed run is the same run.
        generator = torch.Generator().manual_seed(args.seed * 1000 + epoch)
        order = torch.randperm(len(store), generator=generator)[: steps * args.batch].view(steps, args.batch)
        model.train()
        start, total, right = time.time(), 0.0, 0
        for step, drawn in enumerate(order):
            rows = drawn.sort().values
            x, y = recipe.augmented(scaled(store[rows.numpy()]), generator), labels[rows]
            with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
                logits = recipe.logits(model, x, generator, args.epochs - epoch).float()
            loss = loss_of(logits, y)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            if recipe.clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimiser.step()
            schedule.step()
            total += loss.item()
            right += (logits.argmax(1) == y).sum().item()
            if step % 50 == 49:
                log.info("epoch %d step %d/%d loss %.4f", epoch + 1, step + 1, steps, total / (step + 1))
        seconds = time.time() - start
        taken += seconds
        score, _ = accuracy(model, held, held_labels, args.bf16)
        log.info("epoch %d/%d loss %.4f train accuracy %.4f val accuracy %.4f (%d pictures) %.0f s, %.0f pictures/s",
                 epoch + 1, args.epochs, total / steps, right / order.numel(), score, len(held), seconds,
                 order.numel() / seconds)  # fmt: skip
        state = {
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "schedule": schedule.state_dict(),
            "epoch": epoch + 1,
            "seconds": taken,
        }
        torch.save(state, checkpoint.with_suffix(".partial"))
        os.replace(checkpoint.with_suffix(".partial"), checkpoint)
    return model, taken


def export(recipe: Recipe, model: nn.Module, out: Path) -> None:
    """Write float16 weights under their Hugging Face names, the preprocessing and, last, the configuration."""
    out.mkdir(parents=True, exist_ok=True)
    state = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in model.state_dict().items()}
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    processor = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": recipe.data.SIZE, "width": recipe.data.SIZE},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_convert_rgb": True,
    }
    (out / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n")
    # Half precision is for the file; the network is meant to run in float32.
    config = recipe.configuration().to_dict() | {"architectures": [recipe.architecture], "dtype": "float32"}
    config.pop("_name_or_path", None)
    (out / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    log.info("exported %d bytes of weights", (out / "model.safetensors").stat().st_size)


def evaluate(recipe: Recipe, out: Path, cache: Path, count: int) -> tuple[float, list[float]]:
    """Accuracy of the exported file, loaded back as float32, on the split "test": overall and per class."""
    model = recipe.build(json.loads((out / "config.json").read_text()))
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load_file(out / "model.safetensors").items()})
    store, labels = pictures(recipe.data, cache, "test", count)
    overall, per_class = accuracy(model.to(memory_format=torch.channels_last), store, labels, bf16=False)
    log.info("test accuracy of the exported weights %.4f (%d pictures)", overall, count)
    for name, value in zip(recipe.data.CLASSES, per_class, strict=True):
        log.info("  %-14s %.4f", name, value)
    return overall, per_class


def main(recipe: Recipe) -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=recipe.about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=BUILTIN / recipe.name, help="folder of the exported model")
    parser.add_argument("--images", type=int, default=recipe.defaults["images"])
    parser.add_argument("--epochs", type=int, default=recipe.defaults["epochs"])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=recipe.defaults["lr"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--test", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--permuted", action="store_true", help="labels drawn by lot, learnt by heart")
    parser.add_argument("--only-evaluate", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.cache.mkdir(parents=True, exist_ok=True)
    handlers = [logging.StreamHandler(), logging.FileHandler(ROOT / "training" / f"{recipe.name.replace('-', '_')}.log")]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    if args.only_evaluate:
        evaluate(recipe, args.out, args.cache, args.test)
        return
    model, seconds = train(recipe, args)
    export(recipe, model, args.out)
    overall, per_class = evaluate(recipe, args.out, args.cache, args.test)
    if recipe.card is not None:
        parameters, size = sum(p.numel() for p in model.parameters()), (args.out / "model.safetensors").stat().st_size
        outcome = Outcome(overall, per_class, args.test, parameters, size, seconds)
        (args.out / "README.md").write_text(recipe.card(outcome, args), encoding="utf-8")
