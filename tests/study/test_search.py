"""Searches: what is judged, that they resume as if nothing had happened, and what a broken file does."""

from __future__ import annotations

import errno
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from distributed import LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.browser.test_own_subject import folder
from tests.conftest import opened_app
from unlearn_core import assets
from unlearn_core.nets.request import Request
from unlearn_core.progress import Cancelled, Progress, silent
from unlearn_core.serving.choice import Choice, choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.landscape import numeric
from unlearn_core.serving.pool import Lane
from unlearn_core.study import cluster as cluster_module
from unlearn_core.study import comparison, judging, tune
from unlearn_core.study import search as searches
from unlearn_core.study.judging import judge
from unlearn_core.study.results import SweepError
from unlearn_core.study.search import Goal, Search, best_so_far, discard, results, run, running, search, submit
from unlearn_core.subjects import own
from unlearn_core.subjects.own import in_use
from unlearn_core.subjects.subject import FOLDER, subject, subjects

SSD = choice("small-resnet", (0,), "ssd", {})
PAPER = (("alpha", 0.1, 100.0), ("lambda", 0.1, 5.0))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


def bowl(engine: object, chosen: Choice, progress: Progress, aim: object = None) -> tuple[float, float]:
    """Stands in for a judgement: best at alpha 3, lambda 1."""
    knobs = dict(chosen.settings)
    return 10 * abs(math.log(float(knobs["alpha"]) / 3)), abs(math.log(float(knobs["lambda"])))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "judge", bowl)


def stopping_at(number: int) -> Progress:
    def progress(share: float, note: str) -> None:
        if note.startswith(f"trial {number} "):
            raise Cancelled

    return progress


def begun(wanted: Search, folder: Path, engine: Engine, trials: int) -> Path:
    """A search stopped after so many trials."""
    with pytest.raises(Cancelled):
        run(engine, wanted, stopping_at(trials + 1), folder)
    (file,) = folder.glob("*.journal")
    return file


def test_a_trial_is_judged_on_validation_images_against_the_retrained(engine: Engine) -> None:
    unchanged = choice("small-resnet", (0,), "ssd", {"alpha": 100.0})
    before = tune.accuracies("small-resnet", Request((0,)), None, subject("small-resnet").original())
    models = subject("small-resnet").retrained(Request((0,)))
    wanted = np.mean([tune.accuracies("small-resnet", Request((0,)), None, model) for model in models], 0)
    found = judge(engine, unchanged, silent)
    assert found == pytest.approx(100 * np.abs(np.subtract(before, wanted)))
    assert found[0] > 80 > judge(engine, SSD, silent)[0]


