"""Sweeps that are given as dictionaries."""

from __future__ import annotations

import sys
from pathlib import PurePosixPath
from typing import Any, Dict

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import swath
from swath._toml import dumps

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
TOML = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
)


def kinds(value: Any) -> Any:
    """A value with its kind, in which 1, 1.0 and True differ."""
    if isinstance(value, dict):
        return {name: kinds(item) for name, item in value.items()}
    return [kinds(item) for item in value] if isinstance(value, list) else (type(value), repr(value))


@given(st.dictionaries(TEXT, TOML))
def test_every_value_is_read_back_with_its_kind(sweep: Dict[str, Any]) -> None:
    assert kinds(tomllib.loads(dumps(sweep))) == kinds(sweep)


def test_values_of_other_libraries_become_plain() -> None:
    sweep = {"lr": numpy.array([0.1, 1.0]), "n": numpy.int64(3), "seeds": range(2), "file": PurePosixPath("a/b"), "t": (1,)}
    assert tomllib.loads(dumps(sweep)) == {"lr": [0.1, 1.0], "n": 3, "seeds": [0, 1], "file": "a/b", "t": [1]}


def test_what_a_sweep_cannot_hold_is_named_by_its_key() -> None:
    with pytest.raises(swath.UsageError, match=r"`grid\[0\]\.params\.decay` is None, .*leave the key out"):
        dumps({"grid": [{"params.decay": None}]})
    with pytest.raises(swath.UsageError, match="`sweep.name` is <object"):
        dumps({"sweep": {"name": object()}})
