"""The form for sweeps: a real sweep in another process, its results, and bad input in a sentence."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from streamlit import config
from streamlit.testing.v1 import AppTest

from tests.conftest import opened_app
from ui.server import door, permission
from ui.studies import sweeps
from unlearn_core.methods import METHODS
from unlearn_core.nets.request import Request
from unlearn_core.study import results
from unlearn_core.study.comparison import load
from unlearn_core.study.run import described
from unlearn_core.study.space import Range, Space

PAGE = """
from ui.state import state
from ui.studies.sweeps import sweeps
sweeps(state())
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sweeps, "FOLDER", tmp_path)
    monkeypatch.setattr(sweeps, "WORKERS", 1)
    return tmp_path


def form(method: str) -> AppTest:
    test = AppTest.from_string(PAGE, default_timeout=60)
    test.query_params["method"] = method
    return test.run()


def until(test: AppTest, *said: str) -> AppTest:
    """Run again, as the fragment would, until a button of such a name is there."""
    for _ in range(900):
        assert not test.exception
        if {button.label for button in test.button} & set(said):
            return test
        time.sleep(0.2)
        test.run()
    raise AssertionError([button.label for button in test.button])


def test_a_sweep_runs_elsewhere_can_be_stopped_and_goes_on(folder: Path) -> None:
    test = form("head_zeroing")
    test.number_input(key="sweep.head_zeroing.depth.points").set_value(12).run()
    assert "12 runs, 0 of them finished, on 1 processes" in test.caption[-1].value
    test.button(key="sweep.start").click().run()
    other = form("ssd")  # another visitor
    assert "Another sweep is running (Head zeroing" in other.info[0].value
    (made,) = (one for one in folder.iterdir() if one.is_dir())
    test.button(key="sweep.stop").click().run()
    until(test, "Start", "Go on").button(key="sweep.start").click().run()
    until(test, "All runs are there")
    found = results.load(made)
    assert len(found) == 12 and (found["status"] == "done").all()
    assert test.markdown[-1].value.startswith("#### Nearest to retraining of 12 settings: Depth = ")
    table = test.dataframe[0].value
    assert len(table) == 12 and table["gap"].is_monotonic_increasing and not test.error


def test_bad_input_is_a_sentence() -> None:
    test = form("ssd")
    test.number_input(key="sweep.ssd.alpha.points").set_value(100).run()
    test.number_input(key="sweep.ssd.lambda.points").set_value(100).run()
    assert "at most 2,000 from this page expected, got 10,000" in test.warning[0].value
    test.multiselect(key="sweep.forget").set_value([]).run()
    assert "forget: at least one request expected" in test.warning[0].value and not test.exception
    test = form("amnesiac")
    test.multiselect(key="sweep.amnesiac.epochs.choices").set_value([]).run()
    assert "epochs: at least one value expected" in test.warning[0].value and not test.exception


@pytest.mark.parametrize("network, forget, runs", [
    ("people-resnet", "person:0,3", 10), ("people-resnet", "image:17,40", 5), ("people-poisoned", "poisoned:0", 5),
    ("small-resnet", "0,3", 10)])
def test_every_kind_of_request_can_be_swept(network: str, forget: str, runs: int) -> None:
    test = AppTest.from_string(PAGE, default_timeout=60)
    for name, value in (("method", "head_zeroing"), ("network", network), ("forget", forget)):
        test.query_params[name] = value
    test.run()
    assert not test.exception and f"{runs} runs, 0 of them finished" in test.caption[-1].value
    chosen = test.multiselect(key="sweep.forget")
    assert [value for value in chosen.value] == ([forget] if "image" in forget else [
        f"{kind}{separator}{number}" for kind, separator, numbers in (forget.rpartition(":"),)
        for number in numbers.split(",")])
    assert len(set(chosen.options)) == len(chosen.options) > 2


