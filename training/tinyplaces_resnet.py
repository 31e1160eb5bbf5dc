"""Train, evaluate and export tinyplaces-resnet, the scene classifier that ships with Microtome.

    python training/tinyplaces_resnet.py --cache CACHE --images 18000 --epochs 9 --seed 0

Pictures are rendered once and kept as uint8 under ``--cache``, which belongs outside the repository, as do the
checkpoints written after every epoch; the same command resumes from the newest one. The log is appended to
``training/tinyplaces_resnet.log``. When the last epoch is done the weights are exported as float16 and the accuracy
of the exported file, loaded back as float32, is measured on the split "test".
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import ResNetConfig

ROOT = Path(__file__).resolve().parents[1]
BUILTIN = ROOT / "backend" / "microtome" / "models" / "builtin"
OUT = BUILTIN / "tinyplaces-resnet"
sys.path.insert(0, str(ROOT / "backend"))

from microtome.probes.tinyplaces import CLASSES, SIZE, VERSION, render  # noqa: E402

log = logging.getLogger("tinyplaces-resnet")


def networks():
    """The builders, loaded from their file so that training needs nothing else of the backend."""
    spec = importlib.util.spec_from_file_location("networks", BUILTIN / "networks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def configuration() -> ResNetConfig:
    """Architecture: 2.8 M parameters, maps of 48, 24, 12 and 6 pixels after the four stages."""
    return ResNetConfig(
        num_channels=3,
        embedding_size=32,
        hidden_sizes=[32, 64, 128, 256],
        depths=[2, 2, 2, 2],
        layer_type="basic",
        hidden_act="relu",
        downsample_in_first_stage=False,
        id2label=dict(enumerate(CLASSES)),
        label2id={name: i for i, name in enumerate(CLASSES)},
        stem_pooling=False,
        image_size=SIZE,
    )


def pictures(cache: Path, split: str, count: int) -> tuple[np.ndarray, torch.Tensor]:
    """Pictures uint8[count, 96, 96, 3], memory-mapped, and labels int64[count]."""
    path = cache / f"{split}-{VERSION}-{count}.npy"
    if not path.exists():
        start, partial = time.time(), path.with_suffix(".partial")
        store = np.lib.format.open_memmap(partial, "w+", np.uint8, (count, SIZE, SIZE, 3))
        for i in range(count):
            store[i] = render(split, i).image
        store.flush()
        del store
        os.replace(partial, path)
        log.info("rendered %d pictures of split %s in %.0f s", count, split, time.time() - start)
    return np.load(path, mmap_mode="r"), torch.arange(count) % len(CLASSES)


def scaled(batch: np.ndarray) -> torch.Tensor:
    """uint8[n, 96, 96, 3] to float32[n, 3, 96, 96] in -1..1, channels last in memory."""
    x = torch.from_numpy(np.ascontiguousarray(batch)).permute(0, 3, 1, 2)
    return x.float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)


def augmented(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random mirroring and small changes of brightness, contrast and tint, per picture."""
    n = len(x)
    flip = torch.rand(n, generator=generator) < 0.5
    x[flip] = x[flip].flip(3)
    gain = 1 + 0.12 * (2 * torch.rand(n, 1, 1, 1, generator=generator) - 1)
    tint = 0.06 * (2 * torch.rand(n, 3, 1, 1, generator=generator) - 1)
    return x.mul_(gain).add_(tint).clamp_(-1, 1)


@torch.inference_mode()
def accuracy(model: nn.Module, store: np.ndarray, labels: torch.Tensor, bf16: bool) -> tuple[float, list[float]]:
    """Share of correct classes, overall and per class."""
    model.eval()
    guesses = []
    for i in range(0, len(store), 100):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            guesses.append(model(scaled(store[i : i + 100])).logits.float().argmax(1))
    hit = torch.cat(guesses) == labels
    return hit.float().mean().item(), [hit[labels == k].float().mean().item() for k in range(len(CLASSES))]


