"""A coordinator and a worker of the wheel, and a sweep of a program that uses the module."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict

import pytest
from conftest import LIMIT, Site

import swath

PROGRAM = '''
import json
import random
import swath

p = swath.params(lr=0.1, epochs=2)
rng = random.Random(swath.seed())
print("a line of the log")
for epoch in range(1, p.epochs + 1):
    accuracy = min(p.lr, 1.0) - 0.01 * rng.random() / epoch
    swath.log({"val/acc": accuracy, "kind": 1 if isinstance(p.lr, float) else 0}, epoch=epoch)
(swath.out() / "job.json").write_text(json.dumps(vars(swath.job())))
if p.lr > 50:
    swath.diverged("too large")
swath.finish({"val/acc": float("nan") if p.lr > 5 else accuracy})
'''


def sweep(site: Site, name: str, lr: Any, program: str = PROGRAM, **more: Any) -> Dict[str, Any]:
    (site.directory / "train.py").write_text(program)
    return {
        "sweep": {"name": name, "replicates": 2, **more},
        "program": {"command": [sys.executable, "train.py"], "arguments": "none", "metric": "val/acc"},
        "fixed": {"epochs": 3},
        "grid": [{"lr": lr}],
    }


def until(holds: Callable[[], object]) -> None:
    """Waits for something to hold; each question takes its time."""
    end = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < end


def test_a_sweep_from_a_dictionary_to_a_frame(site: Site) -> None:
    site.worker()
    document = sweep(site, "digits", [0.25, 0.5, 1.0])
    queued = site.client.submit(document)
    assert (queued["sweep"], queued["jobs"], queued["new_jobs"], queued["existed"]) == ("digits", 6, 6, False)
    table = site.client.wait("digits", timeout=50)
    assert (table.sweep, table.metric, len(table)) == ("digits", "val/acc", 3)

    # The numbers are those of the command line, to the last bit and as it prints them.
    told = json.loads(site.command_line("table", "digits", "-o", "json"))
    assert told == table.document == site.client.table("digits").document
    frame = table.to_pandas()
    assert frame["params.lr"].tolist() == [0.25, 0.5, 1.0]
    assert frame["median"].tolist() == [row["median"] for row in told["rows"]]
    assert frame["n"].tolist() == [2, 2, 2]
    printed = list(csv.DictReader(io.StringIO(site.command_line("table", "digits", "-o", "csv"))))
    assert [float(row["params.lr"]) for row in printed] == frame["params.lr"].tolist()
    assert len(site.client.table("digits", "params.lr>=0.5")) == 2

    curves = site.client.curves("digits").to_pandas()
    assert len(curves) == 18 and set(curves["epoch"]) == {1, 2, 3}
    # 1.0 was no whole number on its way from the dictionary to the program.
    assert (curves["kind"] == 1).all()
    last = curves[curves["epoch"] == 3].groupby("cell")["val/acc"].median()
    assert sorted(last) == sorted(frame["median"])

    jobs = site.client.jobs("digits", "state=succeeded")
    assert len(jobs) == 6 and len(site.client.jobs("digits", limit=2)) == 2
    one = site.client.curves(jobs[0]["digest"])
    assert [(row["epoch"], row["job"]) for row in one] == [(epoch, jobs[0]["digest"]) for epoch in (1, 2, 3)]
    told = [json.loads(file.read_text()) for file in site.directory.glob("worker/**/job.json")]
    assert {job["id"] for job in told} == {job["digest"] for job in jobs}
    assert {(job["sweep"], job["attempt"], job["device"]) for job in told} == {("digits", 1, "cpu")}
    assert sorted(job["replicate"] for job in told) == [1, 1, 1, 2, 2, 2]
    rows = site.client.export("digits").to_pandas()
    assert sorted(rows["value"]) == sorted(value for row in table for value in row["values"])
    assert [row["name"] for row in site.client.sweeps()] == ["digits"]
    assert site.client.status("digits")["workers"][0]["name"] == "tester"
    assert site.client.call("explain", jobs[0]["digest"])["detail"]["job"]["digest"] == jobs[0]["digest"]
    # Nothing is left of the file, and the same dictionary is the same sweep.
    assert not list(Path().glob("sweep-*"))
    assert site.client.submit(document)["existed"] is True


def test_a_program_that_diverges_is_shown_and_the_others_go_on(site: Site) -> None:
    site.worker()
    table = site.client.submit(sweep(site, "wild", [0.5, 10.0, 100.0]), wait=True, timeout=50)
    assert [(row["n"], row["diverged"]) for row in table] == [(2, 0), (0, 2), (0, 2)]
    told = {job["message"].splitlines()[0] for job in site.client.jobs("wild", "state=failed")}
    assert told == {"its metric `val/acc` is NaN", "too large"}


def test_failed_jobs_are_an_error_that_has_the_table(site: Site) -> None:
    site.worker()
    # The exit code of a program whose parameters make no sense to it, once it has spoken: such a job is not retried.
    program = PROGRAM.replace("(swath.out()", "p.lr > 0.5 and exit(11)\n(swath.out()")
    document = sweep(site, "broken", [0.25, 0.75], program)
    with pytest.raises(swath.FailedJobsError) as failed:
        site.client.submit(document, wait=True, timeout=50)
    with pytest.raises(swath.FailedJobsError) as again:
        site.client.wait("broken")
    for error in (failed.value, again.value):
        assert error.exit_code == 10 and "failed" in str(error)
        assert error.table is not None
        assert [(row["n"], row["failed"]) for row in error.table] == [(2, 0), (0, 2)]


def test_a_job_whose_host_lacks_something_is_not_held_against_anybody(site: Site) -> None:
    site.worker()
    site.client.submit(sweep(site, "folds", [0.5], PROGRAM.replace("rng =", "swath.lacks('fold 3')\nrng =")))
    until(lambda: "fold 3" in json.dumps(site.client.call("workers")))
    # The other slot may have begun the other job.
    until(lambda: all(job["state"] == "queued" for job in site.client.jobs("folds")))
    assert [job["charged"] for job in site.client.jobs("folds")] == [0, 0]


def test_waiting_ends_with_the_time_or_the_sweep(site: Site) -> None:
    document = sweep(site, "slow", [0.5])
    site.client.submit(document)
    with pytest.raises(swath.WaitTimeoutError):
        site.client.wait("slow", timeout=0.1)
    with pytest.raises(swath.WaitTimeoutError):
        site.client.submit(document, wait=True, timeout=1)
    site.client.call("cancel", "slow")
    with pytest.raises(swath.CancelledError) as cancelled:
        site.client.wait("slow")
    assert cancelled.value.exit_code == 11


def test_each_kind_of_failure_is_its_own_error(site: Site, tmp_path: Path) -> None:
    with pytest.raises(swath.NotFoundError, match="no sweep is named `nothing`") as missing:
        site.client.table("nothing")
    assert missing.value.exit_code == 3 and not str(missing.value).startswith("error")
    with pytest.raises(swath.UsageError, match="grid"):
        site.client.submit({"sweep": {"name": "empty"}})
    with pytest.raises(swath.UsageError, match="absent.toml"):
        site.client.submit(tmp_path / "absent.toml")
    with pytest.raises(swath.UsageError, match="wait=True"):
        site.client.submit(tmp_path / "absent.toml", timeout=3)  # type: ignore[call-overload]
    with pytest.raises(swath.UnreachableError) as away:
        swath.connect("http://127.0.0.1:1").sweeps()
    assert away.value.exit_code == 4
    assert issubclass(swath.UnreachableError, swath.Error)


def test_what_is_set_for_commands_changes_nothing_here(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SWATH_OUTPUT": "csv", "SWATH_LIMIT": "0", "SWATH_WATCH": "1", "SWATH_SWEEP": "x"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SWATH_COORDINATOR", site.url)
    assert swath.connect().sweeps() == []
    assert swath.connect().status()["sweeps"] == []


def test_a_sweep_that_no_worker_can_train_is_warned_of(site: Site) -> None:
    site.worker()
    document = sweep(site, "large", [0.5], needs={"cuda": 1})
    until(lambda: site.client.status()["workers"])
    with pytest.warns(swath.SwathWarning, match="large waits"):
        site.client.submit(document)


def test_a_database_is_read_without_a_coordinator(site: Site) -> None:
    site.client.submit(sweep(site, "kept", [0.5]))
    site.close()
    client = swath.connect(database=f"sqlite:{site.directory / 'site.db'}")
    assert [row["name"] for row in client.sweeps()] == ["kept"]


def test_an_axis_that_is_named_like_a_field_is_told_apart() -> None:
    row = {"cell": "c", "n": 3, "median": 0.5, "axes": {"n": 7, "lr": 0.1}}
    table = swath.Table({"sweep": "s", "metric": "m", "rows": [row]})
    assert table == [{"params.n": 7, "lr": 0.1, "cell": "c", "n": 3, "median": 0.5}]
