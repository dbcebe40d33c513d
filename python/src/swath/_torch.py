"""The libtorch of the installed PyTorch, for the built-in trainer."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

from ._errors import Error

#: The version that the trainer is written for.
_VERSION = "2.13"
_HOW = f"`pip install 'swath[torch]'` installs {_VERSION}"


def libtorch() -> Path:
    """The directory with ``lib/`` and ``include/`` of the installed PyTorch, which must be 2.13.

    PyTorch is not imported.
    """
    spec = importlib.util.find_spec("torch")
    places = list(spec.submodule_search_locations or []) if spec else []
    if not places:
        raise Error(f"PyTorch is not installed; {_HOW}")
    version = importlib.metadata.version("torch")
    if version.split(".")[:2] != _VERSION.split("."):
        raise Error(f"the installed PyTorch is {version}, but the trainer needs {_VERSION}; {_HOW}")
    directory = Path(places[0])
    for part in ("lib/libtorch_cpu.so", "include"):
        if not (directory / part).exists():
            raise Error(f"the PyTorch in {directory} has no {part}")
    return directory
