"""Sweeps on a real scheduler with two worker processes: nothing finished is lost or repeated, whatever dies."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import dask
import pytest
from distributed import Client, LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st

from unlearn_core.__main__ import main
from unlearn_core.audit.measures import MEASURES
from unlearn_core.methods.base import Diverged
from unlearn_core.nets.request import Request
from unlearn_core.progress import Cancelled, silent
from unlearn_core.serving.choice import Choice, choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.grid import ALPHAS
from unlearn_core.serving.judgement import audit
from unlearn_core.study import cluster, results, run, sweep
from unlearn_core.study.results import SweepError
from unlearn_core.study.run import Row
from unlearn_core.study.space import Range, Space

SPACE = Space(("head_zeroing",), forget=(Request((0,)), Request((1,))), grid={"depth": Range(1, 1000, 10)})


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch, dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        patch.setitem(sys.modules, "__main__", ModuleType("__main__"))  # a page's test leaves the page there
        with cluster.connect() as found:
            yield found


def pretended(log: Path, seconds: float = 0.0, fatal: str = "", wrong: str = "",
              once: str = "") -> Callable[[Choice], Row]:
    """A run that notes in a file that it began, and takes its time.

    One setting may kill its worker, one may fail, and during one the worker is killed the first time.
    """
    def work(chosen: Choice) -> Row:
        import os
        import time

        from unlearn_core.study.run import failure

        with log.open("a") as stream:
            stream.write(f"{chosen.key}\n")
        time.sleep(seconds)
        if chosen.key == once and log.read_text().split().count(once) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if chosen.key == fatal:
            os._exit(1)
        if chosen.key == wrong:
            raise RuntimeError("out of luck")
        return failure(chosen, "done", "")

    return work


def begun(log: Path) -> Counter[str]:
    return Counter(log.read_text().split())


KEYS = {chosen.key for chosen in SPACE}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["ssd", "lfssd", "neggrad", "head_zeroing"]), min_size=1),
       st.lists(st.sampled_from(["small-resnet", "small-vit"]), min_size=1),
       st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3).map(tuple), min_size=1, max_size=4),
       st.integers(1, 3), st.lists(st.sampled_from([1, 2.0, 2, 3.5]), min_size=1))
def test_a_space_counts_each_combination_once(
        methods: list[str], networks: list[str], forget: list[tuple[int, ...]], seeds: int,
        alphas: list[float]) -> None:
    if not {"ssd", "lfssd"} & set(methods):
        methods = [*methods, "ssd"]
    space = Space(tuple(methods), tuple(networks), tuple(map(Request, forget)), seeds, {"alpha": tuple(alphas)})
    runs = list(space)
    assert len(space) == len(runs) == len({chosen.key for chosen in runs})
    assert runs == list(space)
    assert {chosen.seed for chosen in runs if chosen.method == "neggrad"} <= set(range(seeds))
    assert {dict(c.settings)["alpha"] for c in runs if c.method == "ssd"} <= set(map(float, alphas))


def test_a_range_is_spread_as_the_slider_is_and_meets_the_landscapes() -> None:
    found = [dict(chosen.settings)["alpha"] for chosen in Space(("ssd",), grid={"alpha": Range(0.1, 100, 17)})]
    assert tuple(found) == ALPHAS
    assert len(Space(("ssd",), grid={"alpha": Range(0.1, 100, 5000)})) == 5000
    assert [dict(c.settings)["epochs"] for c in Space(("retrain",), grid={"epochs": Range(0, 96, 3)})] == [0, 48, 96]


@pytest.mark.parametrize("wanted, said", [
    ({"methods": ()}, "methods: at least one expected"), ({"networks": ()}, "networks: at least one"),
    ({"forget": ()}, "forget: at least one"), ({"forget": (Request(()),)}, "at least one class must be forgotten"),
    ({"methods": ("magic",)}, "method: one of"), ({"networks": ("big",)}, "network: one of"),
    ({"seeds": 0}, "seeds: .* got 0"), ({"grid": {"beta": (1.0,)}}, "grid: .*alpha.* got beta"),
    ({"grid": {"alpha": ()}}, "alpha: at least one value"), ({"grid": {"alpha": (1e9,)}}, r"alpha: .*\[0.1, 100\]"),
    ({"grid": {"alpha": Range(10, 1, 5)}}, "alpha: a range from low to high expected, got 10 to 1"),
    ({"grid": {"alpha": Range(1, float("nan"), 5)}}, "alpha: a range from low to high"),
    ({"grid": {"alpha": Range(1, 10, 1)}}, "at least 2 points"), ({"grid": {"alpha": Range(1, 1e9, 3)}}, "alpha: "),
    ({"grid": {"order": Range(1, 2, 2)}}, "order: some of class_sorted"),
    ({"grid": {"alpha": Range(1, 10, 10**12)}}, "alpha: a range of at most 100,000 points expected, got 1,000,000,0"),
    ({"grid": {"alpha": Range(1, 10, 5000), "lambda": Range(0.1, 1, 5000)}}, "runs: at most 10,000,000 .* got 25,000"),
])
def test_an_impossible_space_is_refused_in_a_sentence(wanted: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Space(**{"methods": ("ssd",), **wanted})  # type: ignore[arg-type]


def test_a_run_has_the_numbers_of_the_app_and_is_charged_for_what_was_at_hand() -> None:
    chosen, other = (choice("small-resnet", (0,), "ssd", {"alpha": alpha}) for alpha in (3.0, 5.0))
    first, second = run.record(chosen), run.record(other)
    here = Engine()
    scene = here.prepare(chosen, silent)
    found = audit(here, scene, here.compute(scene, chosen, silent))
    for measure, gauge in run.GAUGE_MEASURES.items():
        assert first[measure] == found.readings.gauges[gauge].value
        assert (first[f"{measure}_low"], first[f"{measure}_high"]) == found.readings.gauges[gauge].interval
    assert (first["level"], first["verdict"]) == (str(found.verdict.level), str(found.verdict))
    assert first["key"] == chosen.key and set(MEASURES) <= set(first)
    assert second["seconds"] > 0.7 * first["seconds"]  # type: ignore[operator]


@pytest.mark.parametrize("error, status", [(Diverged("no"), "diverged"), (MemoryError("full"), "failed")])
def test_a_run_that_goes_wrong_is_recorded(monkeypatch: pytest.MonkeyPatch, error: Exception, status: str) -> None:
    def fail(chosen: Choice) -> None:
        raise error

    monkeypatch.setattr(run, "run", fail)
    row = run.record(choice("small-resnet", (0,), "ssd", {}))
    assert row["status"] == status and str(error) in str(row["error"])
    assert run.record(choice("small-vit", (0,), "ssd", {}))["key"] != row["key"]


def test_a_killed_worker_costs_nothing_and_a_second_sweep_runs_nothing(client: Client, tmp_path: Path) -> None:
    pids = set(client.run(os.getpid).values())
    work = pretended(tmp_path / "log", 0.1, once=sorted(KEYS)[10])
    tally = sweep.sweep(SPACE, tmp_path / "out", client, work=work)
    assert (tally.kept, tally.ended) == (0, {"done": 20})
    assert len(pids) == 2 and not pids <= set(client.run(os.getpid).values()), "a worker was killed"
    found = results.load(tmp_path / "out")
    assert sorted(found["key"]) == sorted(KEYS) and list(found.columns) == list(results.COLUMNS)
    assert 20 < begun(tmp_path / "log").total() <= 24  # what the dead worker had was run again, and nothing else
    again = sweep.sweep(SPACE, tmp_path / "out", client, work=pretended(tmp_path / "log"))
    assert (again.kept, again.ended) == (20, {}) and begun(tmp_path / "log").total() <= 24
    assert [file.name for file in (tmp_path / "out").glob("[!.]*")] == ["results.parquet"]


def test_a_setting_that_fails_or_kills_is_recorded_tried_again_and_does_not_stop_the_rest(
        client: Client, tmp_path: Path) -> None:
    fatal, wrong = sorted(KEYS)[3:5]
    tally = sweep.sweep(SPACE, tmp_path, client, work=pretended(tmp_path / "log", 0.02, fatal, wrong))
    assert tally.ended == {"done": 18, "failed": 2} and tally.failed == 2
    found = results.load(tmp_path).set_index("key")
    assert "worker died each of 2 times" in found["error"][fatal]
    assert found["error"][wrong] == "RuntimeError: out of luck"
    tally = sweep.sweep(SPACE, tmp_path, client, work=pretended(tmp_path / "again"))
    assert tally.kept == 18 and set(begun(tmp_path / "again")) == {fatal, wrong}
    assert (results.load(tmp_path)["status"] == "done").all()


def test_an_interrupted_sweep_goes_on_where_it_was(client: Client, tmp_path: Path) -> None:
    def progress(share: float, note: str) -> None:
        if share > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        sweep.sweep(SPACE, tmp_path, client, progress, work=pretended(tmp_path / "log", 0.05))
    kept = set(results.load(tmp_path)["key"])
    assert 6 < len(kept) < 20
    tally = sweep.sweep(SPACE, tmp_path, client, work=pretended(tmp_path / "again"))
    assert tally.kept == len(kept) and set(begun(tmp_path / "again")) == KEYS - kept
    assert set(results.load(tmp_path)["key"]) == KEYS


@pytest.mark.parametrize("damage", [
    lambda raw: raw[:-20], lambda raw: b"", lambda raw: b"key,network\n"])
def test_a_damaged_file_is_set_aside_and_only_its_runs_are_repeated(
        client: Client, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    runs = list(SPACE)
    for part in (runs[:12], runs[12:]):
        results.append(tmp_path, [run.failure(chosen, "done", "") for chosen in part])
    first = min(tmp_path.glob("part-*"))
    inside = set(results.read_file(first, print, False)["key"].to_pylist())
    first.write_bytes(damage(first.read_bytes()))
    said: list[str] = []
    read = results.load(tmp_path, said.append)
    assert not set(read["key"]) & inside and "is damaged" in said.pop() and first.exists(), "reading changes nothing"
    sweep.sweep(SPACE, tmp_path, client, tell=said.append, work=pretended(tmp_path / "log"))
    assert len(said) == 1 and "is damaged" in said[0] and first.name in said[0]
    assert set(begun(tmp_path / "log")) == inside and set(results.load(tmp_path, said.append)["key"]) == KEYS
    assert len(list(tmp_path.glob("*.corrupt"))) == 1 and len(said) == 1


def test_no_flipped_bit_changes_a_result_unnoticed(tmp_path: Path) -> None:
    results.append(tmp_path, [run.failure(chosen, "done", "") for chosen in SPACE])
    (file,) = tmp_path.glob("part-*")
    whole, raw = results.read_file(file, print, False), file.read_bytes()
    damaged = 0
    for place in range(40, 400):  # the column of keys
        file.write_bytes(raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1:])
        found = results.read_file(file, lambda said: None, True)
        damaged += found is None
        assert found is None or found.equals(whole), place
    assert damaged > 250


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
                                   OSError(errno.EIO, os.strerror(errno.EIO)), MemoryError()])
def test_a_sound_file_that_cannot_be_read_now_is_not_set_aside(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    results.append(tmp_path, [run.failure(chosen, "done", "") for chosen in SPACE])
    kept = {file: file.read_bytes() for file in tmp_path.iterdir()}

    def fail(file: Path) -> bytes:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail)
        with pytest.raises(SweepError, match=r"files that can be read expected.*nothing was changed"):
            results.load(tmp_path, rename=True)
        results.compact(tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == kept
    assert set(results.load(tmp_path)["key"]) == KEYS


def test_a_file_found_damaged_while_files_are_put_together_is_told(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MANY", 2)
    first, second = ([run.failure(chosen, "done", "")] for chosen in list(SPACE)[:2])
    said: list[str] = []
    results.append(tmp_path, first, said.append)
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"PAR1")
    results.append(tmp_path, second, said.append)
    assert len(said) == 1 and file.name in said[0] and "set aside" in said[0]


def test_what_came_before_a_lost_connection_is_kept(tmp_path: Path) -> None:
    class Ended:
        def __init__(self, key: tuple[str, str], status: str, row: Row) -> None:
            self.key, self.status, self._row = key, status, row

        def result(self) -> Row:
            return self._row

        def add_done_callback(self, told: Callable[[Ended], None]) -> None:
            told(self)

    class Dying:
        made = 0

        def nthreads(self) -> dict[str, int]:
            return {"worker": 1}

        def submit(self, work: object, chosen: Choice, key: tuple[str, str], pure: bool, resources: None) -> Ended:
            self.made += 1
            return Ended(key, "finished" if self.made < 5 else "lost", run.failure(chosen, "done", ""))

        def cancel(self, futures: object) -> None:
            pass

    with pytest.raises(SweepError, match="connection was lost"):
        sweep.sweep(SPACE, tmp_path, Dying())  # type: ignore[arg-type]
    assert len(results.load(tmp_path)) == 4


def test_a_full_disk_is_waited_for(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, refused = results.write, []

    def full(table: object, file: Path) -> None:
        if len(refused) < 2:
            refused.append(file)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(table, file)

    monkeypatch.setattr(results, "write", full)
    monkeypatch.setattr(sweep, "SECONDS", 0.3)
    said: list[str] = []
    tally = sweep.sweep(SPACE, tmp_path, client, tell=said.append, work=pretended(tmp_path / "log", 0.03))
    assert len(refused) == 2 and len(said) == 1 and "No space left" in said[0] and "free some space" in said[0]
    assert tally.ended == {"done": 20} and set(results.load(tmp_path)["key"]) == KEYS
    assert set(begun(tmp_path / "log").values()) == {1}


def test_what_a_full_disk_never_took_is_kept_elsewhere(
        client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = results.write

    def full(table: object, file: Path) -> None:
        if file.parent == tmp_path / "out":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(table, file)

    monkeypatch.setattr(results, "write", full)
    monkeypatch.setattr(sweep.tempfile, "mkdtemp", lambda prefix: str(tmp_path))
    said: list[str] = []
    with pytest.raises(SweepError, match=r"No space left.*free some space"):
        sweep.sweep(SPACE, tmp_path / "out", client, tell=said.append, work=pretended(tmp_path / "log"), patience=0)
    assert "move" in said[-1] and set(results.load(tmp_path)["key"]) == set(begun(tmp_path / "log"))


def test_parts_are_put_together_before_they_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MANY", 3)
    for chosen in SPACE:
        results.append(tmp_path, [run.failure(chosen, "done", "")])
        assert len(list(tmp_path.glob("part-*"))) < 3
    assert set(results.load(tmp_path)["key"]) == KEYS


def test_one_folder_has_one_sweep_and_must_be_writable(tmp_path: Path) -> None:
    with results.locked(tmp_path), pytest.raises(SweepError, match="in use by another sweep"), results.locked(tmp_path):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(SweepError, match="folder: one that can be written to"), results.locked(tmp_path / "file" / "x"):
        pass


def test_the_command_line_sweeps_on_a_running_scheduler(
        client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["sweep", "--methods", "head_zeroing", "amnesiac", "--networks", "small-vit", "--grid", "depth=1,10000",
               "--out", str(tmp_path), "--scheduler", client.scheduler.address, "--json"]
    assert main(command) == 0
    *lines, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert last == {"total": 3, "kept": 0, "ended": {"done": 2, "not applicable": 1}, "folder": str(tmp_path)}
    assert lines[-1]["share"] == 1.0 and lines[-1]["note"] == "3 of 3 runs"
    found = results.load(tmp_path).set_index("method")
    assert "history" in found["error"]["amnesiac"] and found["host"].notna().all()
    assert found.query("settings.str.contains('10000')")["forget_train"].iloc[0] == 0
    assert main(command) == 0 and json.loads(capsys.readouterr().out.splitlines()[-1])["kept"] == 3


@pytest.mark.parametrize("way", ["--json", "--quiet"])
@pytest.mark.parametrize("where", ["a closed pipe", "a full disk"])
def test_a_sweep_goes_on_when_nobody_can_hear_it(
        client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, way: str) -> None:
    read, closed = os.pipe()
    os.close(read)
    full = os.open("/dev/full", os.O_WRONLY)
    with os.fdopen(closed, "w") as pipe, os.fdopen(full, "w") as disk, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", pipe if where == "a closed pipe" else disk)
        assert main(["sweep", "--methods", "amnesiac", "--networks", "small-vit", "--out", str(tmp_path), way,
                     "--scheduler", client.scheduler.address]) == 0
    assert list(results.load(tmp_path)["status"]) == ["not applicable"]


def test_a_scheduler_that_is_not_there_has_no_workers_or_is_lost(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "ANSWER_SECONDS", 0.5)
    for address in ("tcp://127.0.0.1:1", "nonsense"):
        with pytest.raises(SweepError, match="address of a running Dask scheduler"), cluster.connect(address):
            pass
    with pytest.raises(ValueError, match="workers: a whole number"), cluster.connect(workers=0):
        pass
    with LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0") as scheduler:
        with pytest.raises(SweepError, match=r"at least one worker.*dask worker"), \
                cluster.connect(scheduler.scheduler_address):
            pass
        scheduler.scale(1)
        monkeypatch.setattr(cluster, "ANSWER_SECONDS", 10)
        with cluster.connect(scheduler.scheduler_address) as client:
            def progress(share: float, note: str) -> None:
                if share > 0.2:
                    scheduler.close()

            with pytest.raises(SweepError, match=r"connection was lost.*goes on from there"):
                sweep.sweep(SPACE, tmp_path, client, progress, work=pretended(tmp_path / "log", 0.05))
    assert len(results.load(tmp_path)) >= 4
