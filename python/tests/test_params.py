"""Parameters: where they come from, their kinds, and how they are reached."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any, Dict

import pytest
from conftest import Programs
from hypothesis import given, settings
from hypothesis import strategies as st

import swath

PRINT = "import json, sys, swath; print(json.dumps({}))"


def test_by_hand_there_are_the_defaults() -> None:
    p = swath.params(lr=0.1, epochs=10)
    assert p == {"lr": 0.1, "epochs": 10}
    assert (p.lr, p["epochs"]) == (0.1, 10)
    assert (swath.seed(), swath.seed(7), swath.job()) == (0, 7, None)


def test_a_job_has_its_own_with_their_kinds(programs: Programs) -> None:
    values = {"lr": 1.0, "epochs": 1, "name": "1", "decay": None, "flag": True, "model": {"width": 4}, "items": [1, 2.0]}
    ran = programs.as_job(
        PRINT.format("[swath.params(lr=0.1, momentum=0.9), swath.params().model.width, swath.seed()]"),
        {"params": values, "seed": 12, "trainer": {}},
    )
    assert json.loads(ran.stdout) == [{"lr": 1.0, "momentum": 0.9, **values}, 4, 12]
    assert '"lr": 1.0' in ran.stdout and '"epochs": 1,' in ran.stdout
    assert '"items": [1, 2.0]' in ran.stdout


def test_a_spec_without_parameters_leaves_the_defaults(programs: Programs) -> None:
    ran = programs.as_job(PRINT.format("swath.params(lr=0.1)"), {"seed": 1})
    assert json.loads(ran.stdout) == {"lr": 0.1}


def test_a_worker_tells_a_job_who_it_is(programs: Programs) -> None:
    told = {
        "SWATH_JOB": "3fa9c1", "SWATH_ATTEMPT": "2", "SWATH_SWEEP": "digits", "SWATH_REPLICATE": "3",
        "SWATH_DEVICE": "cuda:1", "SWATH_SEED": "41",
    }  # fmt: skip
    text = PRINT.format("[vars(swath.job()), swath.seed()]")
    ran = programs.as_job(text, {"seed": 12}, env=told)
    job = {"id": "3fa9c1", "attempt": 2, "sweep": "digits", "replicate": 3, "device": "cuda:1"}
    assert json.loads(ran.stdout) == [job, 41]
    # An older worker tells less.
    less = programs.as_job(text, {"seed": 12}, env={"SWATH_DEVICE": "cpu"})
    assert json.loads(less.stdout) == [{**dict.fromkeys(job), "device": "cpu"}, 12]


def test_every_library_takes_the_seed(programs: Programs) -> None:
    ran = programs.as_job(PRINT.format("swath.seed()"), {"seed": 2**40 + 5})
    assert json.loads(ran.stdout) == 5


def test_the_directory_is_the_jobs_own(programs: Programs, tmp_path: Any) -> None:
    directory = tmp_path / "kept" / "of job"
    text = "import swath; (swath.out() / 'model').write_text('x')"
    assert programs.as_job(text, {}, env={"SWATH_OUT": str(directory)}).code == 0
    assert (directory / "model").read_text() == "x"
    assert programs.by_hand(text).code == 0
    assert (tmp_path / "swath-out" / "model").read_text() == "x"


def test_a_command_line_overrides_in_the_kind_of_the_default() -> None:
    defaults: Dict[str, Any] = {"lr": 0.1, "batch_size": 64, "flag": False, "name": "a", "layers": [1], "extra": None}

    def read(line: str) -> Any:
        p = swath.params(line.split(), **defaults)
        assert list(p) == list(defaults)
        return p

    assert json.dumps(read("--lr 1")) == json.dumps({**defaults, "lr": 1.0})
    assert read("lr=1e-3 --batch-size=32").lr == 1e-3
    assert read("--batch_size 32").batch_size == 32
    assert read("--flag").flag is True
    assert read("flag=false").flag is False
    assert read("--name 7").name == "7"
    assert read("layers=[2,3]").layers == [2, 3]
    assert read("--extra true").extra is True
    assert read("--extra plain").extra == "plain"
    assert swath.params([], **defaults) == defaults


@pytest.mark.parametrize("line", ["--lrr 0.1", "--batch-size many", "--batch 32", "flag=perhaps", "momentum=0.9"])
def test_a_wrong_word_ends_the_program(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        swath.params(line.split(), lr=0.1, batch_size=64, flag=False)
    assert ended.value.code == 2
    assert line.partition("=")[0].split()[0] in capsys.readouterr().err


def test_parameters_in_tables_and_lists_are_named_as_a_worker_names_them() -> None:
    defaults: Dict[str, Any] = {"model": {"width": 4, "drop_out": 0.1}, "layers": [1], "optimizer.lr": 0.5}
    flags = "--model.width 8 --model.drop-out 0 --layers 2 3 --optimizer.lr 1".split()
    overrides = "model.width=8 model.drop_out=0 layers=[2,3] optimizer.lr=1".split()
    expected = {"model": {"width": 8, "drop_out": 0.0}, "layers": [2, 3], "optimizer.lr": 1.0}
    for words in (flags, overrides):
        p = swath.params(words, **defaults)
        assert p == expected and p.model.width == 8
    assert defaults["model"]["width"] == 4


def test_what_the_sweep_says_comes_after_the_command_line(programs: Programs) -> None:
    text = PRINT.format("swath.params(sys.argv[1:], lr=0.1, data='here', model={'width': 1, 'depth': 2})")
    spec = {"params": {"lr": 1.0, "name": "a b", "model": {"width": 3}}}
    ran = programs.as_job(text, spec, "--lr=1", "--data", "/there", "name='a b'")
    assert json.loads(ran.stdout) == {"lr": 1.0, "data": "/there", "model": {"width": 3, "depth": 2}, "name": "a b"}


def test_a_parameter_that_is_not_there_is_named_with_the_nearest() -> None:
    p = swath.params(learning_rate=0.1, epochs=3)
    with pytest.raises(AttributeError, match="no parameter `learning_rat`; did you mean `learning_rate`"):
        p.learning_rat
    with pytest.raises(AttributeError, match="there are learning_rate, epochs"):
        p.zzz
    assert not hasattr(p, "momentum")
    assert getattr(p, "momentum", 0.9) == 0.9
    assert "learning_rate" in dir(p)


def test_what_the_program_changes_is_its_own() -> None:
    p = swath.params(lr=0.1)
    p.lr, p.device = 0.2, "cpu"
    assert p == {"lr": 0.2, "device": "cpu"}
    del p.device
    with pytest.raises(AttributeError):
        del p.device
    assert swath.params(lr=0.1).lr == 0.1


def test_a_spec_that_cannot_be_read_is_named(programs: Programs) -> None:
    ran = programs.by_hand("import swath; swath.params()", env={"SWATH_SPEC": "nowhere.json"})
    assert ran.code == 1 and "cannot read the job's spec" in ran.stderr and "nowhere.json" in ran.stderr


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), JSON))
def test_parameters_are_the_dictionary_that_they_were(values: Dict[str, Any]) -> None:
    p = swath.Params(values)
    assert p == values and json.loads(json.dumps(p)) == values
    for same in (pickle.loads(pickle.dumps(p)), copy.copy(p), copy.deepcopy(p), p.copy()):
        assert same == values and type(same) is swath.Params