@pytest.mark.parametrize("ranges, trials, said", [
    ((("alpha", 5.0, 2.0),), 50, r"alpha: a lower end below the upper end, both in \[0.1, 100\], expected, got 5 to 2"),
    ((("alpha", 2.0, 2.0),), 50, "got 2 to 2"), ((("alpha", 0.0, 2.0),), 50, "got 0 to 2"),
    ((("alpha", float("nan"), 2.0),), 50, "got nan"), ((("beta", 0.1, 1.0),), 50, "one of alpha, lambda"),
    ((), 50, "at least one knob"), (PAPER, 0, "trials"), (PAPER, 10**6, "trials"),
])
def test_a_search_that_means_nothing_is_refused_in_a_sentence(
        ranges: tuple[tuple[str, float, float], ...], trials: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        search(SSD, ranges, trials=trials)


def test_without_retrained_networks_there_is_no_search() -> None:
    with pytest.raises(ValueError, match="a request with bundled retrained networks expected"):
        search(choice("small-resnet", (0, 1), "ssd", {}), PAPER)


@pytest.fixture
def bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a subject that is not prepared yet."""
    monkeypatch.setenv(FOLDER, str(folder(tmp_path, 1)))
    subjects.cache_clear()
    yield tmp_path / "bars"
    monkeypatch.undo()
    subjects.cache_clear()


def test_a_subject_of_ones_own_is_searched_on_its_validation_pictures(bars: Path, tmp_path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """Without them not at all; with them here and on a cluster, whose workers find it by its fingerprint."""
    own.prepare(bars, texts=("left",), seeds=2)
    subjects.cache_clear()
    with pytest.raises(ValueError, match="network: one with validation images expected, on which a search is judged"):
        search(choice("bars", (0,), "ssd", {}), PAPER, retrained=True)
    paint = np.random.default_rng(7)
    for name in ("left", "right"):
        for i in range(20):
            file = bars / "data" / "validation" / name / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(paint.integers(0, 255, (24, 24, 3), np.uint8)).save(file)
    own.prepare(bars, texts=("left",), seeds=2)
    subjects.cache_clear()
    in_use.cache_clear()
    everyone = [f"{part}/{name}/{i}.png" for part, number in (("train", 3), ("validation", 20))
                for name in ("left", "right") for i in range(number)]
    (bars / "metadata.csv").write_text("file_name,person\n" + "".join(f"{file},Anna\n" for file in everyone))
    own.prepare(bars, texts=("left",), seeds=2)
    subjects.cache_clear()
    in_use.cache_clear()
    with pytest.raises(ValueError, match="leaves validation images to be kept expected, got Anna"):
        search(choice("bars", Request((0,), "person"), "ssd", {}), PAPER, retrained=True)
    left, right = choice("bars", (0,), "ssd", {}), subject("bars").images
    assert right.validation is not None and len(right.validation) == 40 and len(right.test) == 60
    assert [len(images) for images in tune.judged_images("bars", left.forget)] == [60, 40]
    here, wanted = Engine(), search(left, PAPER, trials=5, retrained=True)
    assert here.retrained("bars", left.forget)
    assert run(here, wanted, silent, tmp_path / "found") == 5
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50) as cluster:
        run(here, replace(wanted, trials=7), silent, tmp_path / "found", scheduler=cluster.scheduler_address)
    last = results(replace(wanted, trials=7), tmp_path / "found").trials[-1]
    assert (last.forget_gap, last.retain_gap) == pytest.approx(judge(here, wanted.at(last.values), silent))


def test_networks_that_were_retrained_here_serve_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two classes, of which nothing is bundled; the workers of a cluster have no such networks, and need none."""
    pair, here = choice("people-resnet", (0, 3), "ssd", {}), Engine()
    wanted = search(pair, PAPER, trials=5, retrained=True)
    with pytest.raises(ValueError, match="no longer at hand"):
        judge(here, wanted.at({"alpha": 3.0, "lambda": 1.0}), silent)
    networks = [dict(subject("people-resnet").retrained(Request((label,)))[0].state_dict()) for label in (0, 3)]
    here.keep_retrained("people-resnet", pair.forget, networks)
    found = judge(here, choice("people-resnet", (0, 3), "ssd", {"alpha": 100.0}), silent)
    read = [tune.accuracies("people-resnet", pair.forget, weights, here.base("people-resnet").model)
            for weights in (None, *networks)]
    assert found == pytest.approx(100 * np.abs(np.array(read[0]) - np.mean(read[1:], 0)))
    images, _ = tune.judged_images("people-resnet", pair.forget)
    counts = torch.bincount(images.labels, minlength=6)
    assert counts[0] > 0 and counts[3] > 0 and counts.sum() == counts[[0, 3]].sum()
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50) as cluster:
        run(here, wanted, silent, tmp_path, scheduler=cluster.scheduler_address)
    last = results(wanted, tmp_path).trials[-1]
    assert (last.forget_gap, last.retain_gap) == pytest.approx(judge(here, wanted.at(last.values), silent))


def test_a_person_can_be_searched_for(engine: Engine) -> None:
    person = choice("people-resnet", Request((2,), "person"), "ssd", {})
    wanted = search(person, PAPER)
    weak, strong = (judge(engine, wanted.at({"alpha": alpha, "lambda": 1.0}), silent) for alpha in (100.0, 0.5))
    assert weak[0] > 5 and weak[1] < 2, "forgets nothing"
    assert strong[1] > weak[1] + 10, "ruins the others"


