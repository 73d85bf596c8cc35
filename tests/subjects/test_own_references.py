"""Networks that never saw what is to be forgotten: brought along in a folder, or retrained by `prepare`."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.conftest import REPOSITORY
from tests.subjects.test_own import SAID, fresh, only, paint, small
from unlearn_core.__main__ import main
from unlearn_core.nets.request import Request
from unlearn_core.serving.choice import choice
from unlearn_core.serving.engine import Engine
from unlearn_core.subjects import own
from unlearn_core.subjects.subject import bundled, subjects

TABLE = "file_name,person\ntrain/a/0.jpg,Anna\ntrain/b/0.jpg,Anna\ntrain/a/1.png,Ben\ntest/a/0.jpg,Anna\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = small(tmp_path / "mine")
    (made / "metadata.csv").write_text(TABLE)
    return made


def networks(folder: Path, request: Request) -> list[torch.Tensor]:
    return [model.state_dict()["stem.1.running_mean"] for model in only(folder).retrained(request)]


def test_prepare_retrains_without_what_is_named(folder: Path) -> None:
    expected = own.estimate(folder, ["a", "person:Anna"], 2)
    assert expected.retraining > 0 and "to retrain" in str(expected) and own.estimate(folder).retraining == 0
    shares: list[float] = []
    own.prepare(folder, lambda share, note: shares.append(share), expected, ["a", "person:Anna"], 2)
    assert shares == sorted(shares) and shares[-1] == 1
    first, second = networks(folder, Request((0,)))
    assert not torch.equal(first, second) and len(networks(folder, Request((0,), "person"))) == 2
    assert networks(folder, Request((1,))) == [] == networks(folder, Request((1,), "person"))
    assert own.estimate(folder, ["a"], 2).retraining == 0 < own.estimate(folder, ["a"], 3).retraining


def test_what_is_forgotten_is_never_looked_at(folder: Path) -> None:
    scale = "mean = [0.5, 0.5, 0.5]\nstd = [0.2, 0.2, 0.2]\n"  # by default it is that of all training images
    (folder / "subject.toml").write_text(f"{SAID}{scale}[recipe]\nepochs = 1\n")
    own.prepare(folder, texts=["a"], seeds=1)
    [one] = networks(folder, Request((0,)))
    paint(folder / "data/train/a/1.png", 1, np.random.default_rng(8), 8)
    own.prepare(folder, texts=["a"], seeds=1)
    [other] = networks(folder, Request((0,)))
    assert torch.equal(one, other)
    paint(folder / "data/train/b/1.png", 1, np.random.default_rng(8), 8)
    own.prepare(folder, texts=["a"], seeds=1)
    assert not torch.equal(networks(folder, Request((0,)))[0], one)


def test_more_seeds_keep_those_that_are_there(folder: Path) -> None:
    own.prepare(folder, texts=["b"], seeds=1)
    [first] = networks(folder, Request((1,)))
    before = only(folder).fingerprint
    own.prepare(folder, texts=["1"], seeds=2)
    again, second = networks(folder, Request((1,)))
    assert torch.equal(first, again) and not torch.equal(first, second) and only(folder).fingerprint != before
    own.prepare(folder)  # asks for none, and takes none away
    assert len(networks(folder, Request((1,)))) == 2


@pytest.mark.parametrize("when", ["without a, network 1", "without a, network 2", "without Anna, network 1"])
def test_a_killed_retraining_resumes(folder: Path, when: str) -> None:
    program = f"""
import os, signal, sys
from pathlib import Path
from unlearn_core.subjects import own
def progress(share, note):
    if note.startswith({when!r}):
        os.kill(os.getpid(), signal.SIGKILL)
own.prepare(Path(sys.argv[1]), progress, None, ["a", "person:Anna"], 2)
"""
    killed = subprocess.run([sys.executable, "-c", program, folder], cwd=REPOSITORY, check=False)
    assert killed.returncode == -signal.SIGKILL
    notes: list[str] = []
    own.prepare(folder, lambda share, note: notes.append(note.rpartition(",")[0]), None, ["a", "person:Anna"], 2)
    ways = ["without a, network 1 of 2", "without a, network 2 of 2",
            "without Anna, network 1 of 2", "without Anna, network 2 of 2"]
    rest = [way for way in ways if any(note.startswith(way) for note in notes)]
    assert rest == ways[next(i for i, way in enumerate(ways) if way.startswith(when)):]
    assert len(networks(folder, Request((0,)))) == 2 == len(networks(folder, Request((0,), "person")))


def test_networks_that_are_brought_along_are_used(folder: Path) -> None:
    own.prepare(folder, texts=["a"], seeds=1)
    [trained] = networks(folder, Request((0,)))
    for number, what in enumerate(("a", "person:Anna")):
        weights = fresh(2)
        weights["head.bias"] += number + 1
        save_file(weights, folder / f"retrained-{what}-7.safetensors")
    assert own.prepared(folder.parent, set()) == {} and own.check(folder) == []
    own.prepare(folder)
    given, kept = only(folder).retrained(Request((0,)))
    assert torch.equal(kept.state_dict()["stem.1.running_mean"], trained), "what was trained is kept beside it"
    assert float(given.state_dict()["head.bias"].mean()) > 0.5
    [anna] = only(folder).retrained(Request((0,), "person"))
    assert float(anna.state_dict()["head.bias"].mean()) > 1.5
    (folder / "retrained-a-7.safetensors").unlink()
    own.prepare(folder)
    assert len(networks(folder, Request((0,)))) == 1


@pytest.mark.parametrize(("name", "said"), [
    ("retrained-a.safetensors", "<what was forgotten>-<number>"),
    ("retrained-nobody-1.safetensors", "nobody: the name"),
    ("retrained-image:1-1.safetensors", "not single images"),
    ("retrained-person:9-1.safetensors", "person:9: the name"),
])
def test_a_network_of_nothing_is_told(folder: Path, name: str, said: str) -> None:
    save_file(fresh(2), folder / name)
    [fault] = own.check(folder)
    assert fault.startswith(name) and said in fault


def test_a_damaged_network_is_told(folder: Path) -> None:
    weights = fresh(2)
    weights["head.bias"].fill_(torch.nan)
    save_file(weights, folder / "retrained-a-1.safetensors")
    (folder / "retrained-b-1.safetensors").symlink_to("/etc/passwd")
    (folder / "retrained-b-2.safetensors").write_bytes(b"\x80\x04cos\nsystem\n.")
    assert [fault.partition(".safetensors")[2].strip(" :") for fault in own.check(folder)] == [
        "head.bias has numbers that are not finite.", "cannot be read: it is not a regular file.",
        "a header of at most 1 MiB, inside the file, expected; it says 8,751,349,991,817,282,688 bytes."]


@pytest.mark.parametrize(("texts", "seeds", "said"), [
    (["c"], 2, "c: the name of a class"), (["0,1"], 2, "at least one class must be kept"),
    (["image:1"], 2, "not single"),
    (["a"], 0, "seeds: 1 to 20"),
])
def test_a_request_for_nothing_is_told_before_the_work(folder: Path, texts: list[str], seeds: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        own.prepare(folder, texts=texts, seeds=seeds)
    assert not (folder / "derived").exists()


def test_what_nobody_knows_how_to_train_is_not_retrained(tmp_path: Path) -> None:
    folder = small(tmp_path / "given", SAID)
    save_file(fresh(2), folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"a \[recipe\] expected"):
        own.prepare(folder, texts=["a"])


def test_one_process_prepares_a_folder(folder: Path) -> None:
    program = """
