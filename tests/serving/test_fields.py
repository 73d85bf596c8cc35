"""One table of fields: what the address bar, a state file and the command line say of a choice is the same."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from ui.sheet import beyond
from ui.state import State, read_address
from unlearn_core.__main__ import main
from unlearn_core.nets.request import Request
from unlearn_core.serving.choice import Choice, choice
from unlearn_core.serving.fields import load_state, permalink, state_file
from unlearn_core.study import results
from unlearn_core.subjects import openings

CHOICES = [
    lambda: choice("small-resnet", (0,), "ssd", {"alpha": 4.64, "lambda": 0.3}),
    lambda: choice("small-vit", (3, 7), "scrub", {"epochs": 2}, seed=11),
    lambda: choice("people-resnet", Request((2,), "person"), "lfssd", {"alpha": 0.1}),
    lambda: choice("small-resnet", Request((17, 40), "image"), "head_zeroing", {}),
]


def from_address(text: str) -> State:
    return read_address(dict(parse_qsl(text.removeprefix("/?"))))


@pytest.mark.parametrize("make", CHOICES)
def test_address_and_file_are_read_back_as_the_same_choice(make: object, tmp_path: Path) -> None:
    chosen: Choice = make()  # type: ignore[operator]
    file = tmp_path / "state.toml"
    file.write_text(state_file(chosen, {"layer": "block1", "lesson": "2 “ssd”"}), "utf-8")
    assert load_state(file) == chosen
    visitor = from_address(permalink(chosen))
    assert visitor.choice() == chosen and not visitor.notes
    told = tomllib.loads(file.read_text("utf-8"))
    page = told.pop("page")
    visitor = read_address({name: str(value) for name, value in (told | page).items()})
    assert visitor.choice() == chosen and not visitor.notes and beyond(visitor) == page
    assert permalink(chosen) in file.read_text("utf-8").splitlines()[1]


def test_knobs_that_a_file_leaves_out_are_as_the_request_opens(tmp_path: Path) -> None:
    file = tmp_path / "state.toml"
    file.write_text('network = "small-resnet"\nforget = "7"\nmethod = "ssd"\nlambda = 0.5\n')
    opens = openings.start("small-resnet", Request((7,)), "ssd")
    assert load_state(file) == choice("small-resnet", (7,), "ssd", opens | {"lambda": 0.5})
    assert opens["lambda"] != 0.5
    assert load_state(file) == from_address("/?v=1&forget=7&lambda=0.5").choice()


@pytest.mark.parametrize(("text", "said"), [
    ("alpha = ", "no TOML"), ('forget = "0"\nmethod = "ssd"', "in words: network"),
    ('network = "small-resnet"\nforget = 0\nmethod = "ssd"', "in words: forget"),
    ('v = "2"\nnetwork = "small-resnet"\nforget = "0"\nmethod = "ssd"', "another version"),
    ('network = "small-resnet"\nforget = "0"\nmethod = "ssd"\nalpha = true', "alpha is neither"),
    ('network = "small-resnet"\nforget = "0"\nmethod = "ssd"\nalpha = [1]', "alpha is neither"),
    ('network = "small-resnet"\nforget = "0"\nmethod = "scrub"\nseed = 1.0', "seed is no whole number"),
    ('network = "small-resnet"\nforget = "0"\nmethod = "ssd"\nbeta = 1', "beta"),
    ('network = "small-resnet"\nforget = "0"\nmethod = "ssd"\nalpha = 1e9', "alpha"),
    ('network = "small-resnet"\nforget = "12"\nmethod = "ssd"', "0..9"),
])
def test_what_is_wrong_with_a_file_is_said(text: str, said: str, tmp_path: Path,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "state.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=said):
        load_state(file)
    assert main(["run", "--state", str(file)]) == 2 and said in capsys.readouterr().err


def test_run_and_sweep_read_a_state_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen, file = choice("small-resnet", (3,), "head_zeroing", {"depth": 1.0}), tmp_path / "state.toml"
    file.write_text(state_file(chosen))
    assert main(["run", "--state", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["key"] == chosen.key
    assert main(["run", "--state", str(file), "--set", "depth=2", "--json"]) == 0
    other = choice("small-resnet", (3,), "head_zeroing", {"depth": 2.0})
    assert json.loads(capsys.readouterr().out)["key"] == other.key
    for twice in (["ssd"], ["--forget", "1"], ["--seed", "0"], ["--opening"]):
        assert main(["run", *twice, "--state", str(file)]) == 2 and "not given again" in capsys.readouterr().err
    assert main(["run"]) == 2 and "--state" in capsys.readouterr().err
    assert main(["sweep", "--out", str(tmp_path / "none")]) == 2 and "--state" in capsys.readouterr().err
    assert main(["sweep", "--state", str(file), "--grid", "depth=1,2", "--workers", "1", "--quiet",
                 "--out", str(tmp_path / "out")]) == 0
    found = results.load(tmp_path / "out")
    assert set(found["key"]) == {chosen.key, other.key}
