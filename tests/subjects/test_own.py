"""Subjects of one's own: what is wrong with a folder is said in sentences, and a right one becomes a subject."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.conftest import REPOSITORY
from unlearn_core.__main__ import main
from unlearn_core.assets import AssetError
from unlearn_core.nets import models
from unlearn_core.nets.request import Request, read
from unlearn_core.progress import Cancelled
from unlearn_core.subjects import own
from unlearn_core.subjects.subject import Subject

GREEK = ["Άλφα", "Βήτα", "Γάμμα", "Δέλτα", "Έψιλον", "Ζήτα", "Ήτα", "Θήτα", "Ιώτα", "Κάππα", "Λάμδα", "Μι", "Νι"]
SAID = 'title = "T"\nabout = "spots"\narchitecture = "small-resnet"\n'
Break = Callable[[Path], object]


def paint(file: Path, label: int, rng: np.random.Generator, size: int = 40, **options: object) -> None:
    pixels = rng.integers(0, 60, (size, size, 3), np.uint8)
    pixels[label * 3 % size:label * 3 % size + 6] += np.uint8(150)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def greek(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Subjects with one of 13 classes, unequal in size, prepared."""
    root = tmp_path_factory.mktemp("subjects")
    folder, rng = root / "Ελληνικά & Greek", np.random.default_rng(0)
    for label, name in enumerate(GREEK):
        for part, count in (("train", 3 + 2 * label), ("val", 1 + label % 3)):
            for i in range(count):
                paint(folder / "data" / part / name / f"{i}.{'png' if i % 2 else 'jpg'}", label, rng)
    (folder / "subject.toml").write_text(f"{SAID}[recipe]\nepochs = 1\n", "utf-8")
    assert own.check(folder) == [] and own.prepared(root, set()) == {}
    assert own.unprepared(root, set()) == {"greek": folder}
    said: list[float] = []
    own.prepare(folder, lambda share, note: said.append(share))
    assert said == sorted(said) and said[-1] == 1
    return folder


def only(folder: Path) -> Subject:
    [subject] = own.prepared(folder.parent, set()).values()
    return subject


def test_a_folder_becomes_a_subject(greek: Path) -> None:
    subject = only(greek)
    train, test = subject.images.train, subject.images.test
    assert subject.name == "greek" and subject.classes == tuple(sorted(GREEK)) == train.classes
    assert train.images.shape == (13 * 3 + 2 * 78, 3, 40, 40) and train.images.dtype == torch.uint8
    counts = dict(zip(subject.classes, torch.bincount(train.labels).tolist(), strict=True))
    assert counts == {name: 3 + 2 * label for label, name in enumerate(GREEK)} and len(test) == 13 + 12
    scaled = train.images.double() / 255
    assert np.allclose(train.mean, scaled.mean((0, 2, 3))) and train.mean == test.mean
    assert np.allclose(train.std, scaled.std((0, 2, 3), correction=0)) and train.std == test.std
    assert subject.original()(test.pixels()).shape == (25, 13)
    assert subject.recipe is not None and subject.recipe.epochs == 1 and subject.file("maps", ".npz") is None
    (greek / "derived" / "maps.npz").touch()
    assert subject.file("maps", ".npz") == greek / "derived" / "maps.npz"
    with Image.open(greek / "data" / "train" / GREEK[0] / "1.png") as first:
        label = subject.classes.index(GREEK[0])
        assert (train.images[train.labels == label][1].numpy() == np.asarray(first).transpose(2, 0, 1)).all()


def test_validation_pictures_are_a_part_of_their_own(greek: Path, tmp_path: Path) -> None:
    """They are no test images, change the fingerprint, and leave the network as it is; without them none is made."""
    folder = tmp_path / "copy"
    shutil.copytree(greek, folder)
    before = only(folder)
    assert before.images.validation is None
    tests = next(name for name in ("test", "val") if (folder / "data" / name).exists())
    if tests == "val":
        (folder / "data/val").rename(folder / "data/test")
    shutil.copytree(folder / "data/test", folder / "data/val")
    assert own.prepared(tmp_path, set()) == {}
    notes: list[str] = []
    own.prepare(folder, lambda share, note: notes.append(note))
    assert notes and not any(note.startswith(("training", "without")) for note in notes), notes
    found = only(folder)
    assert found.images.validation is not None and found.fingerprint != before.fingerprint
    assert torch.equal(found.images.validation.images, found.images.test.images)
    assert len(found.images.test) == len(before.images.test)
    shutil.rmtree(folder / "data/val")
    own.prepare(folder)
    assert only(folder).images.validation is None
    assert not list((folder / "derived").glob("*validation*"))


