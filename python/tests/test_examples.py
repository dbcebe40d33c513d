"""The examples, as their first lines say: by hand, and as sweeps."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, List

import pytest

import swath
from swath import _binary

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

#: How long an example may take, in seconds.
LIMIT = 120


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Goes to a copy of an example, if what it uses is there. `python3` is that of these tests."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    # Networks of this size are slower on several threads.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def go(name: str, module: str = "swath") -> None:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
        shutil.copytree(EXAMPLES / name, tmp_path / name)
        monkeypatch.chdir(tmp_path / name)

    return go


def swept(name: str, file: str = "sweep.toml") -> swath.Table:
    """The table of the example's sweep, of which every replicate must be measured."""
    command = [_binary.find("coordinator"), "run", file, "--slots", "2"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    table = swath.connect(database="sqlite:swath.db").table(name)
    assert table and all(row["n"] == row["of"] for row in table), table.document
    return table


def by_hand(*words: str) -> List[str]:
    done = subprocess.run(["python3", "train.py", *words], capture_output=True, encoding="utf-8", timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_an_argparse_script_with_scikit_learn(example: Callable[[str, str], None]) -> None:
    example("argparse", "sklearn")
    assert len(by_hand("--lr", "0.1", "--epochs", "2")) == 2
    # One replicate of each cell is enough here.
    file = Path("digits_mlp.toml")
    text = file.read_text()
    assert "replicates = 5" in text
    file.write_text(text.replace("replicates = 5", "replicates = 1"))
    table = swept("digits_mlp", "digits_mlp.toml")
    assert len(table) == 6 and max(row["median"] for row in table) > 0.9, table
    curves = swath.connect(database="sqlite:swath.db").curves("digits_mlp", "params.batch_size=128")
    assert len(curves) == 3 * 10 and all("loss" in row for row in curves)


def test_a_pytorch_loop(example: Callable[[str, str], None]) -> None:
    example("pytorch", "torch")
    assert by_hand("epochs=1", "--optimizer=sgd")[-1].startswith("finished: val/acc ")
    assert (Path("swath-out") / "model.pt").exists()
    table = swept("spirals")
    assert max(row["median"] for row in table) > 0.9, table


def test_overrides_and_a_file_of_numbers(example: Callable[..., None]) -> None:
    example("overrides")
    errors = {(row["params.model.width"], row["params.lr"]): row["median"] for row in swept("waves")}
    assert len(errors) == 6 and errors[32, 0.3] < errors[32, 0.03] < 0.1, errors


def test_a_shell_script(example: Callable[..., None]) -> None:
    example("shell")
    rows = {row["params.level"]: row for row in swept("gzip_levels")}
    assert 0 < rows[6]["median"] < rows[1]["median"] < 1, rows
    seeds = [{replicate["seed"] for replicate in row["replicates"]} for row in rows.values()]
    assert seeds[0] == seeds[1] == seeds[2] and len(seeds[0]) == 3, seeds


def test_a_program_that_prints_a_number(example: Callable[..., None]) -> None:
    example("perl")
    errors = {row["params.darts"]: row["median"] for row in swept("darts")}
    assert errors[100000] < errors[100] < 1, errors
