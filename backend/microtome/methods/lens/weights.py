"""How the neurons and heads of a transformer read its residual stream, found by structure, no code per architecture.

Parts are told apart by what one forward pass does: a norm belongs to the maps that were given its output, and the layout of fused
queries, keys and values is the one whose values are what the heads give for a text of one token, where attention has one place to go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from microtome.models.readout import Norm, Seen, alike, head_writes, matrix, neuron_writes, norm_of, refused, watched
from microtome.models.text import TextModel
from microtome.models.text_layers import Block


def _same_tensor(one: Tensor | None, other: Tensor | None) -> bool:
    """One and the same memory, in the same shape: a view counts."""
    return one is not None and other is not None and one.data_ptr() == other.data_ptr() and one.numel() == other.numel()


@dataclass(frozen=True, slots=True)
class Reading:
    """Maps that read the residual stream, with the norm that stands before them (None: they read it as it is).

    Attributes:
        names: name of every map in its module, as 'gate_proj'. maps: float32 [width, out] each. path: module of the first.
    """

    names: list[str]
    maps: list[Tensor] = field(repr=False)
    norm: Norm | None
    path: str

    def folded(self, number: int) -> Tensor:
        """float32 [out, width]: the rows that read the stream before the norm, at its scale 1."""
        rows = self.maps[number].T
        return self.norm.reads(rows) if self.norm else rows


def _inside(model: TextModel, block: Block, calls: Sequence[Seen] | None) -> list[Seen]:
    """Calls of a pass over a text of one token that belong to a block; the pass is made if there are none yet."""
    return watched(model, block.path) if calls is None else [c for c in calls if c.name.startswith(block.path + ".")]


def neuron_reads(model: TextModel, block: Block, calls: Sequence[Seen] | None = None) -> Reading:
    """The maps that feed the neurons of a block: one, or a gate and what it gates.

    Args:
        calls: of :func:`watched`, where several blocks are looked at.

    Raises:
        InvalidInput: of the field ``model``.
    """
    size, calls = neuron_writes(model, block).shape[0], _inside(model, block, calls)
    found = [c for c in calls if _map_size(model, c.name)[1] == size and c.name != block.neurons and not _attends(c, block)]
    if not found:
        raise refused(model, f"has no linear map in {block.path} that gives one number for every neuron")
    return _reading(model, block, calls, found)


def _attends(call: Seen, block: Block) -> bool:
    return "att" in call.name[len(block.path) :].lower()


def _map_size(model: TextModel, name: str) -> tuple[int, int]:
    found = matrix(model.network.get_submodule(name))
    return (0, 0) if found is None else (int(found.shape[0]), int(found.shape[1]))


def _reading(model: TextModel, block: Block, calls: list[Seen], maps: list[Seen]) -> Reading:
    width = model.layers[block.path].units
    before = [c for c in calls if _same_tensor(c.made, maps[0].given) and c.made is not None and c.made.shape[-1] == width]
    norms = (norm_of(model.network.get_submodule(c.name), width) for c in before if c.name != maps[0].name)
    weights = [matrix(model.network.get_submodule(c.name)) for c in maps]
    return Reading(
        [c.name.rsplit(".", 1)[-1] for c in maps], [w for w in weights if w is not None], next((n for n in norms if n), None), maps[0].name
    )


@dataclass(frozen=True, slots=True)
class Attention:
    """How the heads of a block read: float32 [heads, width, each] each; keys and values that heads share stand there for each of them.

    Attributes:
        norm: what stands before them; None if nothing does.
        plain: queries meet keys as they come from these maps, up to a rotation by the distance between them.
        path: module of the first of these maps, whose input is what the heads read.
    """

    queries: Tensor = field(repr=False)
    keys: Tensor = field(repr=False)
    values: Tensor = field(repr=False)
    norm: Norm | None
    plain: bool
    path: str

    def folded(self, maps: Tensor) -> Tensor:
        """float32 [heads, width, each]: one of the maps, as it reads the stream before the norm, at its scale 1."""
        return self.norm.reads(maps.transpose(1, 2)).transpose(1, 2) if self.norm else maps


def attention_of(model: TextModel, block: Block, calls: Sequence[Seen] | None = None) -> Attention:
    """
    Args:
        calls: of :func:`watched`, where several blocks are looked at.

    Raises:
        InvalidInput: of the field ``model``; it is not to be found out which numbers are the queries, keys and values of which head.
    """
    each, calls = head_writes(model, block).shape[1], _inside(model, block, calls)
    end = next(i for i, c in enumerate(calls) if c.name == block.heads)
    inside = [c for c in calls[:end] if _attends(c, block)]
    maps = [c for c in inside if _map_size(model, c.name)[0] == model.layers[block.path].units]
    outputs, given = [c.made for c in maps if c.made is not None], calls[end].given
    if maps and given is not None and len(outputs) == len(maps):
        reading = _reading(model, block, calls, maps)
        # Whatever else has weights from the first of these maps on stands between them and the heads: norms of queries and keys.
        others = (model.network.get_submodule(c.name) for c in inside[inside.index(maps[0]) :] if c not in maps)
        plain = not any(list(module.parameters(recurse=False)) for module in others)
        for layout in (_separate, _side_by_side, _by_group):
            made = layout(reading.names, outputs, model.heads, each)
            if made is not None and alike(made[2].flatten(), given.flatten()):
                parts = layout(reading.names, reading.maps, model.heads, each)
                assert parts is not None
                queries, keys, values = (part.transpose(0, 1).contiguous() for part in parts)
                return Attention(queries, keys, values, reading.norm, plain, reading.path)
    raise refused(model, f"has queries, keys and values in {block.path} in no layout that is known")


Parts = tuple[Tensor, Tensor, Tensor]


def _shared(parts: Sequence[Tensor], heads: int) -> Parts:
    """Queries, keys and values [..., heads, each]; those that heads share, in a row, repeated for each of them."""
    q, k, v = (p.repeat_interleave(heads // p.shape[-2], dim=-2) for p in parts)
    return q, k, v


def _separate(names: list[str], maps: list[Tensor], heads: int, each: int) -> Parts | None:
    """A map for the queries, one for the keys, one for the values."""
    by_letter = {name[0].lower(): m for name, m in zip(names, maps, strict=True)}
    if len(maps) != 3 or set(by_letter) != set("qkv") or any(m.shape[-1] % each for m in maps):
        return None
    parts = [by_letter[letter].unflatten(-1, (-1, each)) for letter in "qkv"]
    return _shared(parts, heads) if all(heads % p.shape[-2] == 0 for p in parts) else None


def _groups(maps: list[Tensor], heads: int, each: int) -> int:
    """Heads of keys that one map of everything has room for; 0 if it is no such map."""
    rest = maps[0].shape[-1] // each - heads if len(maps) == 1 and maps[0].shape[-1] % each == 0 else 0
    return rest // 2 if rest > 0 and rest % 2 == 0 and heads % (rest // 2) == 0 else 0


def _side_by_side(names: list[str], maps: list[Tensor], heads: int, each: int) -> Parts | None:
    """All queries, then all keys, then all values (GPT-2)."""
    groups = _groups(maps, heads, each)
    return _shared(maps[0].unflatten(-1, (-1, each)).split([heads, groups, groups], dim=-2), heads) if groups else None


def _by_group(names: list[str], maps: list[Tensor], heads: int, each: int) -> Parts | None:
    """Group by group its queries, its key and its value; a group is a head (GPT-NeoX), or several that share their keys (Falcon)."""
    groups = _groups(maps, heads, each)
    if not groups:
        return None
    parts = maps[0].unflatten(-1, (groups, heads // groups + 2, each)).split([heads // groups, 1, 1], dim=-2)
    return _shared([p.flatten(-3, -2) for p in parts], heads)