import sys
from pathlib import Path
from unlearn_core.subjects.own.derived import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", program, folder], cwd=REPOSITORY, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match="in another process"):
            own.prepare(folder)
        other.kill()
    own.prepare(folder)


def test_an_altered_reference_is_not_used(folder: Path) -> None:
    own.prepare(folder, texts=["a"], seeds=1)
    file = folder / "derived" / "networks-without-0.safetensors"
    shutil.copy(file, folder / "derived" / "networks-without-1.safetensors")
    assert networks(folder, Request((1,))) == [], "nobody said that it is one"
    file.write_bytes(file.read_bytes()[:-1] + b"\x07")
    with pytest.raises(Exception, match="was changed"):
        only(folder).retrained(Request((0,)))


def test_the_command_line_says_how_long_retraining_takes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", str(folder), "--references", "a", "person:0", "--seeds", "1"]) == 0
    assert "to retrain" in capsys.readouterr().err
    assert main(["prepare", str(folder), "--references", "z"]) == 2
    assert "z: the name of a class" in capsys.readouterr().err


def test_networks_that_another_process_retrains_are_seen_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own.prepare(folder)
    monkeypatch.setenv("LACUNA_SUBJECTS", str(folder.parent))
    subjects.cache_clear()
    engine = Engine()
    try:
        [name] = set(subjects()) - set(bundled())
        chosen = choice(name, Request((0,)), "head_zeroing", {})
        before, scene = chosen.key, engine.scene(chosen).result()
        engine.keep_retrained(name, Request((1,)), [scene.task.model.state_dict()] * 3)
        assert not scene.retrained and not own.changed(folder.parent)
        own.prepare(folder, texts=["a"])
        assert own.changed(folder.parent), "a page asks this at every turn"
        engine.look_again()
        assert not own.changed(folder.parent) and len(engine.scene(chosen).result().retrained) == 2
        assert choice(name, Request((0,)), "head_zeroing", {}).key != before, "it answers something else now"
        assert len(engine.retrained(name, Request((1,)))) == 3, "retrained here, and there are no others"
        save_file(fresh(2), folder / "retrained-b-1.safetensors")  # as if somebody had trained it elsewhere
        own.prepare(folder)
        engine.look_again()
        assert len(engine.retrained(name, Request((1,)))) == 1
        images = subjects()[name].images
        paint(folder / "data/train/a/1.png", 1, np.random.default_rng(8), 8)
        own.prepare(folder)
        engine.look_again()
        assert subjects()[name].images is images, "of other images it is another subject, from the next start on"
    finally:
        engine.pool.close()
        subjects.cache_clear()


def test_with_two_networks_there_is_a_band_and_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for label, name in enumerate(("up", "middle", "down")):
        for part, count in (("train", 40), ("test", 40)):
            for i in range(count):
                paint(tmp_path / "judged bars" / "data" / part / name / f"{i}.png", 2 * label, rng, 16)
    (tmp_path / "judged bars" / "subject.toml").write_text(f"{SAID}[recipe]\nepochs = 12\nbatch_size = 20\n")
    own.prepare(tmp_path / "judged bars", texts=["middle"])
    monkeypatch.setenv("LACUNA_SUBJECTS", str(tmp_path))
    subjects.cache_clear()
    try:
        found = {}
        for forget in (0, 1):  # classes are sorted: down, middle, up
            assert main(["run", "head_zeroing", "--network", "judged-bars", "--forget", str(forget), "--json"]) == 0
            found[forget] = json.loads(capsys.readouterr().out)
        assert found[0]["level"] == "Unknown" and found[0]["gauges"]["forget"]["retrained"] == []
        assert found[1]["level"] != "Unknown" and len(found[1]["gauges"]["forget"]["retrained"]) == 2
    finally:
        subjects.cache_clear()
