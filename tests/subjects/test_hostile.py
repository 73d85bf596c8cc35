"""Folders that nobody would make by mistake: whatever lies in one, what is said of it is sentences."""

from __future__ import annotations

import io
import json
import os
import random
import resource
import shutil
import socket
import stat
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save, save_file

from tests.conftest import REPOSITORY
from tests.subjects.test_own import SAID, are_sentences, as_bytes, fresh, huge_png, opened, small, watched
from unlearn_core.assets import AssetError
from unlearn_core.subjects import own
from unlearn_core.subjects.own import study
from unlearn_core.subjects.own.pictures import Shape

__all__ = ["watched"]
NAMES = [
    "\u202ecod.exe", "a\nb", "-rf", "CON", "\U0001f600" * 60, "x" * 250, "%s%n", "<script>", "../a", "..", "a:b", "~",
    "\u0000x", "\ud800", "person:0", "'; DROP TABLE", " ", "\u200b", "a\u0301", "\u00e1", "0,1", "{0}"]
TEXTS = [
    "", "\x00", "file_name\n", "file_name,person\n" + "train/a/0.jpg,Anna\n" * 3, "file_name,person\ntrain/a/0.jpg",
    "file_name," + ",".join(map(str, range(50))), 'file_name,p\n"', "file_name,p\ntrain/a/0.jpg,=cmd|'/c calc'!A0\n",
    "file_name,p\n../../outside/secret,x\n", "file_name,file_name\na,b\n", "p,q\n" * 9,
    "file_name,p\n" + "x" * 10**5, "file_name,class\ntrain/a/0.jpg,b\n",
    "file_name,p\n" + "".join(f"train/a/0.jpg,{i}\n" for i in range(12_000)),
    "\ufefffile_name,p\ntrain/a/0.jpg,x\n", "file_name,p\ntrain/a/0.jpg,\x00\n", "file_name;p\ntrain/a/0.jpg;x\n",
    "file_name,p,p\ntrain/a/0.jpg,x,y\n", "p,file_name\n'x,train/a/0.jpg\n", "file_name,\u0440\na,b\n",
    "file_name,p\r\ntrain/a/0.jpg,x\r", "file_name,p\ntrain/a/0.jpg,x\n\n,\n", 'file_name,p\n"train/a/0.jpg"x,y\n']
VALUES = [
    "true", "0", "-1", "1e999", "nan", "''", "'x'", "'\u202e'", f"'{'x' * 9_000}'", "[]", "[[]]", "[0.5, 'x', 1]", "{}",
    "{a = {b = {c = 1}}}", "1979-05-27", "07:32:00", "0x" + "f" * 9_000, "9" * 4_000, "[" * 300 + "]" * 300, "0.5",
    "'../../etc/passwd'", "'C:\\x'", "'resnet18'", "'vit_h_14'", "'regnet_y_128gf'", "'inception_v3'", "'maxvit_t'",
    "'raft_large'", "'builtins:eval'", "'fcn_resnet50'", "'mobilenet_v3_small'", "'small-vit'", "'small-resnet '"]
KEYS = ["title", "about", "licence", "credit", "architecture", "size", "channels", "mean", "std", "recipe", "layers",
        "recipe.epochs", "recipe.flip", "recipe.optimiser", "layers.stem", "__class__", "a" + ".a" * 150, "'\u0000'"]
LINES = [
    "size = 513", "size = 1e3", "size = 512", "channels = 1", "channels = 4", "mean = [0.1]\nstd = [inf]", "mean = []",
    "layers = {stem = ''}", "[recipe]\nepochs = -1", "[recipe]\nflip = 'no'", "architecture = 'os:system'", "[[a]]",
    "architecture = 'vit_b_16'", "title = '''\n'''", "licence = 3", "credit = ['x']", "about = '\\u0007'"]


def write(path: Path, content: bytes) -> None:
    """Put a file there, whatever was; a pipe would wait for a reader."""
    if os.path.lexists(path):
        path.unlink()  # an OSError where it is a folder
    path.write_bytes(content)


def pick(folder: Path, rng: random.Random, files: bool = True) -> Path:
    return rng.choice([path for path in sorted(folder.rglob("*")) if not path.is_symlink() and path.is_file() == files]
                      or [folder / "subject.toml"])


def content_of(path: Path) -> bytes:
    """What a file holds, of an enormous one the beginning; nothing of what is no file."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(10**7)


def bytes_changed(folder: Path, rng: random.Random) -> None:
    path = pick(folder, rng)
    content = bytearray(content_of(path))
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
    write(path, content)


def exchanged(folder: Path, rng: random.Random) -> None:
    """A file with another's content, a number of copies, or none."""
    path = pick(folder, rng)
    other = pick(folder, rng)
    write(path, content_of(other) * rng.randrange(3))


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
    write(path, rng.choice(kinds)())


