"""The wheel, and the look for PyTorch."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Iterator

import pytest

import swath


def test_nothing_is_needed_at_run_time() -> None:
    requires = importlib.metadata.requires("swath") or []
    assert requires and all("extra ==" in line for line in requires), requires
    assert Path(swath.__file__).with_name("py.typed").exists()


@pytest.mark.parametrize("name", ["coordinator", "worker"])
def test_the_programs_are_commands(name: str) -> None:
    program = Path(sysconfig.get_path("scripts"), name)
    said = subprocess.run([program, "--version"], capture_output=True, encoding="utf-8", check=True).stdout
    assert said.split() == [name, swath.__version__]


def test_what_is_exported_is_there() -> None:
    assert all(hasattr(swath, name) for name in swath.__all__)
    assert swath.__all__ == sorted(swath.__all__)


def test_each_exit_code_of_the_command_line_has_its_error() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text()
    table = page.split("## Exit codes")[1].split("\n## ")[0]
    codes = {int(row.split("|")[1]) for row in table.splitlines() if row.startswith("| ") and row[2].isdigit()}
    kinds = {kind.exit_code for kind in swath.Error.__subclasses__()}
    # Success, what has no class of its own, and Ctrl-C, which Python has an error for.
    assert codes - {0, 1, 130} == kinds


def torch(directory: Path, version: str) -> None:
    """A PyTorch of that version, as far as it is looked at."""
    for part in ("lib", "include"):
        (directory / "torch" / part).mkdir(parents=True)
    (directory / "torch" / "__init__.py").write_text("raise RuntimeError('imported')")
    (directory / "torch" / "lib" / "libtorch_cpu.so").touch()
    about = directory / f"torch-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")


def libtorch(site: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "swath", "libtorch"]
    return subprocess.run(command, env={"PYTHONPATH": str(site)}, capture_output=True, encoding="utf-8")


def test_the_installed_pytorch_is_found(tmp_path: Path) -> None:
    torch(tmp_path, "2.13.0+cpu")
    found = libtorch(tmp_path)
    assert (found.returncode, found.stdout) == (0, f"{tmp_path / 'torch'}\n"), found.stderr


@pytest.mark.parametrize("version", ["2.12.1", "2.130.0", None])
def test_another_pytorch_or_none_is_an_error_with_its_remedy(tmp_path: Path, version: str) -> None:
    if version is not None:
        torch(tmp_path, version)
    found = libtorch(tmp_path)
    assert found.returncode == 1 and not found.stdout
    assert (version or "not installed") in found.stderr and "swath[torch]" in found.stderr


@pytest.fixture
def pytorch() -> Iterator[Path]:
    """Where `swath[torch]` puts PyTorch, with no more of it than the libraries that the wheel was built against."""
    libtorch = os.environ.get("LIBTORCH")
    if libtorch is None:
        pytest.skip("LIBTORCH does not name the libtorch that the wheel was built against")
    directory = Path(sysconfig.get_path("purelib"), "torch")
    directory.mkdir()
    libraries = directory / "lib"
    libraries.symlink_to(Path(libtorch, "lib"))
    yield libraries
    libraries.unlink()
    directory.rmdir()


SWEEP = """
[sweep]
name = "digits"
replicates = 1

[fixed]
dataset = { name = "digits" }
model = { name = "resnet_preact", depth = 8, initial_channels = 4 }
batch_size = 64
epochs = 1

[[grid]]
"optimizer.lr" = [0.1]
"""


def test_the_trainer_takes_the_pytorch_beside_it(pytorch: Path) -> None:
    trainer = Path(sysconfig.get_path("scripts"), "trainer")
    linked = subprocess.run(["ldd", trainer], capture_output=True, encoding="utf-8", check=True).stdout
    torch = next(line.split()[2] for line in linked.splitlines() if line.split()[0] == "libtorch_cpu.so")
    # With the version of Python between `..` and here.
    assert Path(os.path.normpath(torch)) == pytorch / "libtorch_cpu.so"
    Path("digits.toml").write_text(SWEEP)
    command = [str(trainer.with_name("coordinator")), "run", "digits.toml"]
    run = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert run.returncode == 0, run.stderr
    assert "Test error in %" in run.stdout
