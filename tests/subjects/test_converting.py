"""`convert`: weights come out as they were; anything else ends in a sentence, and nothing in it is executed."""

from __future__ import annotations

import io
import os
import pickle
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from tests.conftest import REPOSITORY
from tests.subjects.test_own import SAID, are_sentences, fresh, small
from unlearn_core.__main__ import main
from unlearn_core.subjects import own
from unlearn_core.subjects.own import limited
from unlearn_core.subjects.own.converting import convert


def test_weights_come_out_as_they_were(tmp_path: Path) -> None:
    folder = small(tmp_path / "mine", SAID)
    torch.save(fresh(2), folder / "own.pt")
    assert convert(folder / "own.pt", folder / "model.safetensors") == len(fresh(2))
    assert own.check(folder) == []


@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: {"state_dict": w, "epoch": 3}, lambda w: {"model": w},
                                  lambda w: {f"module.{name}": value for name, value in w.items()}],
                         ids=["bare", "state_dict", "model", "wrapped"])
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_are_found_where_they_are(wrap: Callable[[object], object], zipped: bool) -> None:
    stream, target = io.BytesIO(), io.BytesIO()
    torch.save(wrap(fresh(2)), stream, _use_new_zipfile_serialization=zipped)
    stream.seek(0)
    assert limited.converted(stream, target) == str(len(fresh(2)))
    found = load(target.getvalue())
    assert all(torch.equal(found[name], value) for name, value in fresh(2).items()) and len(found) == len(fresh(2))


def test_shared_and_turned_weights_are_written_out() -> None:
    whole, stream, target = torch.arange(12.0).view(3, 4), io.BytesIO(), io.BytesIO()
    torch.save({"a": whole, "b": whole.T, "c": whole[1]}, stream)
    stream.seek(0)
    limited.converted(stream, target)
    found = load(target.getvalue())
    assert torch.equal(found["b"], whole.T) and torch.equal(found["c"], whole[1])


class Evil:
    """Unpickling it calls something."""

    def __init__(self, call: object, *arguments: object) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call, self.arguments


def hostile(trace: Path) -> dict[str, bytes]:
    """Files that would leave a trace if anything in them ran, or take what they can get."""
    def saved(value: object, zipped: bool = True) -> bytes:
        stream = io.BytesIO()
        torch.save(value, stream, _use_new_zipfile_serialization=zipped)
        return stream.getvalue()

    touch = f"touch {trace}"
    good = saved({"weight": torch.zeros(2)})
    bomb = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as before, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            after.writestr(name, bytes(2**28) if name.endswith("data/0") else before.read(name))
    return {
        "a command": pickle.dumps(Evil(os.system, touch)),
        "a command in a table": saved({"weight": torch.zeros(2), "more": Evil(os.system, touch)}),
        "a command, the old way": saved({"weight": Evil(os.system, touch)}, zipped=False),
        "an expression": saved(Evil(eval, f"open({str(trace)!r}, 'w')")),
        "a process": saved(Evil(subprocess.getoutput, touch)),
        "a module": saved(torch.nn.Linear(2, 2)),
        "a number": saved(3), "a list": saved([torch.zeros(2)]), "no weights": saved({}),
        "numbers as names": saved({1: torch.zeros(2)}), "text as weights": saved({"weight": "zeros"}),
        "a stretched tensor": saved({"weight": torch.zeros(1).expand(2**33)}),
        "a sparse tensor": saved({"weight": torch.zeros(9).to_sparse()}),
        "a bomb": bomb.getvalue(), "a cut file": good[:len(good) // 2], "nothing": b"", "a text": b"#!/bin/sh\n",
        "a deep pickle": b"\x80\x04" + b"(" * 10**6 + b".",
        "a long pickle": b"\x80\x02" + b"]" * 10**5 + b"a" * 10**5 + b".",
        "an archive": saved({"a": torch.zeros(2)}).replace(b"data.pkl", b"../x.pkl"),
    }


HEAVY = ("a command in a table", "a stretched tensor", "a bomb")
"""Those that are given to the limited process itself, which takes a second or two to start."""


@pytest.mark.parametrize("name", sorted(set(hostile(Path("/nowhere"))) - set(HEAVY)))
def test_the_reader_refuses(tmp_path: Path, name: str) -> None:
    trace, target = tmp_path / "trace", io.BytesIO()
    said = limited.converted(io.BytesIO(hostile(trace)[name]), target)
    assert said.startswith("refused: ") and not trace.exists() and not target.getvalue()


@pytest.mark.parametrize("name", HEAVY)
def test_a_hostile_file_ends_in_a_sentence(tmp_path: Path, name: str) -> None:
    trace, source = tmp_path / "trace", tmp_path / "own.pt"
    source.write_bytes(hostile(trace)[name])
    with pytest.raises(ValueError, match=r"^own\.pt: ") as problem:
        convert(source, tmp_path / "model.safetensors")
    assert are_sentences([str(problem.value)]), problem.value
    assert [file.name for file in tmp_path.iterdir()] == ["own.pt"], "nothing ran, and nothing is left"


def test_the_limited_process_can_open_nothing() -> None:
    program = """
import os, socket, subprocess
from unlearn_core.subjects.own import limited
limited.rehearse()
limited.limit(1000, 60)
def tried(work):
    try:
        work()
        return "done"
    except BaseException as error:
        return type(error).__name__
print(tried(lambda: open("/etc/passwd")), tried(lambda: open("/tmp/trace-of-a-test", "w")), tried(socket.socket),
      tried(lambda: subprocess.run(["true"])), tried(lambda: bytearray(2**31)))
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["OSError"] * 4 + ["MemoryError"], ended
    assert socket.socket  # which the program could not have


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(fresh(2), tmp_path / "own.pt")
    assert main(["convert", str(tmp_path / "own.pt")]) == 0
    assert "model.safetensors" in capsys.readouterr().out and (tmp_path / "model.safetensors").is_file()
    assert main(["convert", str(tmp_path / "own.pt")]) == 2 and "is there already" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "none.pt"), "--out", str(tmp_path / "x")]) == 2
    assert "none.pt cannot be read" in capsys.readouterr().err
    (tmp_path / "link.pt").symlink_to("own.pt")
    assert main(["convert", str(tmp_path / "link.pt"), "--out", str(tmp_path / "x")]) == 2
    assert "not a regular file" in capsys.readouterr().err
