"""On which ways the answer came about: a graph of one forward pass."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from microtome.core.context import RunContext
from microtome.methods.answers import PLACE, place_of
from microtome.methods.circuits.flow import Flow
from microtome.methods.contract import Cost, MethodParams, method
from microtome.methods.language import inputs_of, names_of, prompt_tokens, text_model
from microtome.methods.lens.words import show
from microtome.models.layers import Layer
from microtome.models.model import Model
from microtome.models.readout import Tail
from microtome.results import Graph, Result, Scorecard


class Params(MethodParams):
    position: int = Field(-1, ge=-512, le=511, description=f"{PLACE}. The graph ends in its answer.")
    least: float = Field(0.02, ge=0.001, le=0.5, description="Smallest share of a state that is followed and drawn.")
    states: int = Field(48, ge=1, le=1000, description="States of the residual stream taken apart at most, those on the strongest ways.")
    neurons: int = Field(4, ge=0, le=50, description="Neurons drawn of each state at most.")
    words: int = Field(5, ge=1, le=20, description="Words at every node.")


@method(
    "information-flow",
    title="Flow of information",
    question="On which ways did the answer come about?",
    subjects=("model", "prompt"),
    modalities=("text",),
    returns=(Graph, Scorecard),
    params=Params,
    example_params=Params(states=4, words=2),
    interactive=True,
    cite="Katz, Belinkov 2023, arXiv:2305.13417; Ferrando, Voita 2024, arXiv:2403.00824",
    cost=Cost(passes=4),
)
def information_flow(*, model: Model, prompt: str, params: Params, run: RunContext) -> dict[str, Result]:
    """A graph of one forward pass, from the answer back to the tokens, through heads, neurons and states of the residual stream.

    A state is the sum of the state before its block, of what every head brings from every token, of what every neuron writes, and of
    biases. The weight of an edge is a part's share in the state, z . y / |y|^2 for part z of state y, with the mean over coordinates
    taken off where the final norm does so. The shares of a state add up to 1, and what is not drawn of them stands in one node, 'rest';
    a part that goes against the whole has a negative share. From the answer back, the state that the strongest way (product of shares)
    leads to is taken apart next. Words are the tokens that a state (by the logit lens) or a part (by the final norm and the
    unembedding) speaks for most. The first of the cited papers draws such graphs with words; the second finds ways from the end by the
    share of each part, which it measures by distances in the first norm: this share is additive instead.

    A share says what a state is made of, not what would become of the answer without a part: ask that of an intervention.

    Raises:
        InvalidInput: the model does not predict the next token, its residual stream is no sum of what its parts write, or no such place.
    """
    reader = text_model(model, "causal")
    tokens = prompt_tokens(reader, prompt)
    place = place_of(tokens, params.position)
    run.check()
    flow = Flow(reader, inputs_of(reader, [tokens]))
    found = _Ways(flow, params)
    found.follow(len(flow.blocks), place, run)
    names = names_of(reader, tokens)
    nodes, columns = found.nodes(names, params.words, place)
    labels = [reader.layers[b.path].label for b in flow.blocks]
    answer = next(node for node in nodes if node.kind == "output")
    facts: dict[str, str | int | float | bool | None] = {
        "place": place, "token": names[place], "answer": answer.words[0], "probability": answer.value,
        "states taken apart": found.expanded, "all states within the limits": not found.left, "largest gap of a sum": found.gap,
    }  # fmt: skip
    return {
        "graph": Graph(
            title=f"How '{answer.words[0]}' came about behind '{names[place]}'",
            note="Weights are shares of the state that an edge leads to; those of a state add up to 1.",
            nodes=nodes, rows=["embeddings", *(row for label in labels for row in (f"{label} parts", label)), "answer"], columns=columns,
            quantity="share of the state", facts=facts,
            arrays={
                "source": np.array([found.keys[a] for a, _, _ in found.edges], np.int32),
                "target": np.array([found.keys[b] for _, b, _ in found.edges], np.int32),
                "weight": np.array([w for _, _, w in found.edges], np.float32),
            },
        ),
        "parts": Scorecard(
            title="Heads and neurons on the strongest ways", scores=found.strongest(names), facts=facts,
            note="Product of the shares on the strongest way from the part to the answer; negative where it goes against the whole.",
        ),
    }  # fmt: skip


#: What a node is: kind, level or block, unit, token.
Key = tuple[str, int, int, int]


@dataclass(slots=True)
class _Ways:
    """States followed back from one, strongest way first, with the edges between what was met."""

    flow: Flow
    params: Params
    keys: dict[Key, int] = field(default_factory=dict)
    edges: list[tuple[Key, Key, float]] = field(default_factory=list)
    #: Of every head and neuron met, the product of shares on its strongest way.
    ways: dict[Key, float] = field(default_factory=dict)
    expanded: int = 0
    gap: float = 0.0
    left: bool = False

    def follow(self, level: int, place: int, run: RunContext) -> None:
        heap = [(-1.0, level, place)]
        done: set[tuple[int, int]] = set()
        while heap:
            way, level, place = heapq.heappop(heap)
            if (level, place) in done:
                continue
            done.add((level, place))
            self._meet(("state", level, 0, place))
            if level == 0:
                continue
            if self.expanded == self.params.states:
                self.left = True
                continue
            run.check()
            self.expanded += 1
            for before, share in self._apart(level, place, -way):
                heapq.heappush(heap, (way * abs(share), level - 1, before))
            run.progress(self.expanded, self.params.states, "states")
        end = next(iter(self.keys))
        self._edge(end, ("answer", 0, 0, end[3]), 1.0)

    def _meet(self, key: Key) -> None:
        self.keys.setdefault(key, len(self.keys))

    def _edge(self, source: Key, target: Key, share: float) -> None:
        self._meet(source)
        self._meet(target)
        self.edges.append((source, target, share))

    def _apart(self, level: int, place: int, way: float) -> list[tuple[int, float]]:
        """Draw what a state is made of; returns the places of the states before it that go in, with their shares."""
        parts, number, least = self.flow.parts(level, place), level - 1, self.params.least
        state: Key = ("state", level, 0, place)
        self.gap = max(self.gap, abs(parts.total - 1))
        before: dict[int, float] = {}
        drawn = 0.0

        def reads(at: int, part: Key, share: float) -> None:
            self._edge(("state", number, 0, at), part, share)
            before[at] = max(before.get(at, 0.0), abs(share))

        if abs(parts.residual) >= least:
            reads(place, state, parts.residual)
            drawn += parts.residual
        sums = parts.heads.sum(1)
        for head in torch.nonzero((sums.abs() >= least) | (parts.heads.abs() >= least).any(1)).flatten().tolist():
            key: Key = ("head", number, head, place)
            self._edge(key, state, float(sums[head]))
            self.ways[key] = way * float(sums[head])
            drawn += float(sums[head])
            for at in torch.nonzero(parts.heads[head].abs() >= least).flatten().tolist():
                reads(at, key, float(parts.heads[head, at]))
        for neuron in parts.neurons.abs().topk(min(self.params.neurons, len(parts.neurons))).indices.tolist():
            share = float(parts.neurons[neuron])
            if abs(share) >= least:
                key = ("neuron", number, neuron, place)
                self._edge(key, state, share)
                self.ways[key] = way * share
                drawn += share
                reads(place, key, share)
        if abs(parts.total - drawn) > 1e-6:
            self._edge(("rest", number, 0, place), state, parts.total - drawn)
        return list(before.items())

    def nodes(self, names: list[str], words: int, place: int) -> tuple[list[Graph.Node], list[str]]:
        """The nodes in order of their keys, and the tokens whose columns they stand in."""
        model, blocks = self.flow.model, self.flow.blocks
        used = sorted({key[3] for key in self.keys})
        labels = [model.layers[b.path].label for b in blocks]
        seen = self._seen()
        nodes = []
        for key in self.keys:
            kind, number, unit, at = key
            logits, value = seen.get(key, (None, None))
            tops = [] if logits is None else [show(model, int(i)) for i in logits.topk(min(words, len(logits))).indices]
            name, row, path = f"'{names[at]}' ({at})", 2 * number + 1, ""
            if kind == "state":
                row = 2 * number
                name = f"{labels[number - 1] if number else 'embeddings'} at {name}"
            elif kind == "answer":
                row, name = 2 * len(blocks) + 1, f"answer behind '{names[place]}' ({place})"
            elif kind == "rest":
                name = f"rest of {labels[number]} at {name}"
            else:
                layer = self._layer(kind, number)
                path = f"{layer.name}/{unit}"
                name = f"{layer.label}/{unit} at {name}"
            kind = "embedding" if kind == "state" and number == 0 else {"state": "residual", "answer": "output"}.get(kind, kind)
            nodes.append(Graph.Node(name=name[:200], kind=kind, row=row, column=used.index(at), value=value, words=tops, unit=path))
        return nodes, [names[at] for at in used]

    def _seen(self) -> dict[Key, tuple[Tensor, float]]:
        """What every node speaks for, float32 [vocabulary], and its value: a probability, an activation, the size of what a head writes."""
        found: dict[Key, tuple[Tensor, float]] = {}
        states = [key for key in self.keys if key[0] == "state"]
        with torch.no_grad():
            lens = Tail(self.flow.model, 64)(torch.stack([self.flow.states[level, at] for _, level, _, at in states]))
            for key, logits in zip(states, lens, strict=True):
                found[key] = logits, float(logits.softmax(-1).max())
            for key in self.keys:
                kind, number, unit, at = key
                if kind == "head":
                    vector = self.flow.head_vector(number, unit, at)
                    found[key] = self.flow.readout.passes(vector), float(vector.norm())
                elif kind == "neuron":
                    vector = self.flow.neuron_vector(number, unit, at)
                    found[key] = self.flow.readout.passes(vector), self.flow.activation(number, unit, at)
                elif kind == "answer":
                    logits = self.flow.logits[at]
                    found[key] = logits, float(logits.softmax(-1).max())
        return found

    def _layer(self, kind: str, number: int) -> Layer:
        return self.flow.model.layers[f"{self.flow.blocks[number].path}.{kind}s"]

    def strongest(self, names: list[str], count: int = 30) -> list[Scorecard.Score]:
        ordered = sorted(self.ways.items(), key=lambda item: (-abs(item[1]), item[0]))[:count]
        return [
            Scorecard.Score(name=f"{self._layer(kind, number).label}/{unit} at '{names[at]}' ({at})", value=way, group=f"{kind}s")
            for (kind, number, unit, at), way in ordered
        ]
