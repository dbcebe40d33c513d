"""What can go wrong, told apart by the exit codes of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Optional, Type

if TYPE_CHECKING:
    from ._records import Table


class Error(Exception):
    """Something failed. ``exit_code`` is that of ``coordinator``; 1 where none stands for it."""

    exit_code: int = 1
    #: The table at that moment, where ``wait`` had one to give.
    table: Optional["Table"] = None


class UsageError(Error):
    """A sweep file or an argument is wrong; nothing was changed."""

    exit_code = 2


class NotFoundError(Error):
    """Nothing has this name or id."""

    exit_code = 3


class UnreachableError(Error):
    """No coordinator answers."""

    exit_code = 4


class NotAllowedError(Error):
    """The coordinator understood and refused."""

    exit_code = 5


class FailedJobsError(Error):
    """The sweep that was waited for ended with failed jobs, or is paused because its jobs fail."""

    exit_code = 10


class CancelledError(Error):
    """The sweep that was waited for, or some of its jobs, were cancelled."""

    exit_code = 11


class WaitTimeoutError(Error):
    """The time for waiting is over; the work goes on."""

    exit_code = 12


class SwathWarning(UserWarning):
    """Something that the coordinator warns of, such as jobs that no worker can run."""


_BY_CODE: Dict[int, Type[Error]] = {kind.exit_code: kind for kind in Error.__subclasses__()}


def of_code(code: int, message: str) -> Error:
    """The error for an exit code of ``coordinator``."""
    error = _BY_CODE.get(code, Error)(message)
    error.exit_code = code
    return error
