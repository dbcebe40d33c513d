"""Metrics as they go into a line of the trainer protocol."""

from __future__ import annotations

import math
from typing import Any, Dict, Mapping, Optional, Union

#: The longest name of a metric, in characters.
_NAME_CHARS = 128


def metrics(first: Optional[Mapping[str, Any]], more: Mapping[str, Any]) -> Dict[str, Union[int, float]]:
    """Metrics by name, each a plain number; wrong names and values are errors at the line that gives them."""
    given = {**(first or {}), **more}
    return {_name(name): number(name, value) for name, value in given.items()}


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the name of a metric is text, not {name!r}")
    if not 0 < len(name) <= _NAME_CHARS or not name.isprintable():
        raise ValueError(f"the name of a metric has 1 to {_NAME_CHARS} printable characters, unlike {name!r}")
    return name


def number(name: str, value: Any) -> Union[int, float]:
    """A number of Python's, NumPy's, PyTorch's or of anything else that is one."""
    if isinstance(value, int):
        try:
            float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
        return int(value)
    if isinstance(value, float):
        return float(value)
    kind = type(value).__name__
    item = getattr(value, "item", None)
    if callable(item):
        try:
            value = item()
        except (RuntimeError, TypeError, ValueError) as error:
            raise TypeError(f"metric `{name}` is a {kind} that holds no single number: {error}") from None
        if isinstance(value, (int, float)):
            return number(name, value)
    # Text can become a number too, but was not meant as one.
    if hasattr(value, "__float__"):
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    raise TypeError(f"metric `{name}` is a {kind}, not a number")
