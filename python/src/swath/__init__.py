"""Swath from Python: what a training program says to its worker, and a client of the coordinator.

A program reads its parameters and reports what it measures; started by hand, it does the same with defaults::

    import swath

    p = swath.params(lr=0.1, epochs=10)
    for epoch in range(1, p.epochs + 1):
        ...
        swath.log(epoch=epoch, accuracy=accuracy)
    swath.finish(accuracy=accuracy)

A notebook asks the coordinator::

    head = swath.connect("http://head:7070")
    head.submit("digits.toml", wait=True).to_pandas()
"""

from importlib.metadata import version as _version

from ._client import Client, connect
from ._errors import (
    CancelledError,
    Error,
    FailedJobsError,
    NotAllowedError,
    NotFoundError,
    SwathWarning,
    UnreachableError,
    UsageError,
    WaitTimeoutError,
)
from ._job import Job, diverged, finish, job, lacks, log, out, params, seed
from ._params import Params
from ._records import Records, Table
from ._torch import libtorch

__version__ = _version("swath")

__all__ = [
    "CancelledError",
    "Client",
    "Error",
    "FailedJobsError",
    "Job",
    "NotAllowedError",
    "NotFoundError",
    "Params",
    "Records",
    "SwathWarning",
    "Table",
    "UnreachableError",
    "UsageError",
    "WaitTimeoutError",
    "connect",
    "diverged",
    "finish",
    "job",
    "lacks",
    "libtorch",
    "log",
    "out",
    "params",
    "seed",
]
