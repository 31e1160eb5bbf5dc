"""What the training scripts of the built-in language models share: text, the loop with its checkpoints, export, evaluation.

Text is the split ``train`` of pycode (:mod:`microtome.probes.pycode`), joined in the order of its list with an end-of-text token
between modules. A step reads windows from places drawn from the seed and the number of the step, so that a resumed run is the same
run. Every window begins with the end-of-text token, as every text does later: a first token that says nothing is where attention
goes that has nowhere to go.

Checkpoints belong outside the repository (``--cache``); the log is appended to ``training/NAME.log``. When the last step is done the
weights are exported as float16, and the exported file, loaded back as float32, is measured on whole windows of the split ``test``.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

ROOT = Path(__file__).resolve().parents[1]
BUILTIN = ROOT / "backend" / "microtome" / "models" / "builtin"
sys.path.insert(0, str(ROOT / "backend"))

from microtome.core.keys import content_key  # noqa: E402
from microtome.probes.pycode.corpus import Module, read_modules  # noqa: E402

END = "<|endoftext|>"
log = logging.getLogger("training")


@dataclass(frozen=True)
class Outcome:
    """What a training came to: loss on held-out text in nats per token and bits per byte, samples, and what it took."""

    loss: float
    accuracy: float
    bits_per_byte: float
    tokens: int
    samples: list[tuple[str, str]]
    parameters: int
    bytes: int
    seconds: float
    corpus: str
    read: int


@dataclass(frozen=True)
class Recipe:
    """What differs between the networks.

    Attributes:
        name: folder of the built-in model.
        tokenizer: makes the tokenizer of the training text, and writes it to a folder.
        configuration: of the untrained network, by its vocabulary.
        build: untrained network of a configuration.
        logits: float [B, T, vocabulary] of ids [B, T].
        optimisers: those that train it, given the network and the largest learning rate; each is scheduled alike.
        card: text of the model card.
        defaults: of the command line: steps, batch, window, lr.
    """

    name: str
    about: str
    architecture: str
    tokenizer: Callable[[list[Module], Path], Any]
    configuration: Callable[[Any], Any]
    build: Callable[[Any], nn.Module]
    logits: Callable[[nn.Module, Tensor], Tensor]
    optimisers: Callable[[nn.Module, float], list[torch.optim.Optimizer]]
    card: Callable[[Outcome, argparse.Namespace], str]
    defaults: dict[str, Any]


def stream(modules: list[Module], tokenizer: Any, path: Path) -> Tensor:
    """Ids int32 of all modules in a row, an end-of-text token before each; kept at ``path``."""
    if not path.exists():
        end = tokenizer.token_to_id(END)
        ids: list[int] = []
        for module in modules:
            ids += [end, *tokenizer.encode(module.text, add_special_tokens=False).ids]
        torch.save(torch.tensor(ids, dtype=torch.int32), path)
    return torch.load(path, weights_only=True)


def begun(text: Tensor, end: int) -> tuple[Tensor, Tensor]:
    """Inputs and what follows each, int64 [n, length] both, of windows [n, length]: the end-of-text token, then the window."""
    first = torch.full((len(text), 1), end, dtype=torch.int64)
    return torch.cat([first, text[:, :-1].long()], 1), text.long()


def windows(ids: Tensor, count: int, length: int, seed: int) -> tuple[Tensor, Tensor]:
    """``count`` windows from random places, as :func:`begun` gives them. The text begins with the end-of-text token."""
    places = torch.randint(len(ids) - length, (count,), generator=torch.Generator().manual_seed(seed))
    return begun(torch.stack([ids[p : p + length] for p in places.tolist()]), int(ids[0]))


def rate(step: int, steps: int, warm: int) -> float:
    """Share of the largest learning rate: rising, level, then falling in a line over the last 40 % of the steps."""
    return min(1.0, (step + 1) / warm, max(0.02, (steps - step) / (0.4 * steps)))


@torch.inference_mode()
def measured(recipe: Recipe, model: nn.Module, ids: Tensor, window: int, most: int, bf16: bool) -> tuple[float, float, int]:
    """Loss in nats per token and accuracy over whole windows side by side, and the tokens that were predicted."""
    model.eval()
    count = min(most, len(ids) // window)
    x, y = begun(ids[: count * window].view(count, window), int(ids[0]))
    total, right = 0.0, 0
    for i in range(0, count, 16):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = recipe.logits(model, x[i : i + 16])
        total += cross_entropy(logits.float().flatten(0, 1), y[i : i + 16].flatten(), reduction="sum").item()
        right += int((logits.argmax(-1) == y[i : i + 16]).sum())
    return total / (count * window), right / (count * window), count * window


def train(recipe: Recipe, args: argparse.Namespace, tokenizer: Any, text: Tensor, held: Tensor) -> tuple[nn.Module, float]:
    """Train from the newest checkpoint, or from the seed; the network, and the seconds that all its steps took."""
    torch.manual_seed(args.seed)
    model = recipe.build(recipe.configuration(tokenizer))
    optimisers = recipe.optimisers(model, args.lr)
    largest = [[group["lr"] for group in o.param_groups] for o in optimisers]
    checkpoint = args.cache / f"{recipe.name}-{args.steps}-{args.batch}-{args.window}-{args.seed}.pt"
    first, taken = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for optimiser, kept in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        first, taken = state["step"], state["seconds"]
        log.info("resuming after step %d", first)
    else:
        log.info("%d steps of %d windows of %d tokens, lr %g, seed %d, bfloat16 autocast %s, %d threads, %d parameters, %d tokens of text",
                 args.steps, args.batch, args.window, args.lr, args.seed, args.bf16, torch.get_num_threads(),
                 sum(p.numel() for p in model.parameters()), len(text))  # fmt: skip
    start, total, since = time.time(), 0.0, first
    for step in range(first, args.steps):
        model.train()
        x, y = windows(text, args.batch, args.window, args.seed * 1_000_003 + step)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            logits = recipe.logits(model, x)
        loss = cross_entropy(logits.float().flatten(0, 1), y.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser, rates in zip(optimisers, largest, strict=True):
            for group, most in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = most * rate(step, args.steps, max(1, args.steps // 50))
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        total += loss.item()
        if (step + 1) % args.every == 0 or step + 1 == args.steps:
            seconds = time.time() - start
            taken += seconds
            score, share, _ = measured(recipe, model, held, args.window, 64, args.bf16)
            log.info("step %d/%d loss %.4f val loss %.4f accuracy %.4f, %.0f tokens/s", step + 1, args.steps, total / (step + 1 - since),
                     score, share, (step + 1 - since) * args.batch * args.window / seconds)  # fmt: skip
            kept = {"model": model.state_dict(), "optimisers": [o.state_dict() for o in optimisers], "step": step + 1, "seconds": taken}
            torch.save(kept, checkpoint.with_suffix(".partial"))
            os.replace(checkpoint.with_suffix(".partial"), checkpoint)
            start, total, since = time.time(), 0.0, step + 1
    return model, taken


def export(recipe: Recipe, model: nn.Module, tokenizer: Any, out: Path) -> None:
    """Write float16 weights under their Hugging Face names and, last, the configuration. The tokenizer is there already."""
    tied = {"lm_head.weight"} if getattr(model.config, "tie_word_embeddings", False) else set()
    state = {k: v.half().contiguous() for k, v in model.state_dict().items() if k not in tied}
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    config = recipe.configuration(tokenizer).to_dict() | {"architectures": [recipe.architecture], "dtype": "float32"}
    config.pop("_name_or_path", None)
    (out / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    log.info("exported %d bytes of weights", (out / "model.safetensors").stat().st_size)


@torch.inference_mode()
def sample(recipe: Recipe, model: nn.Module, tokenizer: Any, prompt: str, count: int, window: int, seed: int = 0) -> str:
    """What the network writes after ``prompt``, drawn at temperature 0.7."""
    ids = torch.tensor([[tokenizer.token_to_id(END), *tokenizer.encode(prompt, add_special_tokens=False).ids]])
    start, generator = ids.shape[1], torch.Generator().manual_seed(seed)
    for _ in range(count):
        chances = (recipe.logits(model, ids[:, :window])[0, -1].float() / 0.7).softmax(-1)
        ids = torch.cat([ids, torch.multinomial(chances, 1, generator=generator)[None]], 1)
    return tokenizer.decode(ids[0, start:].tolist())


PROMPTS = ("def __init__(self, ", "    for name in ", "import os\nimport ", "class Queue:\n    ")


def main(recipe: Recipe) -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=recipe.about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=BUILTIN / recipe.name, help="folder of the exported model")
    for name in ("steps", "batch", "window"):
        parser.add_argument(f"--{name}", type=int, default=recipe.defaults[name])
    parser.add_argument("--lr", type=float, default=recipe.defaults["lr"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=100, help="steps between checkpoints")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.cache.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)
    handlers = [logging.StreamHandler(), logging.FileHandler(ROOT / "training" / f"{recipe.name.replace('-', '_')}.log")]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    splits = {split: read_modules(split)[0] for split in ("train", "val", "test")}
    corpus = content_key({"modules": [[m.path, m.text] for m in splits["train"]]})
    log.info("Python %s, %d modules of train, %d bytes, identity %s", sys.version.split()[0], len(splits["train"]),
             sum(len(m.text.encode()) for m in splits["train"]), corpus[:16])  # fmt: skip
    tokenizer = recipe.tokenizer(splits["train"], args.out)
    ids = {s: stream(m, tokenizer, args.cache / f"{recipe.name}-{s}.ids") for s, m in splits.items()}
    model, seconds = train(recipe, args, tokenizer, ids["train"], ids["val"])
    export(recipe, model, tokenizer, args.out)
    loaded = recipe.build(recipe.configuration(tokenizer))
    loaded.load_state_dict({k: v.float() for k, v in load_file(args.out / "model.safetensors").items()}, strict=False)
    loaded.eval()
    loss, accuracy, tokens = measured(recipe, loaded, ids["test"], args.window, 1 << 30, bf16=False)
    each = sum(len(m.text.encode()) for m in splits["test"]) / len(ids["test"])
    log.info("test loss of the exported weights %.4f nats per token, accuracy %.4f (%d tokens)", loss, accuracy, tokens)
    samples = [(p, sample(recipe, loaded, tokenizer, p, args.window // 4, args.window)) for p in PROMPTS]
    outcome = Outcome(
        loss, accuracy, loss / math.log(2) / each, tokens, samples, sum(p.numel() for p in loaded.parameters()),
        (args.out / "model.safetensors").stat().st_size, seconds, corpus, sum(len(m.text.encode()) for m in splits["train"]),
    )  # fmt: skip
    (args.out / "README.md").write_text(recipe.card(outcome, args), encoding="utf-8")
