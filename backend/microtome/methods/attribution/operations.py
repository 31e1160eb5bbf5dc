"""Changing what a network's functions do in a pass, whoever calls them: a module, a function, an operation in place.

A gradient rule that is tied to modules misses networks that call ``torch.relu``; this catches both, by name. The network
itself is not touched: outside the block nothing has changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

#: ``rule(function, args, kwargs)`` answers in the place of the function; ``function(*args, **kwargs)`` is what it would have done.
#: ``NotImplemented`` leaves the matter to the function.
Rule = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
#: Functions of one tensor that work on each value alone.
ELEMENTWISE = frozenset({
    "relu", "relu6", "hardtanh", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "softsign", "sigmoid",
    "logsigmoid", "hardsigmoid", "hardswish", "tanh", "exp", "log", "sqrt", "rsqrt", "reciprocal", "square", "abs", "erf", "clamp",
    "clamp_min", "sin", "cos",
})  # fmt: skip
#: What a rectifier is called; all give zero, or the input up to a bound.
RECTIFIERS = frozenset({"relu", "relu6", "hardtanh"})


def in_place(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether a function of this name writes its answer into its first argument."""
    asked = kwargs.get("inplace") is True or (name.strip("_") in ELEMENTWISE and any(a is True for a in args[1:]))
    return asked or (name.endswith("_") and not name.endswith("__"))


class Operations(TorchFunctionMode):
    """Answers functions by rules while the block lasts.

    Attributes:
        used: how often each rule answered.
    """

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        super().__init__()
        self.rules, self.used = rules, Counter[str]()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(function, "__name__", ""), kwargs or {}
        plain = name.strip("_")
        rule = self.rules.get(plain) if args and isinstance(args[0], Tensor | list | tuple) and torch.is_grad_enabled() else None
        if rule is None:
            return function(*args, **kwargs)
        writes = in_place(name, args, kwargs)
        if writes:  # the rule works on a copy, and what it says is written where the caller looks for it
            answer = rule(lambda x, *a, **k: function(x.clone(), *a, **k), (args[0].clone(), *args[1:]), kwargs)
        else:
            answer = rule(function, args, kwargs)
        if answer is NotImplemented:
            return function(*args, **kwargs)
        self.used[plain] += 1
        return args[0].copy_(answer) if writes else answer
