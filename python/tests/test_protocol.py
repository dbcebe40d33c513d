"""What a program's reports look like to a worker, and to somebody who starts the program by hand."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any, Dict, Union

import numpy
import pytest
from conftest import Programs
from hypothesis import given
from hypothesis import strategies as st

import swath
from swath._numbers import metrics, number


def test_a_job_writes_the_lines_of_the_protocol(programs: Programs) -> None:
    ran = programs.as_job(
        """
import swath
swath.log(epoch=0, step=10, loss=0.5)
swath.log({"val/acc": 0.25, "epoch": 7})
swath.log(loss=float("nan"), epoch=5)
swath.finish({"val/acc": 0.5, "train_seconds": 1.5})
""",
        {},
    )
    assert ran.code == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        '{"event": "epoch", "epoch": 0, "step": 10, "metrics": {"loss": 0.5}}',
        '{"event": "epoch", "epoch": 1, "metrics": {"val/acc": 0.25, "epoch": 7}}',
        '{"event": "epoch", "epoch": 5, "metrics": {"loss": NaN}}',
        '{"event": "finished", "train_seconds": 1.5, "metrics": {"val/acc": 0.5}}',
    ]


def test_by_hand_the_same_is_text(programs: Programs) -> None:
    ran = programs.by_hand(
        """
import swath
swath.log(epoch=1, loss=0.123456789)
swath.log({"val/acc": 1}, loss=float("inf"))
swath.finish()
swath.diverged("the loss is infinite")
"""
    )
    assert ran.stdout.splitlines() == [
        "epoch 1: loss 0.123457",
        "epoch 2: val/acc 1, loss inf",
        "finished: val/acc 1, loss inf",
        "diverged: the loss is infinite",
    ]
    assert ran.code == 10


def test_a_measurement_that_is_not_finite_is_written_as_such(programs: Programs) -> None:
    ran = programs.as_job("import swath; swath.finish(a=float('nan'), b=float('inf'), c=-float('inf'), d=10**400)", {})
    assert ran.code == 0
    assert '{"a": NaN, "b": Infinity, "c": -Infinity, "d": Infinity}' in ran.stdout


def test_a_divergence_ends_the_program_and_its_contexts(programs: Programs) -> None:
    ran = programs.as_job(
        """
import sys, swath
try:
    swath.diverged("loss 1e9")
finally:
    print("closed", file=sys.stderr)
""",
        {},
    )
    assert ran.code == 10 and ran.stderr == "closed\n"
    assert ran.events == [{"event": "failed", "fault": "diverged", "message": "loss 1e9"}]


def test_what_a_host_lacks_is_told(programs: Programs) -> None:
    text = "import swath; swath.lacks('images of fold 3')"
    ran = programs.as_job(text, {})
    told = {"fault": "invalid", "message": "this host has no images of fold 3", "lacks": "images of fold 3"}
    assert ran.code == 11 and ran.events == [{"event": "failed", **told}]
    by_hand = programs.by_hand(text)
    assert (by_hand.code, by_hand.stdout) == (11, "this host has no images of fold 3\n")


def test_the_end_repeats_the_latest_metrics(programs: Programs) -> None:
    ran = programs.as_job("import swath; swath.log(a=1); swath.log(a=2, b=3); swath.finish()", {})
    assert ran.events[-1] == {"event": "finished", "metrics": {"a": 2, "b": 3}}
    nothing = programs.as_job("import swath; swath.finish()", {})
    assert nothing.code == 1 and "finish() needs a metric" in nothing.stderr and not nothing.events


def test_lines_come_out_although_stdout_is_something_else(programs: Programs) -> None:
    ran = programs.as_job(
        """
import contextlib, io, sys, swath
print("before", end=" ")
with contextlib.redirect_stdout(io.StringIO()):
    swath.log(epoch=1, loss=1)
sys.stdout = None
swath.log(epoch=2, loss=2)
""",
        {},
        env={"PYTHONUNBUFFERED": ""},
    )
    assert ran.code == 0, ran.stderr
    first, second = ran.stdout.splitlines()
    assert first.startswith('before {"event": "epoch", "epoch": 1') and '"epoch": 2' in second


def test_lines_of_threads_and_forks_are_whole(programs: Programs) -> None:
    ran = programs.as_job(
        """
import os, threading, swath

