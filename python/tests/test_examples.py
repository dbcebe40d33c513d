"""The examples, as their first lines say: by hand, and as sweeps."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, List, Tuple

import pytest
from conftest import Site

import swath
from swath import _binary

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

#: How long an example may take, in seconds.
LIMIT = 120

#: The medians of the cells of `coming_from`, by learning rate and batch size.
Medians = Dict[Tuple[float, int], float]


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


def python(*words: str) -> List[str]:
    """The lines that a Python program prints."""
    done = subprocess.run(["python3", *words], capture_output=True, encoding="utf-8", timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def by_hand(*words: str) -> List[str]:
    return python("train.py", *words)


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


@pytest.fixture
def other_tool(tmp_path: Path, example: Callable[[str, str], None]) -> Callable[[str], Medians]:
    """Goes to the directory of another tool, if that and scikit-learn are there. Returns what Swath's file there, or
    the one above, fills its table with. One seed is enough here."""

    def go(tool: str) -> Medians:
        example("argparse", "sklearn")
        example("coming_from", tool)
        directory = tmp_path / "coming_from" / tool
        file = directory / "digits.toml"
        if not file.exists():
            file = directory.parent / "digits.toml"
        text = file.read_text()
        for many, one in (("replicates = 5", "replicates = 1"), ("[0, 1, 2, 3, 4]", "[0]")):
            assert many in text
            text = text.replace(many, one)
        file.write_text(text)
        os.chdir(directory)
        name = "digits_hydra" if tool == "hydra" else "digits"
        table = swept(name, os.path.relpath(file))
        return {(row["params.lr"], row["params.batch_size"]): round(row["median"], 4) for row in table}

    return go


def medians_of(frame: List[str]) -> Medians:
    """The medians in a table as pandas prints it: batch sizes in its first line, then a line per learning rate."""
    batch_sizes = [int(word) for word in re.findall(r"\d+", frame[0])]
    rows = [[float(word) for word in line.split()] for line in frame[-3:]]
    return {(lr, size): round(value, 4) for lr, *values in rows for size, value in zip(batch_sizes, values)}


def test_a_study_of_optuna_and_swath_print_the_same_medians(other_tool: Callable[[str], Medians]) -> None:
    wanted = other_tool("optuna")
    study = Path("study.py")
    study.write_text(study.read_text().replace("[0, 1, 2, 3, 4]", "[0]"))
    printed = python("study.py")
    assert medians_of(printed[-5:]) == wanted, printed


def test_optuna_proposes_what_swath_trains(
    example: Callable[[str, str], None], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    example("argparse", "sklearn")
    example("coming_from", "optuna")
    os.chdir("optuna")
    monkeypatch.setenv("SWATH_COORDINATOR", site.url)
    site.worker("python3")
    # Two rounds of two are enough here.
    script = Path("search.py")
    script.write_text(script.read_text().replace("range(5)", "range(2)").replace("range(4)", "range(2)"))
    assert "'lr': " in python("search.py")[-1]
    versions = [(sweep["name"], sweep["version"]) for sweep in site.client.sweeps()]
    assert versions == [("search", 1), ("search", 2)]


def test_a_multirun_of_hydra_and_swath_print_the_same_medians(other_tool: Callable[[str], Medians]) -> None:
    wanted = other_tool("hydra")
    by_hand("--multirun", "lr=0.001,0.01,0.1", "batch_size=32,128", "seed=range(1)", "hydra.sweep.dir=multirun")
    assert medians_of(python("table.py", "multirun")) == wanted


def test_a_script_of_wandb_is_swept_as_it_is(
    other_tool: Callable[[str], Medians], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = other_tool("wandb")
    # Without an account, its runs stay here.
    monkeypatch.setenv("WANDB_MODE", "offline")
    shutil.copy("train.py", "../../argparse/train.py")
    os.chdir("..")
    table = swept("digits", "digits.toml")
    assert {(row["params.lr"], row["params.batch_size"]): round(row["median"], 4) for row in table} == wanted
    assert len(list(Path("../argparse/wandb").glob("offline-run-*"))) == 6
