"""Folders that nobody would make by mistake: whatever lies in one, what is said of it is sentences."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.subjects.test_own import SAID, are_sentences, as_bytes, fresh, huge_png, watched
from unlearn_core.subjects import own

__all__ = ["watched"]
NAMES = [
    "\u202ecod.exe", "a\nb", "-rf", "CON", "\U0001f600" * 60, "x" * 250, "%s%n", "<script>", "../a", "..", "a:b", "~",
    "\u0000x", "\ud800", "person:0", "'; DROP TABLE", " ", "\u200b", "a\u0301", "\u00e1", "0,1", "{0}"]
TEXTS = [
    "", "\x00", "file_name\n", "file_name,person\n" + "train/a/0.jpg,Anna\n" * 3, "file_name,person\ntrain/a/0.jpg",
    "file_name," + ",".join(map(str, range(50))), 'file_name,p\n"', "file_name,p\ntrain/a/0.jpg,=cmd|'/c calc'!A0\n",
    "file_name,p\n../../outside/secret,x\n", "file_name,file_name\na,b\n", "p,q\n" * 9,
    "file_name,p\n" + "x" * 10**5, "file_name,class\ntrain/a/0.jpg,b\n",
    "file_name,p\n" + "".join(f"train/a/0.jpg,{i}\n" for i in range(12_000))]
LINES = [
    "size = 513", "size = 1e3", "size = 512", "channels = 1", "channels = 4", "mean = [0.1]\nstd = [inf]", "mean = []",
    "layers = {stem = ''}", "[recipe]\nepochs = -1", "[recipe]\nflip = 'no'", "architecture = 'os:system'", "[[a]]",
    "architecture = 'vit_b_16'", "title = '''\n'''", "licence = 3", "credit = ['x']", "about = '\\u0007'"]


def pick(folder: Path, rng: random.Random, files: bool = True) -> Path:
    return rng.choice([path for path in sorted(folder.rglob("*")) if not path.is_symlink() and path.is_file() == files]
                      or [folder / "subject.toml"])


def bytes_changed(folder: Path, rng: random.Random) -> None:
    path = pick(folder, rng)
    content = bytearray(path.read_bytes() if path.is_file() else b"")
    at = rng.randrange(min(len(content), 400) + 1)
    deed = rng.randrange(4)
    if deed == 0:
        content[at:at + 4] = rng.randbytes(4)
    elif deed == 1:
        del content[at:]
    elif deed == 2:
        content[at:at] = rng.randbytes(20)
    else:
        del content[at:at + rng.randrange(1, 40)]
    path.write_bytes(content)


def exchanged(folder: Path, rng: random.Random) -> None:
    """A file with another's content, a number of copies, or none."""
    path = pick(folder, rng)
    path.write_bytes(pick(folder, rng).read_bytes() * rng.randrange(3) if path.is_file() else b"")


def not_a_file(folder: Path, rng: random.Random) -> None:
    """A link, a folder, a pipe or a socket where something else is expected."""
    path = pick(folder, rng, rng.random() < 0.7)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    deed = rng.randrange(4)
    if deed == 0:
        path.symlink_to(rng.choice(["../outside", "../outside/secret", "/dev/zero", path.name, "/", "/proc/self/mem"]))
    elif deed == 1:
        path.mkdir()
    elif deed == 2:
        os.mkfifo(path)
    else:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as listening:  # a long path cannot have one
            listening.bind(str(path))


def named_oddly(folder: Path, rng: random.Random) -> None:
    path, name = pick(folder, rng, rng.random() < 0.5), rng.choice(NAMES)
    with suppress(OSError, ValueError):  # some names no file system takes
        path.rename(path.with_name(f"{name}{path.suffix if rng.random() < 0.5 else ''}"))


def not_unicode(folder: Path, rng: random.Random) -> None:
    name = rng.choice([b"/\xff", b"/\xed\xa0\x80", b"/a\xc3"])
    os.rename(pick(folder, rng, False), os.fsencode(folder / "data") + name)


