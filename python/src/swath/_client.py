"""A coordinator from Python: the command line of this package, its answers as rows."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Literal, Mapping, Optional, Tuple, Union, overload

from . import _binary, _toml
from ._errors import Error, SwathWarning, UsageError, of_code
from ._records import Records, Table, points

#: A sweep file, by its path or as a dictionary of the same content.
Sweep = Union[str, "os.PathLike[str]", Mapping[str, Any]]

#: Variables that say where a coordinator is and who asks. All others of Swath's are options of single commands, or tell a
#: job who it is, and must not change what is asked here.
_PASSED = {"SWATH_COORDINATOR", "SWATH_DATABASE", "SWATH_TOKEN_FILE", "SWATH_USER"}

#: How many curves are fetched from a coordinator at once.
_FETCHERS = 8


def connect(url: Optional[str] = None, *, database: Optional[str] = None) -> Client:
    """A client of the coordinator at ``url``, such as ``http://head:7070``; several URLs are separated by commas.

    Without ``url`` it is the coordinator that the environment names (``SWATH_COORDINATOR``), else the one on this
    machine, else the database in this directory, as for the command line. ``database`` is read without a coordinator.
    """
    return Client(url, database=database)


class Client:
    """Asks a coordinator. Each call is one command of ``coordinator``, and starts it."""

    def __init__(self, url: Optional[str] = None, *, database: Optional[str] = None) -> None:
        self._program = _binary.find("coordinator")
        self._has_url = url is not None
        self._asked: List[str] = []
        if url is not None:
            self._asked += ["--coordinator", url]
        if database is not None:
            self._asked += ["--database", database]

    def __repr__(self) -> str:
        return f"<swath.Client {' '.join(self._asked)}>".replace(" >", ">")

    @overload
    def submit(
        self, sweep: Sweep, *, wait: Literal[False] = ..., timeout: None = ..., priority: Optional[int] = ...
    ) -> Dict[str, Any]: ...

    @overload
    def submit(
        self, sweep: Sweep, *, wait: Literal[True], timeout: Optional[float] = ..., priority: Optional[int] = ...
    ) -> Table: ...

    def submit(
        self,
        sweep: Sweep,
        *,
        wait: bool = False,
        timeout: Optional[float] = None,
        priority: Optional[int] = None,
    ) -> Union[Dict[str, Any], Table]:
        """Queues a sweep: a file, or a dictionary with the content of one. Returns what was queued.

        With ``wait`` it returns the table once the sweep is over, as :meth:`wait` does. Paths in a dictionary are seen
        from the current directory, as those in a file are from the file.
        """
        if timeout is not None and not wait:
            raise UsageError("a timeout is for waiting: give `wait=True` too")
        words = ["submit"]
        if priority is not None:
            words.append(f"--priority={priority}")
        if wait:
            words += ["--wait", *_timeout(timeout)]
        with _file(sweep) as path:
            document = self._ask(*words, "--", path)
        return Table(document) if wait else document

    def wait(self, sweep: str, *, timeout: Optional[float] = None) -> Table:
        """Waits until a sweep is over and returns its table.

        :class:`FailedJobsError` says that jobs failed, :class:`CancelledError` that some were cancelled; their
        ``table`` is the one that there is. :class:`WaitTimeoutError` says that the time, in seconds, is over.
        """
        return Table(self._ask("wait", *_timeout(timeout), "--", sweep))

    def table(self, sweep: str, *filters: str) -> Table:
        """A sweep's table; filters, such as ``"lr<=0.1"``, choose its cells."""
        return Table(self._ask("table", "--", sweep, *filters))

    def jobs(self, *selector: str, limit: Optional[int] = None) -> Records:
        """Jobs, as ``jobs("digits", "state=failed")``; without a selector all."""
        limited = [] if limit is None else [f"--limit={limit}"]
        return Records(self._ask("jobs", *limited, "--", *selector)["jobs"])

    def curves(self, *selector: str) -> Records:
        """Learning curves of a job, or of all jobs of a sweep: a row for each epoch of each attempt."""
        digests = [job["digest"] for job in self.jobs(*selector)]
        # Commands that open a database themselves would be in each other's way.
        with ThreadPoolExecutor(_FETCHERS if self._has_url else 1) as pool:
            documents = list(pool.map(lambda digest: self._ask("curves", "--", digest), digests))
        return Records(row for document in documents for row in points(document))

    def export(self, sweep: str, *filters: str) -> Records:
        """A row for each replicate, with its parameters, metrics, seed and what it ran on."""
        lines = self._output("jsonl", "export", "--", sweep, *filters).splitlines()
        return Records(json.loads(line) for line in lines)

    def sweeps(self) -> Records:
        """Every sweep, with how many of its jobs are in each state."""
        return Records(self._ask("sweeps")["sweeps"])

    def status(self, *sweeps: str) -> Dict[str, Any]:
        """How sweeps and workers are doing."""
        return self._ask("status", "--", *sweeps)

    def call(self, verb: str, *words: str) -> Dict[str, Any]:
        """The answer to any other verb of the command line: ``call("retry", "digits")``."""
        return self._ask(verb, *words)

    def _ask(self, *words: str) -> Dict[str, Any]:
        return _document(self._output("json", *words))

    def _output(self, output: str, *words: str) -> str:
        command = [self._program, *self._asked, "-o", output, "--quiet", "--color", "never", *words]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=_environment(),
        )
        said = done.stderr.strip()
        if done.returncode == 0:
            if said:
                warnings.warn(said, SwathWarning, stacklevel=4)
            return done.stdout
        error = of_code(done.returncode, _message(said) or f"`coordinator {words[0]}` ended with {done.returncode}")
        if words[0] in ("submit", "wait") and done.stdout:
            error.table = Table(_document(done.stdout))
        raise error


def _message(said: str) -> str:
    """What a command says, without the label that errors have on a screen."""
    label = "error: "
    return said[len(label) :] if said.startswith(label) else said


def _document(text: str) -> Dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise Error(f"coordinator printed no JSON: {error}") from None
    if not isinstance(document, dict):
        raise Error(f"coordinator printed no JSON object, but {type(document).__name__}")
    return document


def _environment() -> Dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SWATH_") or name in _PASSED}


def _timeout(seconds: Optional[float]) -> Tuple[str, ...]:
    # Whole seconds, and not less than was asked for.
    return () if seconds is None else (f"--timeout={-int(-seconds // 1)}",)


@contextmanager
def _file(sweep: Sweep) -> Iterator[str]:
    """The path of the sweep's file; a dictionary has one as long as it is needed."""
    if not isinstance(sweep, Mapping):
        yield os.fspath(sweep)
        return
    text = _toml.dumps(sweep)
    try:
        # In the current directory, because paths in the file are seen from it.
        file = tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="sweep-", suffix=".toml", dir=os.curdir)
    except OSError as error:
        raise Error(f"cannot write the sweep to a file in {os.getcwd()}: {error}") from None
    with file:
        file.write(text)
        file.flush()
        yield os.path.relpath(file.name)
