"""Train, evaluate and export pycode-gpt, the small GPT-2 that ships with Microtome.

    python training/pycode_gpt.py --cache CACHE --steps 3000 --seed 0

Matrices inside the blocks are trained by Muon, everything else by AdamW. How text is read, how the run is resumed and what is
measured is told in ``training/pycode.py``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from pycode import END, Module, Outcome, Recipe, main
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

VOCABULARY, WINDOW = 4096, 256


def tokenizer(modules: list[Module], out: Path) -> Tokenizer:
    """Byte-level BPE of the training text; made once, then read from ``out``."""
    path = out / "tokenizer.json"
    if not path.exists():
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        made.train_from_iterator(
            [m.text for m in modules],
            trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=[END], initial_alphabet=alphabet, show_progress=False),
        )
        made.post_processor = processors.TemplateProcessing(single=f"{END} $A", special_tokens=[(END, made.token_to_id(END))])
        made.save(str(path))
        kept = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": WINDOW, "bos_token": END, "eos_token": END}
        (out / "tokenizer_config.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return Tokenizer.from_file(str(path))


def configuration(made: Tokenizer) -> GPT2Config:
    """Architecture: 6 blocks of 6 heads, width 192, 256 positions, 3.5 M parameters."""
    end = made.token_to_id(END)
    return GPT2Config(
        vocab_size=made.get_vocab_size(), n_positions=WINDOW, n_embd=192, n_layer=6, n_head=6, bos_token_id=end, eos_token_id=end,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip


def optimisers(model: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside blocks, AdamW for embeddings, norms and biases."""
    inside = [p for name, p in model.named_parameters() if p.ndim == 2 and ".h." in name]
    chosen = {id(p) for p in inside}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(inside, lr=lr, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    return model(ids, use_cache=False).logits


def card(outcome: Outcome, args: argparse.Namespace) -> str:
    """The model card, with what was measured."""
    written = "\n".join(f"Prompt `{prompt!r}`:\n\n```text\n{prompt}{text}\n```\n" for prompt, text in outcome.samples)
    return f"""\
# pycode-gpt

A small GPT-2 that continues Python source. It ships with Microtome, so that a language model can be looked into before anything
is installed or downloaded.

| | |
|---|---|
| Task | next token of Python source |
| Architecture | GPT-2, 6 blocks of 6 heads, width 192, feed-forward width 768, tied embeddings, {outcome.parameters:,} parameters |
| Tokens | byte-level BPE, {VOCABULARY:,} tokens, made from the training text; at most {WINDOW} positions |
| Weights | `model.safetensors`, float16, {outcome.bytes:,} bytes; meant to be loaded as float32 |
| Data | `pycode`, split `train`: {outcome.read:,} bytes of the standard library, identity `{outcome.corpus[:16]}` |

A plain `GPT2LMHeadModel`; any loader of the Hugging Face format reads it.

## Training

    python training/pycode_gpt.py --cache CACHE --steps {args.steps} --seed {args.seed}

Seed {args.seed}, {args.steps:,} steps of {args.batch} windows of {args.window} tokens ({args.steps * args.batch * args.window:,} tokens),
Muon on the matrices inside blocks and AdamW on everything else, learning rate {args.lr:g}, level and then falling. On {args.threads} CPU
threads in {"bfloat16 autocast" if args.bf16 else "float32"} it took {outcome.seconds / 60:.0f} minutes beside other work. The log is
`training/pycode_gpt.log`.

## Held-out loss

On {outcome.tokens:,} tokens of the split `test` (modules that were not trained on), in whole windows side by side, with the exported
weights loaded back as float32: **{outcome.loss:.3f} nats per token**, {outcome.bits_per_byte:.3f} bits per byte, next token right in
{outcome.accuracy:.1%}. A guess without knowledge costs {torch.tensor(float(VOCABULARY)).log().item():.2f} nats.

## Samples

Drawn at temperature 0.7, seed 0, not chosen.

{written}
## Limits

- It knows the standard library of one version of Python and its style, and little else.
- Modules of the library repeat each other (licences, idioms), so held-out text is not wholly unseen.
- It is far too small to write working programs.
- Retraining repeats the order of the text exactly, but floating-point sums may differ between machines.
"""


RECIPE = Recipe(
    name="pycode-gpt",
    about=__doc__,
    architecture="GPT2LMHeadModel",
    tokenizer=tokenizer,
    configuration=configuration,
    build=GPT2LMHeadModel,
    logits=logits,
    optimisers=optimisers,
    card=card,
    defaults={"steps": 3000, "batch": 16, "window": WINDOW, "lr": 2e-3},
)

if __name__ == "__main__":
    main(RECIPE)
