"""Train, evaluate and export pycode-lstm, the small recurrent network that ships with Microtome.

    python training/pycode_lstm.py --cache CACHE --seed 0

It reads characters. Trained is the network of ``microtome.models.builtin.recurrent`` by ``torch.nn.LSTM``; what is exported and
measured is the same weights. How text is read, how the run is resumed and what is measured is told in ``training/pycode.py``.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from pycode import END, Module, Outcome, Recipe, main
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import nn

from microtome.models.builtin.recurrent import ARCHITECTURE, CharLSTM, CharLSTMConfig

OTHER = "<other>"
#: A character has a token if it occurs so often in the training text; texts are read up to so many characters.
FEWEST, POSITIONS = 100, 512
WINDOW = 256


def tokenizer(modules: list[Module], out: Path) -> Tokenizer:
    """One token a character; made once, then read from ``out``."""
    path = out / "tokenizer.json"
    if not path.exists():
        counts = Counter(c for m in modules for c in m.text)
        names = [END, OTHER, *sorted(c for c, n in counts.items() if n >= FEWEST)]
        made = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token=OTHER))
        made.pre_tokenizer, made.decoder = pre_tokenizers.Split("", "isolated"), decoders.Fuse()
        made.add_special_tokens([AddedToken(END, special=True, normalized=False)])
        made.post_processor = processors.TemplateProcessing(single=f"{END} $A", special_tokens=[(END, made.token_to_id(END))])
        made.save(str(path))
        kept = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": POSITIONS, "bos_token": END, "eos_token": END}
        (out / "tokenizer_config.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return Tokenizer.from_file(str(path))


def configuration(made: Tokenizer) -> CharLSTMConfig:
    """Two layers of 256 cells on embeddings of 64, 0.9 M parameters."""
    end = made.token_to_id(END)
    return CharLSTMConfig(vocab_size=made.get_vocab_size(), n_positions=POSITIONS, bos_token_id=end, eos_token_id=end)


def build(config: CharLSTMConfig) -> CharLSTM:
    """Forget gates begin open (Jozefowicz, Zaremba, Sutskever 2015)."""
    network = CharLSTM(config)
    for layer in network.stack:
        with torch.no_grad():
            layer.cells.bias_hh_l0[config.hidden_size : 2 * config.hidden_size] = 1.0
    return network


def optimisers(model: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    return [torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=0.0)]


def logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    return model.quick(ids)


def card(outcome: Outcome, args: argparse.Namespace) -> str:
    """The model card, with what was measured."""
    vocabulary = Tokenizer.from_file(str(args.out / "tokenizer.json")).get_vocab_size()
    written = "\n".join(f"Prompt `{prompt!r}`:\n\n```text\n{prompt}{text}\n```\n" for prompt, text in outcome.samples)
    return f"""\
# pycode-lstm

A small recurrent network that continues Python source character by character. It ships with Microtome, so that gates and cells can
be looked into before anything is installed or downloaded.

| | |
|---|---|
| Task | next character of Python source |
| Architecture | LSTM, 2 layers of 256 cells, embeddings of 64, output of its own weights, {outcome.parameters:,} parameters |
| Tokens | {vocabulary} characters that occur at least {FEWEST} times in the training text, `{OTHER}` and `{END}` among them; \
{POSITIONS} of a text are read |
| Weights | `model.safetensors`, float16, {outcome.bytes:,} bytes; meant to be loaded as float32 |
| Data | `pycode`, split `train`: {outcome.read:,} bytes of the standard library, identity `{outcome.corpus[:16]}` |

The architecture is Microtome's own (`microtome.models.builtin.recurrent`); the weights of each layer are those of a `torch.nn.LSTM`.

## Training

    python training/pycode_lstm.py --cache CACHE --steps {args.steps} --batch {args.batch} {"--bf16" if args.bf16 else "--no-bf16"} \
--seed {args.seed}

Seed {args.seed}, {args.steps:,} steps of {args.batch} windows of {args.window} characters ({args.steps * args.batch * args.window:,}
characters), AdamW, learning rate {args.lr:g}, level and then falling. On {args.threads} CPU threads in
{"bfloat16 autocast" if args.bf16 else "float32"} it took {outcome.seconds / 60:.0f} minutes beside other work. The log is
`training/pycode_lstm.log`.

## Held-out loss

On {outcome.tokens:,} characters of the split `test` (modules that were not trained on), in whole windows of {args.window} side by side,
with the exported weights loaded back as float32: **{outcome.loss:.3f} nats per character**, {outcome.bits_per_byte:.3f} bits per byte,
next character right in {outcome.accuracy:.1%}. A guess without knowledge costs {math.log(vocabulary):.2f} nats.

## Samples

Drawn at temperature 0.7, seed 0, not chosen.

{written}
## Limits

- It knows the standard library of one version of Python and its style, and little else.
- It was trained for minutes and has not converged; longer training would lower the loss.
- Trained on windows of {args.window} characters that begin anew; what lies further back it has never had to keep.
- Modules of the library repeat each other (licences, idioms), so held-out text is not wholly unseen.
- Retraining repeats the order of the text exactly, but floating-point sums may differ between machines.
"""


RECIPE = Recipe(
    name="pycode-lstm",
    about=__doc__,
    architecture=ARCHITECTURE,
    tokenizer=tokenizer,
    configuration=configuration,
    build=build,
    logits=logits,
    optimisers=optimisers,
    card=card,
    defaults={"steps": 1400, "batch": 32, "window": WINDOW, "lr": 4e-3},
)

if __name__ == "__main__":
    main(RECIPE)
