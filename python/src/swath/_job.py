"""What a program says to Swath and gets from it. Without Swath it reads and prints the same for people."""

from __future__ import annotations

import json
import operator
import os
import select
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, NoReturn, Optional, Sequence, SupportsIndex, Union

from ._errors import Error
from ._numbers import metrics as read_metrics
from ._params import Params, merged, overridden

#: The file with the job's spec, as JSON.
_SPEC = "SWATH_SPEC"
#: The exit code of a program whose training has diverged.
_DIVERGED = 10
#: The exit code of a program that cannot train its job.
_INVALID = 11
#: How many seeds there are. Older coordinators gave greater ones, which NumPy and others refuse.
_SEEDS = 2**31
#: Where the worker reads.
_STDOUT = 1


@dataclass(frozen=True)
class Job:
    """Which job this program is. A field is ``None`` where this version of the worker does not tell it."""

    id: Optional[str]
    attempt: Optional[int]
    sweep: Optional[str]
    replicate: Optional[int]
    #: The device of the slot: ``cpu`` or ``cuda:N``.
    device: Optional[str]


def job() -> Optional[Job]:
    """The job that runs this program; ``None`` if it was started by hand."""
    if not _is_job():
        return None
    return Job(
        id=_variable("SWATH_JOB"),
        attempt=_count("SWATH_ATTEMPT"),
        sweep=_variable("SWATH_SWEEP"),
        replicate=_count("SWATH_REPLICATE"),
        device=_variable("SWATH_DEVICE"),
    )


def params(arguments: Optional[Sequence[str]] = None, /, **defaults: Any) -> Params:
    """The job's parameters, each of the kind that it has in the sweep file.

    ``defaults`` are for a program that is started by hand, and for parameters that the sweep does not name. With
    ``arguments``, as in ``params(sys.argv[1:], lr=0.1)``, a command line overrides them: ``--lr 0.2`` or ``lr=0.2``. What
    the sweep says comes last: it has kinds, and words have none.
    """
    told = _spec().get("params") or {}
    values = merged(defaults, told)
    return Params(values if arguments is None else merged(overridden(values, arguments), told))


def seed(default: int = 0) -> int:
    """The job's seed, below 2**31: everything random should come from it. By hand it is ``default``."""
    told = _count("SWATH_SEED")
    if told is None:
        told = _spec().get("seed")
    return default if told is None else int(told) % _SEEDS


def out() -> Path:
    """A directory for what the program leaves behind: the job's own, or ``swath-out`` by hand. It is made if needed."""
    directory = Path(_variable("SWATH_OUT") or "swath-out")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def log(
    metrics: Optional[Mapping[str, Any]] = None,
    /,
    *,
    epoch: Optional[SupportsIndex] = None,
    step: Optional[SupportsIndex] = None,
    **more: Any,
) -> None:
    """Reports the metrics of an epoch: ``log(epoch=3, loss=0.2)`` or ``log({"val/acc": 0.9}, epoch=3)``.

    Without ``epoch`` it is the one after the last. A metric that is not finite is left out of the curve.
    """
    values = read_metrics(metrics, more)
    with _state.lock:
        number = _state.epoch + 1 if epoch is None else _counted("epoch", epoch)
        _state.epoch = number
        _state.latest = values
        event: Dict[str, Any] = {"event": "epoch", "epoch": number}
        if step is not None:
            event["step"] = _counted("step", step)
        event["metrics"] = values
        _tell(event, f"epoch {number}: {_shown(values)}")


def finish(metrics: Optional[Mapping[str, Any]] = None, /, **more: Any) -> None:
    """Reports what the training measured, at its end. Without metrics these are the latest logged ones.

    If the metric of the sweep is not finite, the job counts as diverged.
    """
    values = read_metrics(metrics, more)
    with _state.lock:
        values = values or dict(_state.latest)
        if not values:
            raise ValueError("finish() needs a metric, such as finish(accuracy=0.9): none was logged before")
        event: Dict[str, Any] = {"event": "finished"}
        shown = _shown(values)
        # The one number of this line that is no metric.
        if "train_seconds" in values:
            event["train_seconds"] = values.pop("train_seconds")
        event["metrics"] = values
        _tell(event, f"finished: {shown}")


def diverged(message: str = "") -> NoReturn:
    """Ends the program because the training has diverged. Such a job is shown, and not retried."""
    _tell({"event": "failed", "fault": "diverged", "message": message}, f"diverged: {message}".rstrip(": "))
    raise SystemExit(_DIVERGED)


def lacks(what: str) -> NoReturn:
    """Ends the program because its host has no ``what``, such as a data set. Another host may have it: the job goes
    there, and nothing is held against it."""
    event = {"event": "failed", "fault": "invalid", "message": f"this host has no {what}", "lacks": what}
    _tell(event, f"this host has no {what}")
    raise SystemExit(_INVALID)


class _State:
    """What this process has reported; the lock keeps the lines of its threads whole and in order."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.epoch = 0
        self.latest: Dict[str, Union[int, float]] = {}

    def begin_in_child(self) -> None:
        # The thread that held the old lock is not in this process.
        self.lock = threading.RLock()


_state = _State()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_state.begin_in_child)


def _variable(name: str) -> Optional[str]:
    return os.environ.get(name) or None


def _count(name: str) -> Optional[int]:
    text = _variable(name)
    try:
        return None if text is None else int(text)
    except ValueError:
        raise Error(f"{name} is `{text}`, not a number") from None


def _counted(name: str, value: SupportsIndex) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is a whole number, not {value!r}") from None
    if count < 0:
        raise ValueError(f"{name} is {count}, but cannot be negative")
    return count


def _is_job() -> bool:
    return _variable(_SPEC) is not None or _variable("SWATH_JOB") is not None


def _spec() -> Dict[str, Any]:
    path = _variable(_SPEC)
    if path is None:
        return {}
    try:
        spec = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Error(f"cannot read the job's spec, which {_SPEC} says is {path}: {error}") from None
    if not isinstance(spec, dict):
        raise Error(f"the job's spec {path} is not an object")
    return spec


def _shown(values: Mapping[str, Union[int, float]]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in values.items())


def _tell(event: Dict[str, Any], text: str) -> None:
    with _state.lock:
        if _is_job():
            _write((json.dumps(event) + "\n").encode())
        else:
            print(text, flush=True)


def _write(line: bytes) -> None:
    """Writes a line where the worker reads it, whatever ``sys.stdout`` is: a notebook, a progress bar or a test may
    have replaced it. One write of up to 4096 bytes is not mixed with those of other processes."""
    for stream in (sys.stdout, sys.__stdout__):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            pass
    while line:
        try:
            line = line[os.write(_STDOUT, line) :]
        except BlockingIOError:
            # Somebody made it non-blocking, and the worker has not read yet.
            select.select([], [_STDOUT], [])