def speak(name):
    for epoch in range(100):
        print(f"working {epoch}")
        swath.log({f"{name}-{'x' * 40}": epoch}, epoch=epoch)

threads = [threading.Thread(target=speak, args=(f"thread{i}",)) for i in range(4)]
for thread in threads:
    thread.start()
children = []
# Forks while threads hold the lock: a child that inherited it locked would never end.
for i in range(4):
    child = os.fork()
    if child == 0:
        speak(f"fork{i}")
        os._exit(0)
    children.append(child)
for thread in threads:
    thread.join()
codes = [os.waitpid(child, 0)[1] for child in children]
assert codes == [0] * 4, codes
swath.finish(done=1)
""",
        {},
        # From 3.12 on, Python warns of forks beside threads, as some data loaders make them.
        env={"PYTHONWARNINGS": "ignore"},
    )
    assert ran.code == 0, ran.stderr
    # Python's own prints may lie between the lines, but never in one.
    found = [json.loads(line) for line in re.findall(r'\{"event".*\}\n', ran.stdout)]
    told = [(*event["metrics"].items(), event.get("epoch")) for event in found]
    each = [((f"{kind}{i}-{'x' * 40}", epoch), epoch) for kind in ("thread", "fork") for i in range(4) for epoch in range(100)]
    assert sorted(told[:-1]) == sorted(each)
    assert told[-1] == (("done", 1), None)


def test_a_pipe_that_is_full_is_waited_for(programs: Programs) -> None:
    ran = programs.as_job(
        """
import os, swath
os.set_blocking(1, False)
for epoch in range(3000):
    swath.log({"m" * 100: epoch}, epoch=epoch)
""",
        {},
    )
    assert ran.code == 0, ran.stderr
    assert [event["epoch"] for event in ran.events] == list(range(3000))


class Tensor:
    """As PyTorch's: a number by ``item``."""

    def __init__(self, *values: Any) -> None:
        self._values = values

    def item(self) -> Any:
        if len(self._values) != 1:
            raise RuntimeError(f"a Tensor with {len(self._values)} elements cannot be converted to Scalar")
        return self._values[0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (numpy.float32(0.5), 0.5),
        (numpy.float64(0.1), 0.1),
        (numpy.int64(7), 7),
        (numpy.bool_(True), 1),
        (numpy.array(2.5), 2.5),
        (numpy.array([2.5]), 2.5),
        (numpy.float16("inf"), math.inf),
        (Tensor(0.25), 0.25),
        (True, 1),
        (Decimal("0.1"), 0.1),
        (Fraction(1, 4), 0.25),
        (10**400, math.inf),
        (-(10**400), -math.inf),
    ],
)
def test_numbers_of_all_kinds_are_metrics(value: Any, expected: Union[int, float]) -> None:
    read = number("m", value)
    assert read == expected and type(read) in (int, float)
    assert json.loads(json.dumps(read)) == expected


@pytest.mark.parametrize("value", ["0.9", None, [0.9], numpy.array([1.0, 2.0]), Tensor(1, 2), 1j, numpy.complex64(1j)])
def test_what_is_no_number_is_an_error_where_it_is_given(value: Any) -> None:
    with pytest.raises(TypeError, match="metric `val/acc` is a"):
        swath.log({"val/acc": value}, epoch=1)


@pytest.mark.parametrize(("name", "kind"), [("", ValueError), ("x" * 129, ValueError), ("a\nb", ValueError), (3, TypeError)])
def test_a_wrong_name_is_an_error(name: Any, kind: type) -> None:
    with pytest.raises(kind, match="the name of a metric"):
        swath.log({name: 1.0}, epoch=1)


@pytest.mark.parametrize(("told", "kind"), [({"epoch": -1}, ValueError), ({"epoch": 1.5}, TypeError), ({"step": "3"}, TypeError)])
def test_epochs_and_steps_are_counts(told: Dict[str, Any], kind: type) -> None:
    with pytest.raises(kind):
        swath.log(loss=1.0, **told)


@given(st.dictionaries(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=128), st.floats()))
def test_every_finite_number_keeps_all_its_bits(values: Dict[str, float]) -> None:
    read = json.loads(json.dumps(metrics(values, {})))
    for name, value in values.items():
        assert read[name] == value or (math.isnan(value) and math.isnan(read[name]))
