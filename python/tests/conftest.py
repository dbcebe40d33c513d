"""What the tests share: programs as a worker starts them, and a site with a coordinator and a worker."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional

import pytest
from hypothesis import settings

import swath
from swath import _binary

#: How long a test waits for anything, in seconds.
LIMIT = 60


# A machine that is busy with other things is no failure. In CI the same values are drawn in every run.
settings.register_profile("swath", deadline=None, database=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("swath")


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each test is in a directory of its own, and nothing of Swath's is set."""
    for name in list(os.environ):
        if name.startswith("SWATH_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


class Ran:
    """How a program ended."""

    def __init__(self, done: "subprocess.CompletedProcess[str]") -> None:
        self.code = done.returncode
        self.stdout = done.stdout
        self.stderr = done.stderr

    @property
    def events(self) -> List[Dict[str, Any]]:
        """The lines of the protocol; every line must be whole."""
        return [json.loads(line) for line in self.stdout.splitlines() if line.startswith("{")]


class Programs:
    """Starts programs of users, by hand or as a worker does."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def by_hand(self, text: str, *words: str, env: Optional[Mapping[str, str]] = None) -> Ran:
        command = [sys.executable, "-c", text, *words]
        done = subprocess.run(
            command, env={**os.environ, **(env or {})}, capture_output=True, encoding="utf-8", timeout=LIMIT
        )
        return Ran(done)

    def as_job(self, text: str, spec: Mapping[str, Any], *words: str, env: Optional[Mapping[str, str]] = None) -> Ran:
        path = self._directory / "spec.json"
        path.write_text(json.dumps(spec))
        return self.by_hand(text, *words, env={"SWATH_SPEC": str(path), **(env or {})})


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


class Site:
    """A coordinator, and workers when a test wants them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._processes: List["subprocess.Popen[str]"] = []
        self._readers: List[threading.Thread] = []
        serve = self._start(
            "coordinator", "serve", "--listen", "127.0.0.1:0", "--database", f"sqlite:{directory / 'site.db'}"
        )
        line = self._line_of(serve, "listening on ")
        address = line.partition("listening on ")[2].split()[0].rstrip(",;")
        self.url = address if "://" in address else f"http://{address}"
        self.client = swath.connect(self.url)

    def worker(self, program: str = sys.executable) -> None:
        self._start(
            "worker", "--coordinator", self.url, "--device", "cpu:2", "--allow-command", program,
            "--state-dir", str(self.directory / "worker"), "--name", "tester", "--log", "error",
        )  # fmt: skip

    def _start(self, name: str, *words: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [_binary.find(name), *words],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE if name == "coordinator" else None,
            encoding="utf-8",
        )
        self._processes.append(process)
        return process

    def _line_of(self, process: "subprocess.Popen[str]", text: str) -> str:
        """The first line of its log with that text; a thread goes on reading, so that the pipe does not fill."""
        lines: "queue.Queue[Optional[str]]" = queue.Queue()

        def read() -> None:
            assert process.stderr is not None
            with process.stderr as log:
                for line in log:
                    lines.put(line)
            lines.put(None)

        thread = threading.Thread(target=read)
        thread.start()
        self._readers.append(thread)
        seen = ""
        while True:
            line = lines.get(timeout=LIMIT)
            assert line is not None, seen
            if text in line:
                return line
            seen += line

    def command_line(self, *words: str) -> str:
        """What the command line prints."""
        command = [_binary.find("coordinator"), "--coordinator", self.url, *words]
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=True, timeout=LIMIT).stdout

    def close(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            process.wait(LIMIT)
        for reader in self._readers:
            reader.join(LIMIT)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()
