"""Micro models of every family and a micro probe set, made on the spot from fixed seeds."""

from __future__ import annotations

import json
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from microtome.probes import Concept, TextSet
from microtome.probes.packed import packed

ROOT = Path(tempfile.mkdtemp(prefix="microtome-micro-"))
SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
FAMILIES = ("resnet", "vit", "mobilenet", "convnext")
CLASSES = ("disc", "square", "stripe")
#: Families of models that read; the first predicts the next token, the second fills in masked ones, the third classifies.
TEXT_FAMILIES = ("gpt2", "bert", "distilbert", "mamba", "encoder")
TEXTS = (
    "def add(left, right):\n    return left + right\n",
    "for name in names:\n    print(name)\n",
    "import os\nclass Queue(object):\n    pass\n",
    "# a comment about nothing\nvalue = 0\n",
    "try:\n    run(1, 2)\nexcept ValueError as error:\n    raise\n",
    "x = [i for i in range(10)]\n",
    "while True:\n    break\n",
    "text = 'hällo wörld'\n",
    "def sub(left, right):\n    return left - right\n",
    "print('done', file=out)\n",
    "a = b = c\n",
    "if left and right:\n    left, right = right, left\n",
)


def _network(family: str, size: int) -> Any:
    import transformers as t

    labels = {"id2label": dict(enumerate(CLASSES)), "label2id": {c: i for i, c in enumerate(CLASSES)}}
    if family == "resnet":
        c = t.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 1, 2], layer_type="basic", image_size=size, **labels
        )
        return t.ResNetForImageClassification(c)
    if family == "vit":
        c = t.ViTConfig(
            hidden_size=24, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, image_size=size, patch_size=8, **labels
        )
        return t.ViTForImageClassification(c)
    if family == "mobilenet":
        return t.MobileNetV2ForImageClassification(
            t.MobileNetV2Config(image_size=size, depth_multiplier=0.35, min_depth=4, depth_divisible_by=4, **labels)
        )
    c = t.ConvNextConfig(hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 2, 1], image_size=size, **labels)
    return t.ConvNextForImageClassification(c)


def _processor(family: str, size: int) -> Any:
    import transformers as t

    if family == "vit":
        return t.ViTImageProcessor(size={"height": size, "width": size})
    if family == "mobilenet":
        return t.MobileNetV2ImageProcessor(size={"shortest_edge": size + 8}, crop_size={"height": size, "width": size})
    return t.ConvNextImageProcessor(size={"shortest_edge": size}, crop_pct=0.875)


@lru_cache
def model_folder(family: str, processor: bool = True, size: int = 64, seed: int = 0) -> Path:
    """A saved random classifier, as ``transformers`` writes it."""
    folder = ROOT / f"{family}-{size}-{seed}{'' if processor else '-bare'}"
    if not folder.exists():
        torch.manual_seed(seed)
        _network(family, size).save_pretrained(folder)
        if processor:
            _processor(family, size).save_pretrained(folder)
    return folder


@lru_cache
def load(family: str, processor: bool = True, size: int = 64) -> Any:
    from microtome.models import load_model

    return load_model(f"path:{model_folder(family, processor, size)}")


def write_probe(folder: Path, count: int = 12, size: tuple[int, int] = (72, 60), seed: int = 0) -> Path:
    """A segmentation folder: ``val/``, ``val_labels/``, ``concepts.json`` with four concepts and an ignored value."""
    generator = np.random.default_rng(seed)
    (folder / "val").mkdir(parents=True, exist_ok=True)
    (folder / "val_labels").mkdir(exist_ok=True)
    named = [("sky", "object"), ("disc", "object"), ("square", "part"), ("edge", "material")]
    concepts = [{"index": i, "name": n, "category": c} for i, (n, c) in enumerate(named)]
    (folder / "concepts.json").write_text(json.dumps({"concepts": concepts, "ignore": [9]}))
    height, width = size
    y, x = np.mgrid[:height, :width]
    for i in range(count):
        labels = np.zeros(size, np.uint8)
        cy, cx, r = generator.integers(15, height - 15), generator.integers(15, width - 15), generator.integers(6, 14)
        labels[(y - cy) ** 2 + (x - cx) ** 2 < r * r] = 1
        top, left = generator.integers(0, height - 20), generator.integers(0, width - 20)
        labels[top : top + 14, left : left + 10] = 2
        labels[-4:] = 3
        labels[:3, :5] = 9
        colours = generator.integers(0, 255, (10, 3))
        image = (colours[labels] * 0.8 + generator.integers(0, 50, (*size, 3))).clip(0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / "val" / f"{i:03d}.png")
        Image.fromarray(labels).save(folder / "val_labels" / f"{i:03d}.png")
    return folder