def test_a_sweep_that_could_not_begin_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "FOLDER", folder / "file" / "x")
    (folder / "file").touch()
    test = form("head_zeroing")
    test.button(key="sweep.start").click().run()
    assert "folder: one that can be written to expected" in test.error[0].value and not test.exception


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sweeps that run these lines of Python instead."""
    begin = subprocess.Popen

    def run(lines: str) -> None:
        monkeypatch.setattr(subprocess, "Popen",
                            lambda _, **options: begin([sys.executable, "-c", lines], **options))

    return run


def ended() -> sweeps.Started:
    """The last sweep, once it has ended."""
    for _ in range(100):
        if (found := sweeps.last()) is not None and not found.running:
            return found
        time.sleep(0.1)
    raise AssertionError("it goes on")


def test_the_next_server_finds_the_sweep_of_one_that_was_killed_and_stops_it(
        folder: Path, instead: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    instead("import time; print('{\"share\": 0.25, \"note\": \"3 of 12 runs\"}', flush=True); time.sleep(60)")
    sweeps.start(Space(("head_zeroing",)), folder / "one", "Head zeroing on Small ResNet")
    monkeypatch.setattr(sweeps, "_child", None)  # all that the killed one knew
    found = sweeps.last()
    assert found is not None and found.running and found.about == "Head zeroing on Small ResNet"
    sweeps.start(Space(("ssd",)), folder / "two", "another")
    assert (now := sweeps.last()) is not None and now.about == found.about, "one at a time"
    for _ in range(50):
        if found.lines:
            break
        time.sleep(0.1)
    test = form("ssd")
    assert "Another sweep is running (Head zeroing" in test.info[0].value
    test.button(key="sweep.stop").click().run()
    assert not ended().running and not test.exception
    assert "sweep.start" in {button.key for button in test.run().button}


@pytest.mark.parametrize("lines, said", [
    ("import os; os.kill(os.getpid(), 9)", "The sweep was killed; it goes on from what had finished."),
    ("raise SystemExit('no room')", "no room"), ("raise SystemExit('Interrupted.')", ""),
    ("print('{\"total\": 12}')", "")])
def test_why_a_sweep_has_ended(folder: Path, instead: Callable[[str], None], lines: str, said: str) -> None:
    instead(lines)
    sweeps.start(Space(("head_zeroing",)), folder / "one", "")
    assert ended().reason == said


def test_a_sweep_that_cannot_be_noted_does_not_run(
        folder: Path, instead: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    instead("import time; time.sleep(60)")
    monkeypatch.setattr(json, "dump", full)
    with pytest.raises(OSError, match="No space left"):
        sweeps.start(Space(("head_zeroing",)), folder / "one", "")
    assert sweeps._child is not None and sweeps._child.wait(20) != 0


@pytest.mark.parametrize("error, why", [(errno.EROFS, "Read-only file system"), (errno.ENOSPC, "No space left")])
def test_a_folder_that_takes_no_file_is_said_in_a_sentence(
        folder: Path, monkeypatch: pytest.MonkeyPatch, error: int, why: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error), str(folder / "new"))

    test = form("head_zeroing")
    monkeypatch.setattr(Path, "mkdir", refuse)
    test.button(key="sweep.start").click().run()
    assert not test.exception and why in test.error[0].value and str(folder) not in test.error[0].value
    assert sweeps.last() is None


@pytest.mark.parametrize("note", ["", "{", "[]", '{"folder": 1}', '{"folder": "", "about": "", "pid": -1}'])
def test_a_note_that_makes_no_sense_is_none(folder: Path, note: str) -> None:
    (folder / sweeps.NOTE).write_text(note)
    assert sweeps.last() is None and not form("head_zeroing").exception


def test_a_torn_log_is_read_as_far_as_it_makes_sense(folder: Path) -> None:
    (folder / ".progress").write_bytes(b'{"share": 0.1}\n\0\0\0{"share"\n7\n\xff\n{"said": "so"}\n{"share": 0.')
    found = sweeps.Started(folder, "", 2, True)
    assert found.lines == [{"share": 0.1}, {"said": "so"}] and found.reason == ""


def test_no_message_says_where_the_files_are(folder: Path) -> None:
    test = form("head_zeroing")
    test.button(key="sweep.start").click().run()
    made = sweeps.last()
    assert made is not None
    sweeps.stop()
    (made.folder / "results.parquet").write_text("no such thing")
    test.run()
    said = " ".join(one.value for one in (*test.warning, *test.error, *test.info, *test.caption))
    assert "results.parquet" in said and str(folder) not in said
    assert sweeps.shown(f"no room in {tempfile.gettempdir()}/x, {folder}") == "no room in x, its folder"


@pytest.mark.parametrize("said, address, hosts, may", [
    ("", "localhost", "", True), ("", "127.0.0.1", "", True), ("", "0.0.0.0", "", False), ("", "", "", False),
    ("", "localhost", "lacuna.school.example", False), ("yes", "0.0.0.0", "", True), ("no", "localhost", "", False),
    ("perhaps", "0.0.0.0", "", False)])
def test_visitors_from_elsewhere_start_and_stop_nothing_unless_the_operator_lets_them(
        monkeypatch: pytest.MonkeyPatch, said: str, address: str, hosts: str, may: bool) -> None:
    known = config.get_option
    monkeypatch.setattr(config, "get_option", lambda name: address if name == "server.address" else known(name))
    monkeypatch.setenv(permission.STUDIES, said)
    monkeypatch.setenv(door.HOSTS, hosts)
    test = form("head_zeroing")
    assert ("sweep.start" in {button.key for button in test.button}) == may == permission.visitors_may()
    assert (permission.STUDIES_ARE_THE_OPERATORS in test.caption[-1].value) != may and not test.exception


def test_a_method_newer_than_what_is_shipped_breaks_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "mine", replace(METHODS["head_zeroing"], name="mine", title="Mine"))
    test = form("mine")
    assert "0 of them finished" in test.caption[-1].value and not test.exception
    compare = opened_app(60)
    compare.query_params["pair"] = "mine,ssd"
    compare.switch_page("pages/compare.py").run()
    assert any("it is newer than the shipped comparison" in info.value for info in compare.info)
    assert not compare.exception and not compare.error and len(compare.get("plotly_chart")) == 6


def test_the_summary_is_the_mean_over_classes_and_seeds() -> None:
    space = Space(("neggrad",), forget=(Request((0,)), Request((1,))), seeds=2, grid={"lr": Range(0.001, 0.01, 2)})
    rows = [described(chosen) | {"forget_train": 0.5, "retain_test": 0.9, "membership": 0.1, "seconds": 1.0}
            for chosen in space]
    found = sweeps.summary(pd.DataFrame(rows), space)
    wanted = []
    for label in (0, 1):
        shipped = load("small-resnet", Request((label,)))
        assert shipped is not None
        wanted.append([100 * (value - shipped.entries["retrain"].values(name).mean())
                       for name, value in (("forget_train", 0.5), ("retain_test", 0.9))])
    assert list(found["runs"]) == [4, 4]
    assert found["forget"][0] == pytest.approx((wanted[0][0] + wanted[1][0]) / 2)
    assert found["gap"][0] == pytest.approx(sum(abs(gap) for pair in wanted for gap in pair) / 2)
