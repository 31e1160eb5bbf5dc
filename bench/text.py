"""What it costs to record every neuron of a language model: the survey over the bare forward pass, at the size of GPT-2.

    python bench/text.py [--json] [--quick]

A GPT-2 of 12 blocks and 3,072 neurons each with random weights reads random tokens; both sides read the same batches, and neither
computes the map to the vocabulary, which a survey does not need. The survey gives moments, quantiles and the strongest texts, with their
activations, of all 36,864 neurons; tokenising is part of it. Outside: loading, and writing the results. Its answers are compared with
activations that were kept before a time is printed.

Then a file of 100 MB is surveyed from end to end, in a process of its own, and one of a fifth of it: memory must not grow with the file.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import arguments, document, paired, peak_megabytes, ratio, report
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel

from microtome.capture.arithmetic.compiled import Compiled
from microtome.capture.passing import pass_by
from microtome.capture.run import BATCH
from microtome.core.context import SilentContext
from microtome.methods.registry import get_method
from microtome.models.text import TextModel
from microtome.models.tokens import TextTokenizer
from microtome.probes import TextSet
from microtome.probes.texts import TextFiles

LENGTH, TEXTS_OF_A_MILLION, KEPT = 128, 7813, 9
WORDS = 5000


class Words(TextSet):
    """Texts of random words, one token each."""

    source, hash, kind, classes, concepts, reports, bytes = "bench:words", "", "texts", (), (), (), 0

    def __init__(self, count: int, length: int) -> None:
        drawn = np.random.default_rng(0).integers(1, WORDS, (count, length))
        self._texts = [" ".join(f"w{i}" for i in row) for row in drawn]

    def __len__(self) -> int:
        return len(self._texts)

    def text(self, index: int) -> str:
        return self._texts[index]

    def label(self, index: int) -> None:
        return None

    def name(self, index: int) -> str:
        return str(index)


def gpt2(**shape: int) -> TextModel:
    """The shapes of the smallest GPT-2, its own vocabulary of 50,257 included, unless ``shape`` says otherwise."""
    torch.manual_seed(0)
    vocabulary = {"<begin>": 0, **{f"w{i}": i for i in range(1, WORDS)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<begin>"))  # noqa: S106 a token of text
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    config = GPT2Config(n_positions=256, bos_token_id=0, eos_token_id=0, **shape)
    return TextModel(
        source="bench", network=GPT2LMHeadModel(config), tokenizer=TextTokenizer(tokenizer.to_str(), 256, 0), task="causal", classes=[],
        family="gpt2", hash="", bytes=0, config=config.to_dict(),
    )  # fmt: skip


def stream(megabytes: int) -> dict[str, float]:
    """Survey a file of so many million bytes with a small model: texts, seconds, and the peak of this process's memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "corpus.txt"
        line = np.random.default_rng(0).integers(1, WORDS, (10_000, 12))
        block = "".join(" ".join(f"w{i}" for i in row) + "\n" for row in line).encode()
        with path.open("wb") as file:
            for _ in range(megabytes * 1_000_000 // len(block) + 1):
                file.write(block)
            file.truncate(megabytes * 1_000_000)
        start = time.perf_counter()
        probe = TextFiles(f"path:{path}", path)
        model = gpt2(n_layer=1, n_embd=32, n_head=2)
        method = get_method("survey")
        method.function(model=model, probe=probe, layers=None, params=method.parse({}), run=SilentContext())
        return {"texts": len(probe), "seconds": time.perf_counter() - start, "megabytes": peak_megabytes()}


def alone(megabytes: int) -> dict[str, float]:
    """:func:`stream` in a process that has done nothing else."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(stream, (megabytes,))


def main() -> None:
    options = arguments(__doc__ or "")
    # The first batches of a pass find their memory untouched and keep almost every text: enough of them, that it weighs as in a corpus.
    count, length, pairs = (4 * BATCH, LENGTH, 4) if options.quick else (8 * BATCH, LENGTH, 5)
    model, probe = gpt2(), Words(count, length)
    layers = [x for x in model.layers.values() if x.kind == "neurons"]
    inputs = [model.inputs([probe.text(i) for i in range(start, min(start + BATCH, count))]) for start in range(0, count, BATCH)]

    def forward() -> None:
        with torch.inference_mode():
            for batch in inputs:
                model.through(batch)

    def whole() -> dict[str, Any]:
        return pass_by(model, probe, layers, count, length, KEPT, Compiled(), SilentContext())[0]

    found = whole()  # warm: compiles the kernels
    forward()
    worst = 0.0
    with torch.inference_mode():
        for layer in (layers[0], layers[-1]):
            peaks, sums = [], []
            for batch in inputs:
                with model.record([layer]) as outputs:
                    model.forward(batch)
                maps = layer.canonical(outputs[layer.name])[:, :, 0]
                peaks.append(maps.amax(2))
                sums.append(maps.double().sum((0, 2)))
            strongest = torch.cat(peaks).topk(KEPT, dim=0).values.T.numpy()
            mean = (torch.stack(sums).sum(0) / (count * length)).numpy()
            passed = found[layer.name]
            worst = max(worst, float(np.abs(passed.leaders.values - strongest).max()))
            worst = max(worst, float(np.abs(passed.look.moments.finish().mean - mean).max()))
    if worst > 1e-4:
        sys.exit(f"answers differ from kept activations by {worst}; no time is printed")
    before = peak_megabytes()
    times = paired(whole, forward, pairs)
    tokens = count * length
    units = sum(x.units for x in layers)
    store = units * (KEPT * (LENGTH * 4 + 16) + 8 * 4 + 28 * 4)
    large, small = (10, 5) if options.quick else (100, 20)
    whole_file, part_of_it = alone(large), alone(small)
    memory = whole_file["megabytes"] / part_of_it["megabytes"]
    ratios = {"capture over forward": ratio(times["ratio"], 1.20), "memory for all of a corpus over a part of it": ratio([memory], 1.20)}
    figures = {
        "units": units, "tokens a pass": tokens, "forward tokens/s": round(tokens / min(times["b"])),
        "results of a million tokens, MB": round(store / 1e6), "kept in full they would be, GB": round(units * 4 * 1e6 / 1e9),
        "peak memory growth while it runs, MB": round(peak_megabytes() - before),
        "corpus, MB": large, "part of it, MB": small, "texts of the corpus": whole_file["texts"],
        "surveying it, s": round(whole_file["seconds"]), "peak memory for the corpus, MB": round(whole_file["megabytes"]),
        "peak memory for the part, MB": round(part_of_it["megabytes"]),
        "largest difference from kept activations": worst, "user seconds": round(resource.getrusage(resource.RUSAGE_SELF).ru_utime, 1),
    }  # fmt: skip
    report(document("text", ratios, figures, ("torch", "transformers", "tokenizers", "numba")), options.json)


if __name__ == "__main__":
    main()