def test_names_differ_from_those_taken(greek: Path) -> None:
    assert list(own.prepared(greek.parent, {"greek", "greek-2"})) == ["greek-3"]


def test_what_changed_is_not_prepared_until_it_is_again(greek: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(greek, folder)  # other times, same content
    assert only(folder).fingerprint == only(greek).fingerprint
    [picture, *_] = (folder / "data" / "train" / GREEK[1]).iterdir()
    before = picture.read_bytes()
    paint(picture, 3, np.random.default_rng(5))
    assert own.prepared(tmp_path, set()) == {} and own.unprepared(tmp_path, set()) == {"copy": folder}
    picture.write_bytes(before)
    assert only(folder).fingerprint == only(greek).fingerprint
    description = folder / "subject.toml"
    description.write_text(description.read_text().replace('"T"', '"Another title"'))
    assert own.prepared(tmp_path, set()) == {}
    notes: list[str] = []
    own.prepare(folder, lambda share, note: notes.append(note))
    assert not any("epoch" in note or "picture" in note for note in notes)  # neither depends on the title
    assert only(folder).title == "Another title" and not (folder / "derived" / "maps.npz").exists()


def test_an_unchanged_picture_is_not_read_again(greek: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unlearn_core.subjects.own import derived

    read: list[Path] = []
    digest = derived.digest
    monkeypatch.setattr(derived, "digest", lambda file: read.append(file) or digest(file))  # type: ignore[func-returns-value]
    only(greek)
    assert set(read) == {greek / "subject.toml"}


def test_an_altered_network_is_not_used(greek: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(greek, folder)
    file = folder / "derived" / "model.safetensors"
    altered = bytearray(file.read_bytes())
    altered[-1] ^= 1
    file.write_bytes(altered)
    with pytest.raises(AssetError, match="was changed"):
        only(folder).original()


@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.float64, torch.bfloat16])
def test_a_network_of_ones_own_is_taken_as_it_is(tmp_path: Path, kind: torch.dtype) -> None:
    folder = small(tmp_path / "given", SAID)
    weights = {name: value.to(kind) if value.is_floating_point() else value for name, value in fresh(2).items()}
    save_file(weights, folder / "model.safetensors")
    assert own.check(folder) == []
    own.prepare(folder)
    subject = only(folder)
    assert subject.recipe is None and not (folder / "derived" / "model.safetensors").exists()
    assert torch.equal(subject.original().state_dict()["head.weight"], weights["head.weight"].float())


def test_pictures_of_all_kinds_come_to_one_shape(tmp_path: Path) -> None:
    folder = tmp_path / "kinds"
    for label in range(2):
        for i, mode in enumerate(("L", "RGB", "RGBA", "P", "1", "LA", "I;16")):
            where = folder / "data" / str(label) / f"{i}.png"
            where.parent.mkdir(parents=True, exist_ok=True)
            Image.new(mode, (20 + i, 30)).save(where)
        Image.new("CMYK", (40, 12)).save(folder / "data" / str(label) / "c.JPEG")
        turned = Image.new("RGB", (24, 16))
        exif = turned.getexif()
        exif[0x0112] = 6
        turned.save(folder / "data" / str(label) / "turned.jpg", exif=exif)
    (folder / "subject.toml").write_text(f"{SAID}[recipe]\nepochs = 1\n")
    assert own.check(folder) == []
    own.prepare(folder)
    assert only(folder).images.train.images.shape[1:] == (3, 21, 21)  # 0.png is for testing
    assert len(only(folder).images.test) == 2 and len(only(folder).images.train) == 16
    for file in folder.glob("data/*/*"):
        if file.name not in ("0.png", "4.png"):
            file.unlink()
    for label in range(2):
        Image.new("L", (20, 20), 9).save(folder / "data" / str(label) / "2.png")
    own.prepare(folder)
    assert only(folder).images.train.images.shape == (4, 1, 20, 20)


# -- stopped ---------------------------------------------------------------------------------------------------------


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("when", ["picture 5", "training, epoch 1", "testing"])
def test_a_killed_prepare_resumes(tmp_path: Path, when: str) -> None:
    folder = small(tmp_path / "killed")
    program = f"""
import os, signal, sys
from pathlib import Path
from unlearn_core.subjects import own
def progress(share, note):
    if note.startswith({when!r}):
        os.kill(os.getpid(), signal.SIGKILL)
own.prepare(Path(sys.argv[1]), progress)
"""
    killed = subprocess.run([sys.executable, "-c", program, folder], cwd=REPOSITORY, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert own.prepared(tmp_path, set()) == {}
    notes: list[str] = []
    own.prepare(folder, lambda share, note: notes.append(note))
    assert any(note.startswith("picture ") for note in notes) == (when == "picture 5")
    assert any("epoch" in note for note in notes) == (when != "testing")
    assert len(only(folder).images.train) == 6 and not list((folder / "derived").glob(".*"))


def test_a_cancelled_prepare_leaves_nothing_half_done(tmp_path: Path) -> None:
    folder = small(tmp_path / "cancelled")

    def progress(share: float, note: str) -> None:
        if note.startswith("picture"):
            raise Cancelled

    with pytest.raises(Cancelled):
        own.prepare(folder, progress)
    assert not list((folder / "derived").glob(".*")) and own.prepared(tmp_path, set()) == {}


# -- faults ----------------------------------------------------------------------------------------------------------


def small(folder: Path, said: str = f"{SAID}[recipe]\nepochs = 1\n") -> Path:
    """The smallest right folder: two classes of three training and one test picture of 8 pixels."""
    rng = np.random.default_rng(1)
    for label, name in enumerate("ab"):
        for part, count in (("train", 3), ("test", 1)):
            for i in range(count):
                paint(folder / "data" / part / name / f"{i}.{'png' if i else 'jpg'}", label, rng, 8)
    (folder / "subject.toml").write_text(said)
    return folder


def fresh(classes: int) -> dict[str, torch.Tensor]:
    model = models.build("small-resnet", channels=3, classes=classes, size=8, generator=torch.Generator())
    return {name: value.contiguous() for name, value in model.state_dict().items()}


def say(text: str) -> Break:
    return lambda folder: (folder / "subject.toml").write_text(text)


def add(text: str) -> Break:
    return lambda folder: (folder / "subject.toml").write_text(text + SAID)


def replace_with(path: str, content: bytes) -> Break:
    return lambda folder: (folder / path).write_bytes(content)


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Break:
    def broken(folder: Path) -> None:
        found = fresh(2)
        change(found)
        save_file(found, folder / "model.safetensors")

    return broken


def linked(path: str, target: str) -> Break:
    def broken(folder: Path) -> None:
        where = folder / path
        shutil.rmtree(where, ignore_errors=True)
        where.unlink(missing_ok=True)
        where.symlink_to(target)

    return broken


def model(header: object, rest: bytes = b"", length: int | None = None) -> Break:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return replace_with("model.safetensors",
                        struct.pack("<Q", len(raw) if length is None else length) + raw + rest)


def as_bytes(image: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def huge_png() -> bytes:
    made = bytearray(as_bytes(Image.new("L", (1, 1)), "PNG"))
    made[16:24] = struct.pack(">II", 9000, 9000)
    import zlib
    made[29:33] = struct.pack(">I", zlib.crc32(made[12:29]))
    return bytes(made)


PICTURE = "data/train/a/1.png"
FAULTS: dict[str, tuple[Break, str]] = {
    "no description": (lambda folder: (folder / "subject.toml").unlink(), "subject.toml is missing"),
    "no toml": (say("title ="), "is not TOML"),
    "no utf-8": (replace_with("subject.toml", b"\xff\xfe"), "is not TOML"),
    "a deep toml": (say("a = " + "[" * 60_000), "is not TOML"),
    "a large toml": (say("#" * 2**17), "at most 64 KiB"),
    "a long key": (add(f"{'a.' * 32_000}a = 1\n"), "lines with at most 200 dots"),
    "a number of many digits": (add(f"size = 0x{'f' * 9_000}\n"), "got a number of thousands of digits"),
    "a deep value": (add("".join(f"size.{'a.' * 190}a.b{i} = 1\n" for i in range(3))), "size: a whole number"),
    "many unknown keys": (add("".join(f"key{i} = 1\n" for i in range(4_000))), "nor are there 3,990 more"),
    "an empty toml": (say(""), "architecture is missing"),
    "a linked toml": (linked("subject.toml", "../outside/secret"), "not a regular file"),
    "a near miss": (add("titel = 'x'\n"), "no titel; was title meant?"),
    "an unknown key": (add("qqqq = 1\n"), "there is no qqqq, only title"),
    "a long title": (say(SAID.replace('"T"', f'"{"x" * 81}"')), "1 to 80 characters"),
    "a title of controls": (say(SAID.replace('"T"', '"\\u001b[2J"')), "title: a text"),
    "a size of zero": (add("size = 0\n"), "size: a whole number from 8"),
    "a size that is true": (add("size = true\n"), "size: a whole number"),
    "two channels": (add("channels = 2\n"), "1 or 3"),
    "a mean alone": (add("mean = [0.5]\n"), "mean and std expected together"),
    "a spread of zero": (add("mean = [0.5]\nstd = [0.0]\n"), "std: a list"),
    "a mean of one channel": (add("mean = [0.5]\nstd = [0.5]\n"), "one number for each of 3 channels"),
    "a mean that is no number": (add("mean = [nan, 0.1, 0.1]\nstd = [1, 1, 1]\n"), "mean: a list"),
    "no architecture": (say(SAID.replace("small-resnet", "os.system")), "got os.system"),
    "a path": (say(SAID.replace("small-resnet", "../../x:y")), "architecture"),
    "no class head": (say(SAID.replace("small-resnet", "squeezenet1_0")), "architecture"),
    "too small for it": (say(SAID.replace("small-resnet", "alexnet")), "architecture"),
    "grey for torchvision": (
        say("channels = 1\n" + SAID.replace("small-resnet", "resnet18")), "networks take 3"),
    "a wrong recipe": (say(f"{SAID}[recipe]\nepochs = 0\noptimizer = 'sgd'\n"), "was recipe.optimiser meant?"),
    "an endless rate": (say(f"{SAID}[recipe]\npeak_lr = inf\n"), "recipe.peak_lr: a number above 0"),
    "an unknown layer": (say(f"{SAID}[layers]\nnowhere = 'x'\n"), "layers: stages of the network (stem"),
    "no data": (lambda folder: shutil.rmtree(folder / "data"), "data is missing"),
    "a data file": (lambda folder: (shutil.rmtree(folder / "data"), (folder / "data").touch()), "data: a folder"),
    "linked data": (linked("data", "../outside"), "data: a folder expected"),
    "a linked class": (linked("data/train/a", "../../../outside"), "data/train/a: a folder expected, got a link"),
    "a linked picture": (linked(PICTURE, "../../../../outside/secret"), "a picture expected, got a link"),
    "a pipe": (lambda folder: os.mkfifo(folder / "data/train/a/9.png"), "no regular file"),
    "one class": (lambda folder: shutil.rmtree(folder / "data/train/b"), "2 to 1,000 folders"),
    "no test": (lambda folder: shutil.rmtree(folder / "data/test"), "beside train expected"),
    "no test of a class": (lambda folder: shutil.rmtree(folder / "data/test/b"), "class b has no folder in data/test"),
    "two tests": (lambda folder: [shutil.copytree(folder / "data/test", folder / "data" / name)
                                  for name in ("val", "validation")],
                  "test beside train expected, and one of val and validation"),
    "no validation of a class": (lambda folder: shutil.copytree(folder / "data/test/a", folder / "data/validation/a"),
                                 "class b has no folder in data/validation"),
    "an empty validation": (lambda folder: [(folder / f"data/validation/{name}").mkdir(parents=True)
                                            for name in ("a", "b")],
                            "class a: at least 1 validation picture expected, got none"),
    "a class of one": (lambda folder: [(folder / f"data/train/a/{i}.png").unlink() for i in (1, 2)],
                       "class a: at least 2 training and 1 test pictures expected, got 1 and 1"),
    "another folder": (lambda folder: (folder / "data/extra").mkdir(), "data/extra: nothing but"),
    "a bad name": (lambda folder: os.mkdir(os.fsencode(folder / "data/train") + b"/\xff"), "printable Unicode"),
    "two ways to write": (lambda folder: [(folder / "data/train" / name).mkdir() for name in ("\u00e9", "e\u0301")],
                          "written differently"),
    "an archive": (lambda folder: (folder / "data/train/a/all.zip").touch(), "a .png, .jpg or .jpeg expected"),
    "an empty picture": (replace_with(PICTURE, b""), "neither PNG nor JPEG"),
    "a text": (replace_with(PICTURE, b"#!/bin/sh"), "neither PNG nor JPEG"),
    "a gif": (replace_with(PICTURE, as_bytes(Image.new("L", (8, 8)), "GIF")), "neither PNG nor JPEG"),
    "a jpeg called png": (replace_with(PICTURE, as_bytes(Image.new("L", (8, 8)), "JPEG")), "but it is a JPEG"),
    "a truncated picture": (lambda folder: os.truncate(folder / PICTURE, 120), "1.png cannot be used"),
    "a truncated first": (lambda folder: os.truncate(folder / "data/train/a/0.jpg", 300), "0.jpg cannot be used"),
    "a huge picture": (replace_with(PICTURE, huge_png()), "at most 50 megapixels"),
    "an empty model": (replace_with("model.safetensors", b""), "got 0 bytes"),
    "a linked model": (linked("model.safetensors", "../outside/secret"), "not a regular file"),
    "a model folder": (lambda folder: (folder / "model.safetensors").mkdir(), "not a regular file"),
    "a pickle": (replace_with("model.safetensors", b"\x80\x04cos\nsystem\n."), "a header of at most 1 MiB"),
    "an endless header": (model({}, length=2**63), "a header of at most 1 MiB"),
    "a deep header": (model(b"[" * 500_000), "not JSON"),
    "a header list": (model([]), "not a table"),
    "an empty header": (model({}), "stem.0.weight is missing"),
    "a path as a name": (model({"../../x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"abcd"),
                         "more weights of model"),
    "a wrong shape": (weights(lambda w: w.update({"head.weight": torch.zeros(3, 64)})), "head.weight: shape [2, 64]"),
    "a wrong type": (weights(lambda w: w.update({"head.bias": torch.zeros(2, dtype=torch.int64)})),
                     "head.bias: a floating-point type expected"),
    "a weight too many": (weights(lambda w: w.update({"more": torch.zeros(2)})), "has no more"),
    "a weight too few": (weights(lambda w: w.pop("head.bias")), "head.bias is missing"),
    "not a number": (weights(lambda w: w["head.bias"].fill_(torch.nan)), "not finite"),
    "a number too large": (weights(lambda w: [w[n].fill_(3e38) for n in ("head.bias", "head.weight")]), "not finite"),
    "a tail": (lambda folder: (weights(lambda w: None)(folder), (folder / "model.safetensors").open("ab").write(b"x")),
               "bytes expected"),
    "linked results": (linked("derived", "../outside"), "derived: a folder expected"),
}


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Path]:
    """A right folder beside one with a secret, which must be as it was, and whose files must not have been opened."""
    folder, outside = small(tmp_path / "mine"), tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    opened.clear()
    yield folder
    assert not [path for path in opened if "outside" in path or "secret" in path]
    assert files(outside) == {"secret": b"secret"} and sorted(p.name for p in tmp_path.iterdir()) == ["mine", "outside"]


opened: list[str] = []
sys.addaudithook(lambda event, arguments: opened.append(os.fsdecode(arguments[0]))
                 if event in ("open", "os.scandir", "os.listdir") and isinstance(arguments[0], str | bytes | Path)
                 else None)


def are_sentences(faults: list[str]) -> bool:
    return all(fault[-1] in ".?" and fault.isprintable() and len(fault) < 1000 for fault in faults)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_said(watched: Path, name: str) -> None:
    broken, said = FAULTS[name]
    broken(watched)
    before = {path.relative_to(watched) for path in watched.rglob("*")}
    faults = own.check(watched)
    assert any(said in fault for fault in faults), faults
    assert are_sentences(faults), faults
    assert len(set(faults)) == len(faults)
    with pytest.raises(ValueError):  # nor is it prepared
        own.prepare(watched)
    made = {path.relative_to(watched) for path in watched.rglob("*")} - before
    assert all(path.parts[0] == "derived" for path in made) and own.prepared(watched.parent, set()) == {}


def test_all_faults_are_said_at_once(watched: Path) -> None:
    for name in ("a near miss", "a jpeg called png", "an empty model"):
        FAULTS[name][0](watched)
    for i in range(15):
        (watched / f"data/train/b/{i + 10}.png").write_bytes(b"x")
    faults = own.check(watched)
    assert len(faults) == 1 + 1 + 11 and "in 6 more pictures" in faults[-1]


# -- names -----------------------------------------------------------------------------------------------------------

EVIL = ["[x](http://evil)", "*b*", "<b>", "__b__", "`c`", "~~d~~", "$x$", ":red[y]", ":smile:", "www.evil.com",
        "a@b.cd", "![i](//evil/i.png)", "# h", "- l", "1. l", "a\\*b*", "<script>alert(1)</script>", "| a | b |",
        "https://evil", "1) l", "+ l", "> q", "---", "[a]: //evil", "a\nb\n===", "&lt;b&gt; _i_", "__init__.py *_x_*"]


def test_what_a_stranger_calls_something_is_words_on_a_page(watched: Path) -> None:
    (watched / "subject.toml").write_text("".join(
        f"{key} = {json.dumps(said)}\n" for key, said in (
            ("title", EVIL[0]), ("about", " ".join(EVIL)[:300]), ("architecture", "small-resnet"))) +
        f"[recipe]\nepochs = 1\n[layers]\nstem = {json.dumps(EVIL[2])}\n")
    for part in ("train", "test"):
        (watched / "data" / part / "a").rename(watched / "data" / part / "*b* <b> [x](evil)")
    (watched / "metadata.csv").write_text("file_name,person\ntrain/b/0.jpg,[x](http://evil)\n")
    own.prepare(watched, texts=["*b* <b> [x](evil)", "person:[x](http://evil)"], seeds=1)
    subject = only(watched)
    [person] = subject.groups["person"].names
    names = [subject.title, subject.about, *subject.classes, *subject.images.train.classes, person,
             *subject.layers.values()]
    assert len(subject.retrained(Request((0,)))) == len(subject.retrained(Request((0,), "person"))) == 1
    for name in names:
        assert not set("*[]<>`~$|\\@") & set(name) and "://" not in name, name
    assert subject.classes == ("∗b∗ ‹b› (x)(evil)", "b") == subject.images.test.classes


@pytest.mark.parametrize("name", EVIL)
def test_markdown_finds_nothing_in_it(name: str) -> None:
    said = own.plain(name)
    page = pytest.importorskip("markdown_it").MarkdownIt("js-default").render(said)
    assert page.count("<") == 2 and page.startswith("<p>") and page.endswith("</p>\n"), page
    assert own.plain(said) == said
    assert not re.search(r"www\.|://|\w@\w|:\w", said), "which pages make links, or pictures, of"


def test_ordinary_names_stay_as_they_are() -> None:
    for name in ("golden_retriever", "C#", "R&D", "St. John's", "A/B (new)", "Ελληνικά", "80 %", "x-ray", "Nr. 3",
                 "1.5"):
        assert own.plain(name) == name


def test_classes_that_would_look_alike_are_told(watched: Path) -> None:
    for part in ("train", "test"):
        for name in ("<a>", "‹a›"):
            shutil.copytree(watched / "data" / part / "a", watched / "data" / part / name)
    assert sum("two folders of the same name" in fault for fault in own.check(watched)) == 2


# -- by hand ---------------------------------------------------------------------------------------------------------


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = small(tmp_path / "mine")
    assert main(["check", str(folder)]) == 0 and "Nothing is wrong" in capsys.readouterr().out
    assert main(["prepare", str(folder)]) == 0
    said = capsys.readouterr()
    assert "8 pictures: about" in said.err and said.out.startswith("Ready: the network names ")
    assert main(["prepare", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 8
    (folder / "subject.toml").write_text("titel = 1")
    assert main(["check", str(folder)]) == 1 and "was title meant?" in capsys.readouterr().out
    assert main(["check", str(folder), "--json"]) == 1 and len(json.loads(capsys.readouterr().out)["faults"]) == 4
    assert main(["prepare", str(folder)]) == 2 and "was title meant?" in capsys.readouterr().err
    assert main(["check", str(tmp_path / "nowhere")]) == 1


def test_the_trained_file_is_half_precision(greek: Path) -> None:
    found = load_file(greek / "derived" / "model.safetensors")
    assert {value.dtype for value in found.values()} == {torch.float16, torch.int64}


# -- groups ---------------------------------------------------------------------------------------------------------


def grouped(greek: Path, folder: Path, table: str) -> Path:
    shutil.copytree(greek, folder)
    (folder / "metadata.csv").write_text(table, "utf-8")
    return folder


def test_metadata_groups_pictures_across_classes(greek: Path, tmp_path: Path) -> None:
    first, second = GREEK[0], GREEK[1]
    folder = grouped(greek, tmp_path / "copy", (
        "file_name,person,season\n"
        f"train/{first}/0.jpg,Ζωή,spring\ndata/train/{second}/1.png,Anna,\n./train/{second}/0.jpg, Ζωή ,autumn\n"
        f"val/{first}/0.jpg,Ζωή,\nval/{second}/0.jpg,Nobody,\ntrain/nowhere.png,Anna,spring\n"))
    assert own.check(folder) == [] and own.prepared(tmp_path, set()) == {}, "it is another subject now"
    own.prepare(folder)
    subject = only(folder)
    train, test = subject.images.train, subject.images.test
    assert train.groups["person"].names == ("Anna", "Ζωή") and train.groups["season"].names == ("autumn", "spring")
    assert int((train.groups["person"].numbers >= 0).sum()) == 3
    assert int((test.groups["person"].numbers == 1).sum()) == 1
    found = read("person:1", train).mask(train)
    assert {train.classes[c] for c in train.labels[found].tolist()} == {first, second} and int(found.sum()) == 2
    before = subject.fingerprint
    (folder / "metadata.csv").write_text("file_name,person\ntrain/x.png,a\n", "utf-8")
    assert own.prepared(tmp_path, set()) == {} and before != only(greek).fingerprint


@pytest.mark.parametrize(("table", "said"), [
    ("", "metadata.csv: a first line with file_name"),
    ("name,person\na,b\n", "metadata.csv: a first line with file_name"),
    ("file_name\na\n", "metadata.csv: 1 to 10 columns beside file_name expected, got 0"),
    ("file_name,class\na,b\n", "metadata.csv: class: a column's name"),
    ("file_name,two words\na,b\n", "metadata.csv: two words: a column's name"),
    ("file_name,person\na,b,c\n", "metadata.csv: as many cells in each line"),
    ("file_name,person\na\n", "metadata.csv: as many cells in each line"),
    ('file_name,person\na,"b\n', "metadata.csv is no table of comma-separated UTF-8 text"),
    ("file_name,person\nelsewhere.png,Anna\n", "metadata.csv: person: 1 to 10,000 different values of training"),
    (f"file_name,person\na,{'x' * 81}\n", "metadata.csv: person: values of at most 80 printable characters"),
    ("file_name,person\na,b\x07\n", "metadata.csv: person: values of at most 80 printable characters"),
])
def test_a_faulty_metadata_is_told(greek: Path, tmp_path: Path, table: str, said: str) -> None:
    [fault] = own.check(grouped(greek, tmp_path / "copy", table))
    assert fault.startswith(said)


def test_metadata_is_no_link_and_no_binary_file(greek: Path, tmp_path: Path) -> None:
    folder = grouped(greek, tmp_path / "copy", "")
    (folder / "metadata.csv").write_bytes(b"file_name,person\n\xff\xfe")
    assert own.check(folder)[0].startswith("metadata.csv is no table")
    (folder / "metadata.csv").unlink()
    (folder / "metadata.csv").symlink_to("/etc/passwd")
    assert own.check(folder) == ["metadata.csv cannot be read: it is not a regular file."]
