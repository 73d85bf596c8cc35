"""The command line: the same numbers as the app, in a table or JSON, and an exit code that says how it went."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import REPOSITORY
from unlearn_core.__main__ import main
from unlearn_core.cli import run as run_command
from unlearn_core.cli import sweep as sweep_command
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Cost, Diverged, Outcome
from unlearn_core.nets.request import Request
from unlearn_core.serving.choice import Choice, choice
from unlearn_core.study import results
from unlearn_core.study.run import Row, failure
from unlearn_core.subjects import openings
from unlearn_core.subjects.fashion import fashion_mnist
from unlearn_core.subjects.subject import bundled, subject


def answer(capsys: pytest.CaptureFixture[str], *command: str) -> dict[str, object]:
    """What a command says in JSON; it must go well and say nothing else."""
    assert main([*command, "--json"]) == 0
    said = capsys.readouterr()
    found: dict[str, object] = json.loads(said.out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert not said.err
    return found


def test_list_has_every_declaration(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "list")
    assert list(found["methods"]) == list(METHODS) and list(found["networks"]) == list(bundled())  # type: ignore[call-overload]
    for name, method in METHODS.items():
        knobs = found["methods"][name]["hyperparameters"]  # type: ignore[index]
        assert {knob: said["default"] for knob, said in knobs.items()} == method.settings()
    assert main(["list"]) == 0
    table = capsys.readouterr().out
    assert all(f"{name}: {method.title}" in table for name, method in METHODS.items())
    assert "0.1 to 100 (log)" in table and "class_sorted | shuffled" in table


def test_run_reads_the_gauges_and_saves_the_network(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    command = ["run", "head_zeroing", "--forget", "3", "--set", "depth=1000"]
    found = answer(capsys, *command, "--save", str(file))
    assert found["key"] == choice("small-resnet", (3,), "head_zeroing", {"depth": 1000.0}).key
    forget = found["gauges"]["forget"]  # type: ignore[index]
    assert forget["value"] == 0 and forget["interval"][1] < 0.05 < forget["original"] and len(forget["retrained"]) > 1
    saved = subject("small-resnet").network(load_file(file))
    images = fashion_mnist("test")
    with torch.no_grad():
        predicted = saved(images.pixels(torch.nonzero(images.labels == 3).flatten()[:50])).argmax(1)
    assert (predicted != 3).all()
    assert main(command) == 0
    table = capsys.readouterr().out
    assert "forgetting Dress (3)" in table and "95 % interval" in table and str(found["verdict"]) in table
    assert found["level"] == "Hidden" and found["gauges"]["retain"]["images"] == 9_000  # type: ignore[index]
    assert found["checks"]["Relearn time"]["status"] == "not made yet"  # type: ignore[index]


def test_no_work_is_done_for_a_file_that_cannot_be_written(
        capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(run_command, "run", lambda *_: pytest.fail("there was work"))
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "no" / "w", tmp_path / "file" / "w", Path("/dev/full")):
        assert main(["run", "ssd", "--save", str(place)]) == 2
        said = capsys.readouterr().err
        assert said.startswith("save: a file in an existing folder") and str(place) in said and said.count("\n") == 1
    assert Path("/dev/full").is_char_device()


def test_a_saved_network_is_replaced_whole_or_not_at_all(
        capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file, write = tmp_path / "w", Path.write_bytes
    file.write_bytes(b"before")

    def diverge(*_: object) -> None:
        raise Diverged("out of bounds")

    def cut_short(file: Path, raw: bytes) -> int:
        write(file, raw[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run_command, "run", diverge)
    assert main(["run", "ssd", "--save", str(file)]) == 1
    monkeypatch.setattr(run_command, "run", lambda *_: SimpleNamespace(outcome=Outcome({}, {}, (), Cost())))
    monkeypatch.setattr(Path, "write_bytes", cut_short)
    assert main(["run", "ssd", "--save", str(file)]) == 2 and "No space left" in capsys.readouterr().err
    assert [(found, found.read_bytes()) for found in tmp_path.iterdir()] == [(file, b"before")]


def test_audit_says_whether_it_can_be_told(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "audit", "head_zeroing", "--forget", "3")
    assert found["level"] == "Hidden" and found["told_by"]["distance"]["place"] == "apart"  # type: ignore[index]
    assert 0 <= found["attacks"]["margin"]["auc"] <= 1  # type: ignore[index]
    near = found["relative"]
    assert near["side"] == "retrained" and near["p"] == 1 / 6 and near["klom"] > 50  # type: ignore[index]
    assert near["tried"]["Nearer to retraining"] == {  # type: ignore[index]
        "held_out": 5, "passing": 5, "worth": "works", "original_passes": False}
    several = answer(capsys, "audit", "head_zeroing", "--forget", "3,4")  # no retrained networks are bundled
    assert several["level"] == "Unknown" and several["seeds"] == 0 and several["relative"] is None
    assert main(["audit", "head_zeroing", "--forget", "3,4"]) == 0
    assert "this takes at least three retrained networks" in capsys.readouterr().out
    assert main(["audit", "head_zeroing", "--forget", "3"]) == 0
    said = capsys.readouterr().out
    assert "Nearer to each of 5 retrained networks than to the original" in said
    assert "5 of 5 held-out retrained networks pass, the original fails, head zeroing passes." in said
    assert "TPR at 1 % FPR" in said and "Promised" not in said and found["promise"] is None


def test_audit_says_what_was_promised(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["audit", "noisy_fine_tuning", "--network", "people-resnet", "--forget", "person:2"]
    promised = answer(capsys, *asked)["promise"]
    assert promised["epsilon"] == 1 and 0.01 < promised["tpr"]["0.01"] < 0.03  # type: ignore[index]
    assert promised["empty"] is False  # type: ignore[index]
    assert main(asked) == 0
    assert "Promised: ε = 1, δ = 1e-05. On average over noise and images, no attack may" in capsys.readouterr().out


def test_the_opening_is_used_when_asked_for_and_what_is_set_wins(capsys: pytest.CaptureFixture[str]) -> None:
    opens = openings.start("small-resnet", Request((3,)), "ssd")
    assert opens != METHODS["ssd"].settings()
    asked = answer(capsys, "run", "ssd", "--forget", "3", "--opening")
    assert asked["settings"] == opens
    assert asked["key"] == choice("small-resnet", (3,), "ssd", opens).key
    assert answer(capsys, "run", "ssd", "--forget", "3")["settings"] == METHODS["ssd"].settings()
    assert answer(capsys, "run", "ssd", "--forget", "3", "--opening", "--set", "alpha=7")["settings"] == \
        opens | {"alpha": 7.0}
    assert answer(capsys, "run", "ssd", "--forget", "3,4", "--opening")["settings"] == METHODS["ssd"].settings()


@pytest.mark.parametrize("command, code, said", [
    ("run ssd --forget 10 --opening", 2, "0..9"), ("run magic", 2, "method: one of"),
    ("run ssd --forget 10", 2, "0..9"),
    ("run ssd --network big", 2, "network: one"),
    ("run ssd --set alpha=0", 2, "alpha: a number in [0.1, 100] expected, got 0"),
    ("run ssd --set batch_size=4", 2, "batch_size: one of 16, 32, 64, 128, 250 expected, got 4\n"),
    ("run ssd --forget all", 2, "forget: numbers separated by commas expected, of classes, or after a kind and a "
                                  "colon, got 'all'\n"),
    ("sweep --methods ssd --out x --forget all", 2, "forget: numbers separated by commas expected"),
    ("run ssd --set alpha=nan", 2, "alpha: a number"), ("run ssd --set alpha", 2, "set: name=value expected"),
    ("run ssd --set alpha=1 alpha=2", 2, "alpha twice"), ("run ssd --set order=odd", 2, "order: one of class_sorted"),
    ("run ssd --seed -1", 2, "seed: a whole number"), ("run ssd --save /nowhere/w", 2, "save: a file in an existing"),
    ("run amnesiac --network small-vit", 1, "Amnesiac unlearning: No training history"),
    ("sweep --methods ssd --out x --grid alpha=9:1:5", 2, "alpha: a range from low to high"),
    ("sweep --methods ssd --out x --grid alpha=1:9", 2, "grid: values as 1,2,3 or low:high:points"),
    ("run", 2, "--state with a file"),
    ("sweep --methods ssd --out x --forget a", 2, "forget: numbers"),
    ("sweep --methods ssd --out x --workers 0", 2, "workers: a whole number"),
])
def test_what_cannot_be_done_is_said_in_one_line_with_a_code(
        capsys: pytest.CaptureFixture[str], command: str, code: int, said: str) -> None:
    assert main(command.split()) == code
    found = capsys.readouterr()
    assert said in found.err and found.err.count("\n") == 1 and not found.out
    assert not Path("x").exists()


@pytest.mark.parametrize("command", ["", "fly", "run ssd --seed x", "sweep --methods ssd"])
def test_what_cannot_be_understood_is_answered_with_the_usage(
        capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(command.split())
    assert stopped.value.code == 2 and "usage:" in capsys.readouterr().err


def test_a_sweep_into_a_log_says_how_far_it_is_and_refuses_what_is_not_its_own(
        capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sweep_command, "LOG_SECONDS", 0.0)
    monkeypatch.setattr(sweep_command, "connect", lambda *_: nullcontext())

    def batches(todo: Iterator[Choice], *_: object) -> Iterator[tuple[list[Row], bool]]:
        for chosen in todo:
            yield [failure(chosen, "done", "")], False

    monkeypatch.setattr("unlearn_core.study.sweep.batches", batches)
    command = ["sweep", "--methods", "head_zeroing", "--forget", "0", "1", "--out", str(tmp_path)]
    assert main(command) == 0
    assert capsys.readouterr().err.splitlines() == [" 50%, 1 of 2 runs", "100%, 2 of 2 runs"]
    assert main([*command, "--quiet"]) == 0 and not capsys.readouterr().err
    monkeypatch.setattr(sweep_command, "LOG_SECONDS", 60.0)
    assert main(command) == 0 and capsys.readouterr().err == " 50%, 1 of 2 runs\n"

    foreign = tmp_path / "results.parquet"
    pd.DataFrame({"mine": [1, 2]}).to_parquet(foreign)
    raw = foreign.read_bytes()
    assert main(command) == 2
    said = capsys.readouterr().err
    assert said.startswith("folder: results of sweeps") and str(foreign) in said and said.count("\n") == 1
    assert "damaged" not in said and foreign.read_bytes() == raw and not list(tmp_path.glob("*.corrupt"))


def test_a_sweep_on_this_machine_is_interrupted_tidily(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "unlearn_core", "sweep", "--methods", "head_zeroing", "--forget", "each",
               "--grid", "depth=1:1000:100", "--workers", "1", "--out", str(tmp_path), "--json"]
    sweep = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert sweep.stdout is not None and sweep.stderr is not None
    for line in sweep.stdout:
        if json.loads(line)["share"] > 0:
            break
    time.sleep(0.2)
    sweep.send_signal(signal.SIGTERM)
    rest = sweep.stdout.read().splitlines()
    assert sweep.wait() == 130 and "goes on from there" in rest[-1]
    assert sweep.stderr.read() == "Interrupted.\n"
    assert (results.load(tmp_path)["status"] == "done").all() and len(results.load(tmp_path))
