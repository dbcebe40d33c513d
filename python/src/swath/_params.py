"""A job's parameters: from its spec, from defaults, and from a command line."""

from __future__ import annotations

import argparse
import difflib
import json
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple


class Params(Dict[str, Any]):
    """Parameters by attribute (``p.lr``) and by key (``p["lr"]``); tables in them are of this kind too.

    It is a ``dict``, so that it can be printed as JSON, unpacked and handed on; a parameter that has the name of one
    of its methods, such as ``items``, is reached by its key only.
    """

    def __init__(self, values: Mapping[str, Any] = {}, /, **more: Any) -> None:
        super().__init__({name: _nested(value) for name, value in {**values, **more}.items()})

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            pass
        # Protocols of Python, such as copying, ask for what is not there.
        if name.startswith("__"):
            raise AttributeError(name)
        near = difflib.get_close_matches(name, list(self), n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(self) or 'none'}"
        raise AttributeError(f"no parameter `{name}`; {hint}")

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(f"no parameter `{name}`")
        del self[name]

    def __dir__(self) -> List[str]:
        return [*super().__dir__(), *(name for name in self if name.isidentifier())]

    def __repr__(self) -> str:
        return f"Params({super().__repr__()})"

    def copy(self) -> Params:
        return Params(self)


def _nested(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Params(value)
    if isinstance(value, list):
        return [_nested(item) for item in value]
    return value


def overridden(values: Mapping[str, Any], arguments: Sequence[str]) -> Params:
    """The parameters with those that a command line names: ``--batch-size 64``, ``--lr=0.1`` or ``lr=0.1``.

    Each is of the kind that it has in ``values``; one in a table is ``--model.width``. A wrong word ends the program with
    exit code 2, as with argparse.
    """
    known = dict(_leaves(values))
    # No abbreviations: a parameter that is added later must not change what `--l` means.
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for path, value in known.items():
        dashed = path.replace("_", "-")
        told: Dict[str, Any] = {}
        if isinstance(value, bool):
            told = {"nargs": "?", "const": True}
        elif isinstance(value, list):
            told = {"nargs": "*"}
        parser.add_argument(
            *([f"--{path}"] if dashed == path else [f"--{dashed}", f"--{path}"]),
            dest=path,
            type=_reader(value),
            default=argparse.SUPPRESS,
            metavar=_kind(value),
            help=f"[default: {json.dumps(value, default=str)}]".replace("%", "%%"),
            **told,
        )
    read = vars(parser.parse_args(list(_options(arguments, known))))
    found = Params(values)
    for path, value in read.items():
        one = isinstance(known[path], list) and len(value) == 1 and isinstance(value[0], list)
        _put(found, path, value[0] if one else value)
    return found


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[Tuple[str, Any]]:
    """All parameters that are no tables, each by its dotted path."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _put(params: Params, path: str, value: Any) -> None:
    table, _, rest = path.partition(".")
    if path in params or not rest:
        params[path] = value
    else:
        _put(params[table], rest, value)


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> Dict[str, Any]:
    """What is in either, tables one by one; ``second`` comes last."""
    both = dict(first)
    for name, value in second.items():
        old = both.get(name)
        tables = isinstance(old, Mapping) and isinstance(value, Mapping)
        both[name] = merged(old or {}, value) if tables else value
    return both


def _options(arguments: Iterable[str], known: Mapping[str, Any]) -> Iterator[str]:
    """The words, those like ``lr=0.1`` as options."""
    for word in arguments:
        yield f"--{word}" if "=" in word and word.partition("=")[0] in known else word


def _kind(value: Any) -> str:
    return "JSON" if _reader(value) is _json else type(value).__name__.upper()


def _reader(value: Any) -> Callable[[str], Any]:
    if isinstance(value, bool):
        return _boolean
    if isinstance(value, (int, float, str)):
        return type(value)
    return _json


def _boolean(text: str) -> bool:
    known: Dict[str, bool] = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    found: Optional[bool] = known.get(text.lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"`{text}` is neither true nor false")
    return found


def _json(text: str) -> Any:
    """A value whose kind is not known: JSON, else text."""
    try:
        return _nested(json.loads(text))
    except ValueError:
        return text
