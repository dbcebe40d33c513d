"""Writes a sweep as TOML, so that it can be given as a dictionary."""

from __future__ import annotations

import json
import os
from typing import Any, Mapping

from ._errors import UsageError


def dumps(sweep: Mapping[str, Any]) -> str:
    """A sweep file with the content of ``sweep``."""
    return "".join(f"{_text(str(key))} = {_value(value, str(key))}\n" for key, value in sweep.items())


def _value(value: Any, key: str) -> str:
    # NumPy's numbers and arrays become Python's.
    tolist = getattr(value, "tolist", None)
    if callable(tolist):
        value = tolist()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, os.PathLike):
        return _text(os.fspath(value))
    if isinstance(value, Mapping):
        fields = (f"{_text(str(name))} = {_value(item, f'{key}.{name}')}" for name, item in value.items())
        return "{" + ", ".join(fields) + "}"
    if isinstance(value, (list, tuple, range)):
        return "[" + ", ".join(_value(item, f"{key}[{at}]") for at, item in enumerate(value)) + "]"
    hint = "; leave the key out" if value is None else ""
    raise UsageError(f"`{key}` is {value!r}, which a sweep file cannot hold{hint}")


def _text(text: str) -> str:
    # JSON escapes what TOML does, except for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