def picture(folder: Path, rng: random.Random) -> None:
    """Of another mode, kind or size than its neighbours, or one that says that it is enormous."""
    path = pick(folder / "data", rng)
    mode, size = rng.choice(["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]), (rng.randrange(1, 30), rng.randrange(1, 30))
    kinds: list[Callable[[], bytes]] = [
        huge_png, lambda: as_bytes(Image.new(mode, size), "PNG"), lambda: as_bytes(Image.new("CMYK", size), "JPEG"),
        lambda: as_bytes(Image.new("L", size), rng.choice(["GIF", "BMP", "TIFF", "ICO", "PDF"])),
        lambda: as_bytes(Image.new("RGB", size), "PNG")[:rng.randrange(100)],
        lambda: huge_jpeg(), lambda: b"\x89PNG\r\n\x1a\n" + b"\xff" * 4 + b"IHDR" + rng.randbytes(40)]
    path.write_bytes(rng.choice(kinds)())


def huge_jpeg() -> bytes:
    small = as_bytes(Image.new("RGB", (8, 8)), "JPEG")
    at = small.index(b"\xff\xc0") + 5
    return small[:at] + b"\xff\xff\xff\xff" + small[at + 4:]


def weights(folder: Path, rng: random.Random) -> None:
    """Numbers that are none, of other shapes, kinds and names; the file of a network that may not be there at all."""
    found = fresh(2)
    name = rng.choice(sorted(name for name, value in found.items() if value.is_floating_point()))
    deed = rng.randrange(6)
    if deed < 2:
        found[name].flatten()[0] = (torch.nan, torch.inf)[deed]
    elif deed == 2:
        found[name] = found[name].repeat(2) if found[name].dim() == 1 else found[name].flatten()
    elif deed == 3:
        found[name] = found[name].to(rng.choice([torch.int8, torch.complex64, torch.float64, torch.bool]))
    elif deed == 4:
        found[rng.choice(["more", "", "../x", "\u202e", "x" * 5000])] = found.pop(name)
    else:
        found[name] = found[name] * 1e38
    save_file(found, folder / rng.choice(["model.safetensors", "retrained-a-1.safetensors", "retrained-c-1.safetensors",
                                          "retrained-.safetensors", "retrained-0-\u0663.safetensors"]))


def header(folder: Path, rng: random.Random) -> None:
    """A header that says more than there is: bytes, shapes, places, names."""
    said: object = rng.choice([
        {"head.bias": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 8]}},
        {"head.bias": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 8]}},
        {"head.bias": {"dtype": "F32", "shape": [2], "data_offsets": [2**63, 2**64]}},
        {f"{i}": {"dtype": "F32", "shape": [1e400], "data_offsets": "x"} for i in range(3000)},
        {name: {"dtype": "F32", "shape": list(w.shape), "data_offsets": [0, 4]} for name, w in fresh(2).items()},
        {name: None for name in fresh(2)}, [[[[]]]], "x", None, 1])
    raw = json.dumps(said).encode()
    length = rng.choice([len(raw), len(raw), 0, 1, 2**20 + 1, 2**63 - 1, 2**64 - 1])
    (folder / "model.safetensors").write_bytes(length.to_bytes(8, "little") + raw + bytes(rng.randrange(64)))


def table(folder: Path, rng: random.Random) -> None:
    (folder / "metadata.csv").write_bytes(rng.choice([rng.choice(TEXTS).encode(), rng.randbytes(200),
                                                      rng.choice(TEXTS).encode("utf-16")]))


def said(folder: Path, rng: random.Random) -> None:
    (folder / "subject.toml").write_text(f"{rng.choice(LINES)}\n{SAID}" if rng.random() < 0.5 else
                                         f"{SAID}{rng.choice(LINES)}\n{rng.choice(LINES)}\n")


def missing(folder: Path, rng: random.Random) -> None:
    path = pick(folder, rng, rng.random() < 0.4)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def derived(folder: Path, rng: random.Random) -> None:
    """What `prepare` makes, made by somebody else."""
    (folder / "derived").mkdir(exist_ok=True)
    record = {"fingerprint": "0" * 64, "trained": True, "model": "0" * 64, "classes": ["a", "b"], "mean": [0.5] * 3,
              "std": [0.5] * 3, "accuracy": 1.0, "files": {}, "references": {"../../outside/secret": "0"}}
    name = rng.choice(["prepared.json", "contents.json", "images.json", "images-train.npy", "model.safetensors",
                       "networks-without-0.safetensors", "networks-without-..safetensors", ".x.1.tmp"])
    content = rng.choice([json.dumps(record), "[" * 10**5, "{}", "", '{"key": 1e999}', '{"a": NaN}', "null"]).encode()
    with suppress(OSError):
        (folder / "derived" / name).write_bytes(rng.choice([content, rng.randbytes(100)]))


DEEDS = (bytes_changed, exchanged, not_a_file, named_oddly, not_unicode, picture, weights, header, table, said, missing,
         derived)


@pytest.mark.parametrize("count", [120, pytest.param(5000, marks=[pytest.mark.slow, pytest.mark.timeout(20_000)])])
def test_any_folder_ends_in_sentences(watched: Path, count: int) -> None:
    save_file(fresh(2), watched / "model.safetensors")
    right = watched.parent.parent / f"{watched.parent.name}-right"
    shutil.copytree(watched, right)
    found = 0
    for seed in range(count):
        shutil.rmtree(watched)
        shutil.copytree(right, watched)
        rng = random.Random(seed)
        for deed in rng.choices(DEEDS, k=rng.randrange(1, 4)):
            with suppress(OSError):  # there is nothing left to spoil, or it cannot be spoilt like that
                deed(watched, rng)
        begun = time.process_time()
        faults = own.check(watched)
        assert time.process_time() - begun < 20, seed
        assert are_sentences(faults), (seed, faults)
        assert own.prepared(watched.parent, set()) == {}, seed
        own.title(watched)
        if faults or seed % 10 == 0:
            try:
                own.prepare(watched)
            except ValueError as problem:
                assert are_sentences(str(problem).splitlines()), (seed, problem)
            else:
                assert not faults, (seed, faults)
        found += bool(faults)
    assert found > count / 2


def test_every_deed_is_a_fault_or_none(watched: Path) -> None:
    """Of each kind of deed, some make a folder that is refused, and none one that raises anything else."""
    right = watched.parent.parent / f"{watched.parent.name}-right"
    shutil.copytree(watched, right)
    harmless = {derived}  # it is not believed, and made anew
    for deed in DEEDS:
        refused = 0
        for seed in range(5):
            shutil.rmtree(watched)
            shutil.copytree(right, watched)
            with suppress(OSError):
                deed(watched, random.Random(seed))
            refused += bool(own.check(watched))
        assert bool(refused) != (deed in harmless), deed


