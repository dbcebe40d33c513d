"""Where the programs of this package are."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Iterator

from ._errors import Error


def find(name: str) -> str:
    """The path of ``coordinator`` or ``worker`` as this package installed it, else of one on PATH."""
    for directory in _directories():
        path = Path(directory, name)
        if os.access(path, os.X_OK):
            return str(path)
    found = shutil.which(name)
    if found is None:
        raise Error(f"the program `{name}` is not beside {sys.executable} nor on PATH; install Swath again")
    return found


def _directories() -> Iterator[str]:
    # Of this environment.
    yield sysconfig.get_path("scripts")
    # Of `pip install --target DIR` and `--prefix DIR`: `bin` beside the package, or above its `lib/pythonX.Y/site-packages`.
    package = Path(__file__).resolve().parent
    yield str(package.parent / "bin")
    if len(package.parents) > 3:
        yield str(package.parents[3] / "bin")
    # Of `pip install --user`.
    yield sysconfig.get_path("scripts", f"{os.name}_user")
