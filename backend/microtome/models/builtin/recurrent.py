"""A recurrent network that predicts the next token, with all that its cells do laid open.

A layer is an LSTM (Hochreiter, Schmidhuber 1997; forget gates: Gers, Schmidhuber, Cummins 2000), as ``torch.nn.LSTM`` has it::

    i, f, o = sigmoid(...)    g = tanh(...)    of W x[t] + V h[t-1] + b
    c[t] = f c[t-1] + i g     h[t] = o tanh(c[t])

Each of the six sequences [B, T, D] is the output of an identity module, so that it is recorded and changed like that of any other
module, once per pass and for all steps together. What a change reaches follows from that, and **is not everything**:

- the gates were computed from the hidden states as they are without any change: a change of one layer does not come back through
  ``V h[t-1]`` of the same layer;
- a changed gate or candidate changes the cell from that step on, through the cell's own memory;
- a changed cell changes the hidden state of the same step only: the cell that the next step starts from is the unchanged one;
- a changed hidden state changes what the next layer and the output see at that step, and from there on everything in the next layer.

So an ablation here answers what a unit gives to the layers above, not what the layer would have become without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear, pad

from microtome.core.errors import InvalidInput
from microtome.models.layers import Layer

ARCHITECTURE, FAMILY = "CharLSTMForCausalLM", "char-lstm"
#: Module -> kind of its layer; those of the second line are dissected unless chosen otherwise.
KINDS = {"input_gate": "gate", "forget_gate": "gate", "output_gate": "gate", "candidate": "candidate", "cell": "cell", "hidden": "hidden"}
DEFAULT = ("cell", "hidden")
_BOUNDS = {"vocab_size": 1_000_000, "embedding_size": 8192, "hidden_size": 8192, "num_hidden_layers": 64, "n_positions": 1_000_000}


@dataclass(frozen=True, slots=True)
class CharLSTMConfig:
    """What ``config.json`` says of the network; ``n_positions`` is only how much of a text is read."""

    vocab_size: int
    embedding_size: int = 64
    hidden_size: int = 256
    num_hidden_layers: int = 2
    n_positions: int = 512
    bos_token_id: int | None = None
    eos_token_id: int | None = None

    @classmethod
    def of(cls, config: Any) -> CharLSTMConfig:
        """From a configuration's mapping or object.

        Raises:
            InvalidInput: a size that is missing, no whole number or out of bounds.
        """
        known = config if isinstance(config, Mapping) else vars(config)
        for name, most in _BOUNDS.items():
            value = known.get(name)
            if not isinstance(value, int) or not 1 <= value <= most:
                raise InvalidInput(f"config.json: '{name}' of an LSTM must be 1 to {most:,}, not {str(value)[:40]}.", field="source")
        return cls(**{name: known.get(name) for name in cls.__dataclass_fields__})  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"model_type": FAMILY, "architectures": [ARCHITECTURE]}


@dataclass(frozen=True, slots=True)
class Predicted:
    """float [B, T, vocabulary]: of every token, what follows it."""

    logits: torch.Tensor


class OpenLSTM(nn.Module):
    """One layer. ``cells`` computes it; the rest says what went on, from the same weights."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.cells = nn.LSTM(inputs, units, batch_first=True)
        self.input_gate, self.forget_gate, self.output_gate = nn.Identity(), nn.Identity(), nn.Identity()
        self.candidate, self.cell, self.hidden = nn.Identity(), nn.Identity(), nn.Identity()

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """Hidden states [B, T, D] of inputs [B, T, E]."""
        undisturbed, _ = self.cells(given)
        before = pad(undisturbed[:, :-1], (0, 0, 1, 0))
        from_input, from_hidden, *biases = self.cells.all_weights[0]
        sums = linear(given, from_input, biases[0]) + linear(before, from_hidden, biases[1])
        i, f, g, o = sums.chunk(4, dim=-1)
        i, f, o = self.input_gate(i.sigmoid()), self.forget_gate(f.sigmoid()), self.output_gate(o.sigmoid())
        written = i * self.candidate(g.tanh())
        state, states = torch.zeros_like(written[:, 0]), []
        for t in range(written.shape[1]):
            state = f[:, t] * state + written[:, t]
            states.append(state)
        cell = self.cell(torch.stack(states, dim=1))
        return self.hidden(o * cell.tanh())


class CharLSTM(nn.Module):
    """Embedding, layers ``l0``, ``l1``, ..., and an output of its own weights."""

    def __init__(self, config: CharLSTMConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        for number in range(config.num_hidden_layers):
            self.add_module(f"l{number}", OpenLSTM(config.embedding_size if number == 0 else config.hidden_size, config.hidden_size))
        self.output = nn.Linear(config.hidden_size, config.vocab_size)

    @property
    def stack(self) -> list[OpenLSTM]:
        return [self.get_submodule(f"l{number}") for number in range(self.config.num_hidden_layers)]  # type: ignore[misc]

    def get_input_embeddings(self) -> nn.Module:
        return self.embedding

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, use_cache: bool = False) -> Predicted:
        """Logits, by way of all recorded sequences.

        Args:
            attention_mask: not needed: texts are filled up at their end, and nothing is read backwards. use_cache: ignored.
        """
        found = self.embedding(input_ids)
        for layer in self.stack:
            found = layer(found)
        return Predicted(self.output(found))

    def quick(self, input_ids: torch.Tensor) -> torch.Tensor:
        """The same logits [B, T, vocabulary] by ``torch.nn.LSTM`` alone, for training: nothing can be recorded or changed."""
        found = self.embedding(input_ids)
        for layer in self.stack:
            found, _ = layer.cells(found)
        return self.output(found)

    def find_layers(self, special: int, window: int) -> list[Layer]:
        """Six layers of each LSTM, in order of execution."""
        layers: list[Layer] = []
        for number in range(self.config.num_hidden_layers):
            for part, kind in KINDS.items():
                name = f"l{number}.{part}"
                at = (name, name, kind, self.config.hidden_size, 1, window)
                layers.append(Layer(*at, "sequence", special, part in DEFAULT, len(layers), 1))
        return layers


def build_char_lstm(config: Any) -> nn.Module:
    """Untrained network of a configuration, its mapping or its object."""
    return CharLSTM(config if isinstance(config, CharLSTMConfig) else CharLSTMConfig.of(config))