def train(args: argparse.Namespace) -> nn.Module:
    """Train from the newest checkpoint, or from the seed."""
    torch.manual_seed(args.seed)
    store, labels = pictures(args.cache, "train", args.images)
    held, held_labels = pictures(args.cache, "val", 1200)
    model = networks().build_tinyplaces_resnet(configuration()).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.05)
    steps = len(store) // args.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, args.lr, total_steps=steps * args.epochs, pct_start=0.25)
    checkpoint, first = args.cache / f"checkpoint-{VERSION}-{args.images}-{args.epochs}-{args.seed}.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        first = state["epoch"]
        log.info("resuming after epoch %d", first)
    else:
        log.info("tinyplaces version %s, %d pictures, %d epochs, batch %d, lr %g, seed %d, bfloat16 autocast %s, %d threads, "
                 "%d parameters", VERSION, args.images, args.epochs, args.batch, args.lr, args.seed, args.bf16,
                 torch.get_num_threads(), sum(p.numel() for p in model.parameters()))  # fmt: skip
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    for epoch in range(first, args.epochs):
        # Order and augmentation follow from seed and epoch alone, so that a resumed run is the same run.
        generator = torch.Generator().manual_seed(args.seed * 1000 + epoch)
        order = torch.randperm(len(store), generator=generator)[: steps * args.batch].view(steps, args.batch)
        model.train()
        start, total, right = time.time(), 0.0, 0
        for step, rows in enumerate(order):
            x = augmented(scaled(store[rows.sort().values.numpy()]), generator)
            y = labels[rows.sort().values]
            with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
                logits = model(x).logits.float()
            loss = loss_of(logits, y)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
            right += (logits.argmax(1) == y).sum().item()
            if step % 50 == 49:
                log.info("epoch %d step %d/%d loss %.4f", epoch + 1, step + 1, steps, total / (step + 1))
        seconds = time.time() - start
        score, _ = accuracy(model, held, held_labels, args.bf16)
        log.info("epoch %d/%d loss %.4f train accuracy %.4f val accuracy %.4f (%d pictures) %.0f s, %.0f pictures/s",
                 epoch + 1, args.epochs, total / steps, right / order.numel(), score, len(held), seconds,
                 order.numel() / seconds)  # fmt: skip
        state = {
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "schedule": schedule.state_dict(),
            "epoch": epoch + 1,
        }
        torch.save(state, checkpoint.with_suffix(".partial"))
        os.replace(checkpoint.with_suffix(".partial"), checkpoint)
    return model


def export(model: nn.Module) -> None:
    """Write float16 weights under their Hugging Face names, the configuration and the preprocessing."""
    OUT.mkdir(parents=True, exist_ok=True)
    state = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in model.state_dict().items()}
    save_file(state, OUT / "model.safetensors", metadata={"format": "pt"})
    config = configuration().to_dict()
    # Half precision is for the file; the network is meant to run in float32.
    config |= {"architectures": ["ResNetForImageClassification"], "stem_pooling": False, "dtype": "float32"}
    config.pop("_name_or_path", None)
    (OUT / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    processor = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": SIZE, "width": SIZE},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_convert_rgb": True,
    }
    (OUT / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n")
    log.info("exported %d bytes of weights", (OUT / "model.safetensors").stat().st_size)


def evaluate(cache: Path, count: int) -> None:
    """Accuracy of the exported file, loaded back as float32, on the split "test"."""
    model = networks().build_tinyplaces_resnet(json.loads((OUT / "config.json").read_text()))
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load_file(OUT / "model.safetensors").items()})
    store, labels = pictures(cache, "test", count)
    overall, per_class = accuracy(model.to(memory_format=torch.channels_last), store, labels, bf16=False)
    log.info("test accuracy of the exported weights %.4f (%d pictures)", overall, count)
    for name, value in zip(CLASSES, per_class, strict=True):
        log.info("  %-14s %.4f", name, value)


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--images", type=int, default=18000)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--test", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--only-evaluate", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.cache.mkdir(parents=True, exist_ok=True)
    handlers = [logging.StreamHandler(), logging.FileHandler(ROOT / "training" / "tinyplaces_resnet.log")]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    if not args.only_evaluate:
        export(train(args))
    evaluate(args.cache, args.test)


if __name__ == "__main__":
    main()