def bomb(folder: Path, rng: random.Random) -> None:
    """A small file that grows when it is read: many pixels, scans, letters, or bytes that are none."""
    path = pick(folder / "data", rng)
    deed = rng.randrange(7)
    if deed < 3:
        side = (6_900, 9_600, 40_000)[deed]  # just allowed; refused, with and without Pillow's own warning
        write(path, png(side, side, 1, zlib.compress(bytes(6_900 * (6_900 // 8 + 2)))))
    elif deed == 3:
        write(path.with_suffix(".jpg"), many_scans(rng.choice([2_000, 50_000]), 40))
    elif deed == 4:
        write(path, png(8, 8, 8, zlib.compress(bytes(72)), rng.choice([b"zTXt", b"iCCP"]),
                             b"x\0\0" + zlib.compress(bytes(3 * 10**7))))
    elif deed == 5:
        write(path, png(8, 8, 8, zlib.compress(bytes(72)), b"abCd", b"") + bytes(100))
        os.truncate(path, rng.choice([2**21, 2**27, 2**34]))
    else:
        write(path, png(0, 2**31 - 1, 8, b""))


def png(width: int, height: int, bits: int, packed: bytes, kind: bytes = b"tEXt", more: bytes = b"a\0b") -> bytes:
    """A grey PNG that says to be of this size."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)), (kind, more), (b"IDAT", packed),
              (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks)


def many_scans(count: int, side: int) -> bytes:
    """A progressive JPEG that goes over its pixels again and again."""
    stream = io.BytesIO()
    Image.new("RGB", (side, side)).save(stream, "JPEG", progressive=True)
    whole = stream.getvalue()
    return whole[:-2] + whole[whole.rindex(b"\xff\xda"):-2] * count + whole[-2:]


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
    write(folder / rng.choice(["model.safetensors", "retrained-a-1.safetensors", "retrained-c-1.safetensors",
                               "retrained-.safetensors", "retrained-0-\u0663.safetensors"]), save(found))


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
    write(folder / "model.safetensors", length.to_bytes(8, "little") + raw + bytes(rng.randrange(64)))


def table(folder: Path, rng: random.Random) -> None:
    write(folder / "metadata.csv", rng.choice([rng.choice(TEXTS).encode(), rng.randbytes(200),
                                               rng.choice(TEXTS).encode("utf-16")]))


def large_table(folder: Path, rng: random.Random) -> None:
    """Lines without end, cells without number, lines without number."""
    deed = rng.randrange(4)
    write(
        folder / "metadata.csv",
        b"file_name,p\n" + b"x" * 10**7 if deed == 0 else
        b"file_name" + b"," * 10**6 + b"\n" + b"x\n" * 10**5 if deed == 1 else
        b"file_name,p\n" + b",\n" * 10**5 if deed == 2 else b"file_name,p\n")
    if deed == 3:
        os.truncate(folder / "metadata.csv", rng.choice([10**7, 2**34]))


def classes(folder: Path, rng: random.Random) -> None:
    """Too many, too few, alike, empty, elsewhere, within each other."""
    train, test = folder / "data" / "train", folder / "data" / "test"
    deed = rng.randrange(7)
    if deed == 0:
        for number in range(1_001):
            (train / f"c{number}").mkdir()
    elif deed == 1:
        for picture in sorted((train / "a").iterdir())[1:]:
            picture.unlink()
    elif deed == 2:
        shutil.rmtree(rng.choice([test, test / "a", train / "b"]))
    elif deed == 3:
        for name in rng.choice([("A", "a "), ("\u00e9", "e\u0301"), ("\u212a", "K", "k")]):
            for part in (train, test):
                (part / name).mkdir(parents=True, exist_ok=True)
                write(part / name / "0.png", as_bytes(Image.new("RGB", (8, 8)), "PNG"))
    elif deed == 4:
        train.rename(train.with_name(rng.choice(["Train", "training", "test "])))
    elif deed == 5:
        (train / "a" / "/".join("d" * rng.choice([1, 200]) for _ in range(rng.choice([1, 8])))).mkdir(parents=True)
    else:
        for number in range(40):
            (folder / "data" / f"more{number}").symlink_to(folder.parent)


def locked_away(folder: Path, rng: random.Random) -> None:
    """Without the right to be read; or a device."""
    path = pick(folder, rng)
    if rng.random() < 0.5:
        path.chmod(0)
    else:
        path.unlink(missing_ok=True)
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero, where that is allowed


def odd_value(folder: Path, rng: random.Random) -> None:
    lines = [f"{rng.choice(KEYS)} = {rng.choice(VALUES)}" for _ in range(rng.randrange(1, 4))]
    kept = [line for line in SAID.splitlines() if not any(line.startswith(new.partition(" ")[0]) for new in lines)]
    write(folder / "subject.toml", ("\n".join(lines + kept) + "\n").encode())


def said(folder: Path, rng: random.Random) -> None:
    new = f"{rng.choice(LINES)}\n{SAID}" if rng.random() < 0.5 else (
        f"{SAID}{rng.choice(LINES)}\n{rng.choice(LINES)}\n")
    write(folder / "subject.toml", new.encode())


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
        write(folder / "derived" / name, rng.choice([content, rng.randbytes(100)]))


DEEDS = (bytes_changed, exchanged, not_a_file, named_oddly, not_unicode, picture, bomb, weights, header, table,
         large_table, classes, locked_away, odd_value, said, missing, derived)
MOST_SECONDS, MOST_MEGABYTES = 20, 1_500
"""Of processor time and memory, for any one folder of this size."""


@pytest.fixture
def quickly_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trying an architecture takes most of the time, and is the same again for the same."""
    known, build = {}, study.built

    def built(architecture: str, wanted: Shape, classes: int, layers: Mapping[str, str]) -> object:
        key = architecture, wanted, classes, tuple(layers)
        if key not in known:
            known[key] = build(architecture, wanted, classes, layers)
        return known[key]

    monkeypatch.setattr(study, "built", built)


@pytest.mark.parametrize("count", [150, pytest.param(5000, marks=[pytest.mark.slow, pytest.mark.timeout(20_000)])])
@pytest.mark.usefixtures("quickly_built")
def test_any_folder_ends_in_sentences(watched: Path, capfd: pytest.CaptureFixture[str], count: int) -> None:
    save_file(fresh(2), watched / "model.safetensors")
    right = watched.parent.parent / f"{watched.parent.name}-right"
    shutil.copytree(watched, right)
    found, before = 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(count):
        shutil.rmtree(watched)
        shutil.copytree(right, watched)
        rng, others = random.Random(seed), len(opened)
        for deed in rng.choices(DEEDS, k=rng.randrange(1, 4)):
            with suppress(OSError):  # there is nothing left to spoil, or it cannot be spoilt like that
                deed(watched, rng)
        del opened[others:]  # a deed after a link to the root of all files looks everywhere
        begun = time.process_time()
        faults = own.check(watched)
        assert time.process_time() - begun < MOST_SECONDS, seed
        assert are_sentences(faults) and str(watched.parent) not in "".join(faults), (seed, faults)
        assert own.prepared(watched.parent, set()) == {}, seed
        own.title(watched)
        if (faults and seed % 3 == 0) or seed % 30 == 0:
            try:
                own.prepare(watched)
            except ValueError as problem:
                assert are_sentences(str(problem).splitlines()), (seed, problem)
            else:
                assert not faults, (seed, faults)
        found += bool(faults)
    assert found > count / 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000 * MOST_MEGABYTES
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("quickly_built")
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


# -- one at a time -----------------------------------------------------------------------------------------------------


def test_a_terminal_sees_sentences_alone(tmp_path: Path) -> None:
    folder = small(tmp_path / "mine")
    (folder / "data/train/a/1.png").write_bytes(png(9_600, 9_600, 1, b""))
    done = subprocess.run([sys.executable, "-m", "unlearn_core", "check", folder, "--quiet"], cwd=REPOSITORY,
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == ("data/train/a/1.png cannot be used: at most 50 megapixels expected, got 9,600 x 9,600 "
                           "pixels.\n")


@pytest.mark.usefixtures("quickly_built")
def test_a_jpeg_goes_over_its_pixels_so_often_and_no_more(watched: Path) -> None:
    file = watched / "data/train/a/0.jpg"
    file.write_bytes(many_scans(90, 8))
    assert own.check(watched) == []
    file.write_bytes(many_scans(91, 8))
    assert own.check(watched) == ["data/train/a/0.jpg cannot be used: at most 100 scans expected, got 101."]


@pytest.mark.usefixtures("quickly_built")
def test_a_class_says_ten_faults_and_so_do_all_of_them(watched: Path) -> None:
    for number in range(30):
        (watched / f"data/more{number}").mkdir()
        (watched / f"data/train/l{number}").symlink_to(watched)
        for name in "ab":
            (watched / f"data/train/{name}/{number}.gif").touch()
    faults = own.check(watched)
    assert len(faults) == 33 and [fault for fault in faults if fault.startswith("The same")] == [
        f"The same kind of fault in {more} more {what}." for more, what in (
            (20, "folders"), (20, "folders"), (50, "files"))]


@pytest.mark.parametrize("name", ["prepared.json", "contents.json", "images.json"])
def test_a_table_without_end_is_not_read(tmp_path: Path, name: str) -> None:
    folder = small(tmp_path / "mine")
    own.prepare(folder)
    os.truncate(folder / "derived" / name, 2**42)
    assert len(own.prepared(tmp_path, set())) == (name != "prepared.json")
    own.prepare(folder)
    assert len(own.prepared(tmp_path, set())) == 1


@pytest.mark.parametrize(("name", "change"), [
    ("labels-train", lambda found: found + 1), ("labels-test", lambda found: found - 1),
    ("images-train", lambda found: found.view(np.int8)), ("images-test", lambda found: found.reshape(2, 1, 24, 8))])
def test_images_that_nobody_decoded_are_told(tmp_path: Path, name: str, change: Callable[[object], object]) -> None:
    """Of the same length, so that only who looks at them sees it."""
    own.prepare(small(tmp_path / "mine"))
    file = tmp_path / "mine" / "derived" / f"{name}.npy"
    size = file.stat().st_size
    np.save(file, change(np.load(file)))
    assert file.stat().st_size == size
    [subject] = own.prepared(tmp_path, set()).values()
    with pytest.raises(AssetError, match=r"are not what was decoded\). Prepare it again"):
        subject.read()