def test_a_search_runs_on_a_cluster_and_outlives_one_of_its_workers(
        tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))  # a page's test leaves the page there
    wanted = search(choice("people-resnet", Request((2,), "person"), "ssd", {}), PAPER, trials=5)
    killed: list[int] = []
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50) as cluster:
        def progress(share: float, note: str) -> None:
            if "on the cluster" in note and not killed:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

        run(engine, wanted, progress, tmp_path, scheduler=cluster.scheduler_address)
        with pytest.raises(Cancelled):
            run(engine, replace(wanted, trials=9), stopping_at(6), tmp_path, scheduler=cluster.scheduler_address)
    trials = results(wanted, tmp_path).trials
    assert killed and len(trials) == 5
    last = trials[-1]
    assert (last.forget_gap, last.retain_gap) == pytest.approx(judge(engine, wanted.at(last.values), silent))


def test_a_cluster_without_workers_is_given_up(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hold the one place for long work until somebody comes back to pause it."""
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))  # a page's test leaves the page there
    monkeypatch.setattr(judging, "WITHOUT_SECONDS", 1.0)
    wanted = search(choice("people-resnet", Request((2,), "person"), "ssd", {}), PAPER, trials=5)
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50) as cluster:
        def progress(share: float, note: str) -> None:
            if "on the cluster" in note and cluster.workers:
                cluster.scale(0)

        with pytest.raises(SweepError, match="no worker for 1 seconds"):
            run(engine, wanted, progress, tmp_path, scheduler=cluster.scheduler_address)
    assert not results(wanted, tmp_path).trials and not running(wanted, tmp_path)


def test_a_scheduler_that_does_not_answer_is_named(tmp_path: Path, engine: Engine,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "ANSWER_SECONDS", 1.0)
    with pytest.raises(SweepError, match="where none answers"):
        run(engine, search(SSD, PAPER, trials=5), silent, tmp_path, scheduler="tcp://127.0.0.1:9")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("goal", ["one", "both"])
def test_an_interrupted_search_finds_what_it_would_have_found(tmp_path: Path, engine: Engine, goal: Goal) -> None:
    wanted = search(SSD, PAPER, goal, trials=16)
    run(engine, wanted, silent, tmp_path / "whole")
    begun(wanted, tmp_path / "parts", engine, 4)
    assert len(results(wanted, tmp_path / "parts").trials) == 4
    begun(wanted, tmp_path / "parts", engine, 13)
    run(engine, wanted, silent, tmp_path / "parts")
    whole = results(wanted, tmp_path / "whole")
    assert len(whole.trials) == 16 and results(wanted, tmp_path / "parts") == whole
    assert set(whole.importances) == {"alpha", "lambda"} and sum(whole.importances.values()) == pytest.approx(1)
    assert goal == "both" or next(iter(whole.importances)) == "alpha"


@pytest.mark.usefixtures("quick")
def test_a_longer_search_goes_on_from_a_shorter_one(tmp_path: Path, engine: Engine) -> None:
    run(engine, search(SSD, PAPER, trials=5), silent, tmp_path)
    run(engine, search(SSD, PAPER, trials=8), silent, tmp_path)
    found = results(search(SSD, PAPER, trials=8), tmp_path).trials
    assert len(found) == 8 and best_so_far(found)[-1] == min(trial.score for trial in found)
    discard(search(SSD, PAPER), tmp_path)
    assert not results(search(SSD, PAPER), tmp_path).trials


@pytest.mark.usefixtures("quick")
def test_a_line_cut_short_costs_one_trial_and_a_broken_file_is_set_aside(tmp_path: Path, engine: Engine) -> None:
    wanted = search(SSD, PAPER, trials=6)
    file = begun(wanted, tmp_path, engine, 4)
    file.write_bytes(file.read_bytes() + b'{"op_code":4,"worker')
    assert len(results(wanted, tmp_path).trials) == 4 and not results(wanted, tmp_path).damaged
    run(engine, wanted, silent, tmp_path)
    assert len(results(wanted, tmp_path).trials) == 6
    broken = b"\x00garbage\n" + file.read_bytes()
    file.write_bytes(broken)
    assert results(wanted, tmp_path).damaged
    run(engine, wanted, silent, tmp_path)
    assert len(results(wanted, tmp_path).trials) == 6
    (aside,) = tmp_path.glob("*.damaged-*")
    assert aside.read_bytes() == broken


def test_a_running_search_is_left_alone_by_everybody_else(tmp_path: Path, engine: Engine,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = search(SSD, PAPER, trials=6)

    def meddled_with(engine: Engine, chosen: Choice, progress: Progress, aim: object = None) -> tuple[float, float]:
        assert running(wanted, tmp_path) and not running(search(SSD, PAPER, seed=1), tmp_path)
        for meddle in (lambda: discard(wanted, tmp_path), lambda: run(engine, wanted, silent, tmp_path)):
            with pytest.raises(RuntimeError, match="This search is running"):
                meddle()
        return bowl(engine, chosen, progress)

    monkeypatch.setattr(judging, "judge", meddled_with)
    monkeypatch.setattr(searches, "PATIENCE", 0.0)
    assert run(engine, wanted, silent, tmp_path) == 6 == len(results(wanted, tmp_path).trials)
    study = searches.loaded(tmp_path / f"{wanted.key}.journal")
    assert study is not None and len(study.trials) == 6 and not running(wanted, tmp_path)
    discard(wanted, tmp_path)
    assert not results(wanted, tmp_path).trials


@pytest.mark.usefixtures("quick")
def test_a_search_that_is_about_to_pause_is_waited_for(tmp_path: Path, engine: Engine) -> None:
    wanted, held = search(SSD, PAPER, trials=5), threading.Event()

    def hold() -> None:
        with searches.alone(wanted, tmp_path):
            held.set()
            time.sleep(0.2)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    assert run(engine, wanted, silent, tmp_path) == 5
    holder.join()


def test_a_search_gives_way_to_others_between_trials(tmp_path: Path, engine: Engine) -> None:
    wanted = searches.search(SSD, [("alpha", 1, 40)], "one", 5)
    assert searches.run(engine, wanted, silent, tmp_path, lambda: True) == 1
    gate, order = threading.Event(), list[str]()
    first = engine.pool.submit("first", lambda progress: gate.wait(20), Lane.LONG)
    asked = searches.submit(engine, wanted, tmp_path)
    other = engine.pool.submit("other", lambda progress: order.append("other"), Lane.LONG)
    gate.set()
    assert first.result() and asked.result() == 2, "one more trial, for somebody waits"
    other.result()
    assert searches.submit(engine, wanted, tmp_path).result() == 5 and order == ["other"]
    searches.discard(wanted, tmp_path)
    assert searches.submit(engine, wanted, tmp_path).result() == 5, "what was thrown away is searched for again"
    assert len(searches.results(wanted, tmp_path).trials) == 5


def test_a_setting_that_was_refused_is_not_proposed_again(tmp_path: Path, engine: Engine,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, refused = search(SSD, PAPER, trials=8), set[float]()

    def judged(engine: Engine, chosen: Choice, progress: Progress, aim: object = None) -> tuple[float, float]:
        progress(0.5, "halfway")
        alpha = float(dict(chosen.settings)["alpha"])
        if alpha in refused or len(refused) < 3:
            refused.add(alpha)
            raise ValueError("model: finite outputs expected, got NaN")
        return bowl(engine, chosen, progress)

    monkeypatch.setattr(judging, "judge", judged)
    for _ in range(3):
        with pytest.raises(ValueError, match="finite outputs"):
            run(engine, wanted, silent, tmp_path / "whole")
    assert len(refused) == 3 and run(engine, wanted, silent, tmp_path / "whole") == 8
    refused.clear()  # once more, interrupted in between

    def interrupted(share: float, note: str) -> None:
        if note.endswith("halfway") and share > 0.5:
            raise Cancelled

    for progress in (silent, silent, silent, stopping_at(3), interrupted):
        with pytest.raises(ValueError if progress is silent else Cancelled):
            run(engine, wanted, progress, tmp_path / "parts")
    run(engine, wanted, silent, tmp_path / "parts")
    assert results(wanted, tmp_path / "parts") == results(wanted, tmp_path / "whole")


@pytest.mark.usefixtures("quick")
def test_a_sound_file_that_cannot_be_read_now_is_not_set_aside(tmp_path: Path, engine: Engine,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = search(SSD, PAPER, trials=6)
    kept = begun(wanted, tmp_path, engine, 4).read_bytes()

    def exhausted(file: Path) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(searches, "_storage", exhausted)
        for attempt in (lambda: results(wanted, tmp_path), lambda: run(engine, wanted, silent, tmp_path)):
            with pytest.raises(OSError, match="Too many open files"):
                attempt()
    (file,) = tmp_path.glob("*.journal*")
    assert file.read_bytes() == kept
    assert run(engine, wanted, silent, tmp_path) == 6


def test_the_page_says_what_is_in_the_way_of_a_search(tmp_path: Path, engine: Engine,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    def folder(path: Path) -> None:
        for function in (run, results, submit, discard, running):
            monkeypatch.setattr(function, "__defaults__", (path, *(function.__defaults__ or ())[1:]))

    def missing(network: str, forget: tuple[int, ...]) -> None:
        raise assets.AssetError("assets/comparisons/x.npz is missing")

    monkeypatch.setattr(comparison, "load", missing)
    monkeypatch.setattr(judging, "judge", lambda engine, chosen, progress, aim: (dict(chosen.settings)["depth"], 0.0))
    depth = numeric("head_zeroing")["depth"]
    wanted = search(choice("small-resnet", (0,), "head_zeroing", {}), [("depth", depth.low, depth.high)])
    begun(wanted, tmp_path, engine, 4)
    (tmp_path / "file").touch()
    folder(tmp_path / "file" / "x")
    test = opened_app()
    test.query_params["method"] = wanted.rest.method
    test.switch_page("pages/landscape.py").run()
    said = [error.value for error in test.error]
    assert said == ["assets/comparisons/x.npz is missing"], "the rest of the page is there"
    next(button for button in test.button if button.label == "Search").click().run()
    for _ in range(50):
        if not any(button.label == "Pause" for button in test.button):
            break
        time.sleep(0.1)
        test.run()
    assert "The search cannot go on: not a directory" in test.error[0].value and not test.exception
    folder(tmp_path)
    with searches.alone(wanted, tmp_path):  # another visitor's
        test.run()
        labels = {button.label for button in test.button}
        assert not {"Throw away", "Resume", "Pause"} & labels
    test.run()
    next(button for button in test.button if button.label == "Throw away").click().run()
    assert not results(wanted, tmp_path).trials and not test.exception


@settings(max_examples=5, deadline=None)
@given(low=st.floats(0.1, 5), times=st.floats(1.1, 20), seed=st.integers(0, 9))
def test_trials_stay_within_their_ranges(tmp_path_factory: pytest.TempPathFactory, low: float, times: float,
                                         seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "judge", bowl)
        wanted = search(SSD, (("alpha", low, low * times),), trials=12, seed=seed)
        folder = tmp_path_factory.mktemp("ranges")
        patch.setattr(judging, "reference", lambda *of: (0.0, 1.0))
        run(None, wanted, silent, folder)  # type: ignore[arg-type]
        found = results(wanted, folder)
    assert all(low <= trial.values["alpha"] <= low * times for trial in found.trials) and not found.importances