@lru_cache
def probe(count: int = 12) -> Any:
    from microtome.probes import open_probe

    return open_probe(f"path:{write_probe(ROOT / f'probe-{count}', count)}#val")


def tokenizer(kind: str = "byte-level") -> Any:
    """A small tokenizer made from the micro texts: byte-level as GPT-2's, WordPiece as BERT's, SentencePiece as Llama's, or characters."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    if kind == "byte-level":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer: Any = trainers.BpeTrainer(vocab_size=320, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False)
        made.train_from_iterator(TEXTS, trainer)
        made.post_processor = processors.ByteLevel(trim_offsets=True)
    elif kind == "wordpiece":
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        made.decoder = decoders.WordPiece()
        names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        made.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=160, special_tokens=names, show_progress=False))
        ends = [(n, made.token_to_id(n)) for n in ("[CLS]", "[SEP]")]
        made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    elif kind == "sentencepiece":  # a letter stands for the space, one is put before the text, bytes stand in for unknown letters
        made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
        names = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256))]
        made.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=400, special_tokens=names, show_progress=False))
        made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    else:
        vocabulary = {c: i for i, c in enumerate(["<other>", *sorted({c for text in TEXTS for c in text})])}
        made = Tokenizer(models.WordLevel(vocabulary, unk_token="<other>"))
        made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
        made.decoder = decoders.Fuse()
    return made


def _text_network(family: str, vocabulary: int) -> Any:
    import transformers as t

    if family == "gpt2":
        c = t.GPT2Config(vocab_size=vocabulary, n_positions=48, n_embd=24, n_layer=3, n_head=3, bos_token_id=0, eos_token_id=0)
        return t.GPT2LMHeadModel(c)
    if family == "mamba":
        return t.MambaForCausalLM(t.MambaConfig(vocab_size=vocabulary, hidden_size=24, state_size=4, num_hidden_layers=3, time_step_rank=3))
    small: dict[str, Any] = {"vocab_size": vocabulary, "max_position_embeddings": 48}
    if family in ("bert", "encoder"):
        sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 3}
        return (t.BertForMaskedLM if family == "bert" else t.BertModel)(t.BertConfig(**sizes, **small))
    assert family == "distilbert", f"there is no micro model of the family {family}"
    labels = {"id2label": {0: "code", 1: "prose"}, "label2id": {"code": 0, "prose": 1}}
    return t.DistilBertForSequenceClassification(t.DistilBertConfig(dim=24, hidden_dim=40, n_layers=3, n_heads=3, **small, **labels))


@lru_cache
def text_folder(family: str, seed: int = 0) -> Path:
    """A saved random model that reads, with its tokenizer."""
    folder = ROOT / f"text-{family}-{seed}"
    if not folder.exists():
        made = tokenizer("byte-level" if family in ("gpt2", "mamba") else "wordpiece")
        torch.manual_seed(seed)
        _text_network(family, made.get_vocab_size()).save_pretrained(folder)
        made.save(str(folder / "tokenizer.json"))
    return folder


@lru_cache
def load_text(family: str) -> Any:
    from microtome.models import load_model

    return load_model(f"path:{text_folder(family)}")


class MicroTexts(TextSet):
    """The micro texts with token masks of three concepts: a word, any digit or bracket, what is indented."""

    kind, source, hash = "texts", "micro:texts", "0" * 63 + "1"
    classes = ("code", "prose")
    concepts = (Concept("word", "lexical", 0), Concept("mark", "lexical", 1), Concept("inside", "scope", 2))
    reports, bytes = (), 500

    def __len__(self) -> int:
        return len(TEXTS)

    def text(self, index: int) -> str:
        return TEXTS[index]

    def label(self, index: int) -> int:
        return index % 2

    def name(self, index: int) -> str:
        return f"text {index}"

    def labels(self, index: int) -> Any:
        text = TEXTS[index]
        kinds = np.array([[c.isalpha() for c in text], [c in "()[]0123456789" for c in text], [False] * len(text)])
        start = text.find("\n    ")
        if start >= 0:
            kinds[2, start + 1 :] = True
        return packed(kinds)


@lru_cache
def texts() -> Any:
    return MicroTexts()
