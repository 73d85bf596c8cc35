"""Subjects of one's own on a cluster: workers in folders of their own, one without it, one killed, one slow."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import dask
import pytest
from distributed import Client, Nanny, Scheduler, SpecCluster

from tests.subjects.test_own import small
from unlearn_core.nets.request import IMAGE, Request
from unlearn_core.serving.choice import Choice, choice
from unlearn_core.study import placement, results, run, sweep
from unlearn_core.study.run import Row
from unlearn_core.study.space import Space
from unlearn_core.subjects import own
from unlearn_core.subjects.subject import FOLDER, subject, subjects


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("subjects")
    own.prepare(small(root / "Spots"))
    return root


@pytest.fixture
def mine(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of this process, with the subject ``spots``."""
    monkeypatch.setenv(FOLDER, str(prepared))
    subjects.cache_clear()
    yield prepared
    monkeypatch.undo()
    subjects.cache_clear()


def test_a_subject_is_known_by_its_fingerprint(mine: Path) -> None:
    fingerprint = subject("spots").fingerprint
    assert placement.state("spots", fingerprint) == "has"
    assert placement.state("spots", "0" * 64) == "has another"
    assert placement.state("dots", fingerprint) == "lacks"


def test_what_is_prepared_while_a_worker_runs_is_taken_up(
        tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    subjects.cache_clear()
    wanted = own.prepared(prepared, set())["spots"].fingerprint
    assert placement.state("spots", wanted) == "lacks"
    shutil.copytree(prepared / "Spots", tmp_path / "Spots")
    assert placement.state("spots", wanted) == "has"
    monkeypatch.undo()
    subjects.cache_clear()


def test_a_run_on_other_files_than_its_key_says_is_not_run(mine: Path) -> None:
    chosen = choice("spots", (0,), "head_zeroing", {})
    assert run.record(chosen)["status"] == "done"
    travelled = replace(chosen)
    vars(travelled)["key"] = "0123456789abcdef"  # worked out where the subject has other files
    row = run.record(travelled)
    assert row["status"] == "failed" and row["key"] == "0123456789abcdef"
    assert str(row["error"]).startswith("subject: spots as it is where the sweep was started expected on ")


class Cluster:
    """Workers as a scheduler lists them, which run whatever they are given at once."""

    def __init__(self, **workers: dict[str, float]) -> None:
        self.workers = workers

    def register_plugin(self, plugin: placement._Note) -> None:
        self.wanted = plugin.wanted

    def scheduler_info(self, n_workers: int) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
        return {"workers": {name: {"resources": found} for name, found in self.workers.items()}}


def test_who_lacks_a_subject_is_told_once_and_without_anybody_there_is_no_hope(
        mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = subject("spots").fingerprint
    workers = {f"tcp://{kind[-4:]}:1": {f"lacuna {kind} spots {said}": 1e9} for kind in ("has", "lacks", "has another")}
    there = Cluster(**workers)
    found = placement.Placement(there, ("small-resnet", "spots"))  # type: ignore[arg-type]
    assert there.wanted == {"spots": said} == found.own
    assert found.needs("small-resnet") == {} and list(found.needs("spots")) == [f"lacuna has spots {said}"]
    assert found.look() == [
        f"worker at tcp://{where}:1: subject spots with fingerprint {said[:8]} expected in its LACUNA_SUBJECTS, got "
        f"{what}; its runs go to workers that have it."
        for where, what in (("acks", "no such subject"), ("ther", "another of that name"))]
    assert found.look() == [] and found.hopeless("spots") == found.hopeless("small-resnet") == ""
    monkeypatch.setattr(placement, "WITHOUT_SECONDS", -1.0)
    assert found.hopeless("spots") == ""
    del there.workers["tcp://has:1"]
    assert found.look() == []
    assert "worker, got none; copy its prepared folder" in found.hopeless("spots")
    assert found.hopeless("small-resnet") == ""


def noted(log: Path, fatal: str) -> Callable[[Choice], Row]:
    """A real run that first notes where it is; during one its worker is killed the first time, one worker is slow."""
    def work(chosen: Choice) -> Row:
        import signal
        import time

        from unlearn_core.study.run import record
        from unlearn_core.subjects.subject import own_folder

        with log.open("a") as stream:
            stream.write(f"{chosen.key} {own_folder().name}\n")  # type: ignore[union-attr]
        if chosen.key == fatal and log.read_text().count(fatal) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if own_folder().name == "slow":  # type: ignore[union-attr]
            time.sleep(1)
        return record(chosen)

    return work


@pytest.mark.slow
def test_three_workers_in_folders_of_their_own(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("good", "slow", "without"):
        (tmp_path / name).mkdir()
    for name in ("good", "slow"):
        shutil.copytree(mine / "Spots", tmp_path / name / "Spots")
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))  # a page's test leaves the page there
    monkeypatch.setattr(placement, "WITHOUT_SECONDS", 60.0)
    space = Space(("head_zeroing",), ("spots", "small-vit"), (Request((0,)), Request((1,)), Request((0, 1), IMAGE)),
                  grid={"depth": (1.0, 3.0, 10.0, 30.0)})
    own_runs = [chosen.key for chosen in space if chosen.network == "spots"]
    said: list[str] = []
    with (dask.config.set({"distributed.scheduler.allowed-failures": 3}),
          SpecCluster({name: {"cls": Nanny, "options": {"nthreads": 1, "env": {FOLDER: str(tmp_path / name)}}}
                       for name in ("good", "slow", "without")},
                      scheduler={"cls": Scheduler, "options": {"dashboard_address": "127.0.0.1:0"}},
                      silence_logs=50) as cluster, Client(cluster) as client):
        tally = sweep.sweep(space, tmp_path / "out", client, tell=said.append,
                            work=noted(tmp_path / "log", own_runs[2]))
    found = results.load(tmp_path / "out").set_index("key")
    assert tally.total == len(space) == len(found) and set(found.index) == {chosen.key for chosen in space}
    assert (found["status"] != "failed").all(), found["error"].dropna().tolist()
    began = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert {where for key, where in began if key in own_runs} <= {"good", "slow"}
    assert [key for key, _ in began].count(own_runs[2]) == 2, "a worker was killed"
    assert len(said) >= 1 and all("subject spots" in each and "got no such subject" in each for each in said)


def test_without_any_worker_that_has_it_every_run_says_so(
        mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Waiting:
        """A run that no worker may get."""

        def add_done_callback(self, told: object) -> None:
            pass

    class Without(Cluster):
        cancelled = 0

        def nthreads(self) -> dict[str, int]:
            return {"worker": 2}

        def submit(self, *_: object, **__: object) -> Waiting:
            return Waiting()

        def cancel(self, futures: object) -> None:
            self.cancelled += isinstance(futures, Waiting)

    monkeypatch.setattr(placement, "WITHOUT_SECONDS", 0.0)
    there = Without(worker={})
    tally = sweep.sweep(Space(("head_zeroing",), ("spots",), grid={"depth": (1.0, 3.0, 10.0)}), tmp_path,
                        there)  # type: ignore[arg-type]
    assert tally.ended == {"failed": 3} and there.cancelled == 3
    assert results.load(tmp_path)["error"].str.startswith("subject: spots with fingerprint").all()
