"""From a folder without a fault to one that answers at once: pictures decoded, a network trained, all of it recorded.

Every file in ``derived`` is written under a temporary name and then renamed, and each stage records the key of what it
was made from. So whenever it is stopped, `prepare` goes on with the first stage that is not done.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from unlearn_core.nets import models
from unlearn_core.nets.evaluate import outputs
from unlearn_core.nets.images import Groups, ImageSet
from unlearn_core.nets.train import fit, seed_of, train
from unlearn_core.progress import Progress, silent, stage
from unlearn_core.subjects.own.description import DESCRIPTION, opened
from unlearn_core.subjects.own.groups import METADATA
from unlearn_core.subjects.own.pictures import PARTS, Listing, Part, pixels
from unlearn_core.subjects.own.study import DERIVED, Study, sound
from unlearn_core.subjects.own.weights import MODEL, loaded

FORMAT = 1
"""Of what is derived; another number makes everything anew."""
RECORD, CONTENTS, DECODED = "prepared.json", "contents.json", "images.json"
ARRAYS = tuple(f"{kind}-{part}.npy" for kind in ("images", "labels") for part in PARTS)
_SAMPLE = 24
"""Pictures that an estimate reads, decodes and trains on."""
_STEPS = 4
_BATCH = 250


# -- what the folder holds --------------------------------------------------------------------------------------------


def _key(*parts: object) -> str:
    return hashlib.sha256(repr((FORMAT, *parts)).encode()).hexdigest()


def _json(file: Path) -> dict[str, object]:
    """A table that `prepare` wrote; empty if there is none that can be read."""
    try:
        with opened(file) as stream:
            found = json.loads(stream.read())
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}


def _digest(file: Path) -> str:
    with opened(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _contents(folder: Path, listing: Listing, progress: Progress = silent) -> dict[str, list[object]]:
    """By path: bytes, time and SHA-256 of every picture, and of the model and the metadata where they are.

    A file is read only if its size or its time differ from those that were noted when it was read last.
    """
    known = _json(folder / DERIVED / CONTENTS)
    found: dict[str, list[object]] = {}
    stats = [(picture.path, picture.bytes, picture.modified) for picture in listing.all()]
    for name in (MODEL, METADATA):
        if os.path.lexists(folder / name):
            about = (folder / name).lstat()
            stats.append((name, about.st_size, about.st_mtime_ns))
    for i, (path, size, modified) in enumerate(stats):
        found[path] = _noted(known, path, size, modified) or [size, modified, _digest(folder / path)]
        progress((i + 1) / len(stats), f"reading {i + 1:,} of {len(stats):,} files")
    return found


def _noted(known: dict[str, object], path: str, size: int, modified: int) -> list[object] | None:
    """What is noted of a file, if it is of this size and time."""
    noted = known.get(path)
    return noted if isinstance(noted, list) and len(noted) == 3 and noted[:2] == [size, modified] else None


def fingerprint(folder: Path, listing: Listing) -> str:
    """Of all that a subject is made from: its description, model and metadata, each picture's name, size and content.

    Raises:
        OSError: if a file cannot be read.
    """
    return _fingerprint(folder, _contents(folder, listing))


def _fingerprint(folder: Path, contents: dict[str, list[object]]) -> str:
    return _key(_digest(folder / DESCRIPTION), [(path, said[0], said[2]) for path, said in sorted(contents.items())])


# -- what is derived --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """What `prepare` says at its end.

    Attributes:
        fingerprint: of what the folder held.
        trained: whether the network was trained here.
        model: SHA-256 of its file.
        classes: their names.
        mean: of each channel, in [0, 1].
        std: likewise.
        accuracy: of the network on all test images.
        files: bytes of each derived file that a subject cannot do without.
    """

    fingerprint: str
    trained: bool
    model: str
    classes: list[str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    accuracy: float
    files: dict[str, int]

    @property
    def identity(self) -> str:
        """Of everything that decides what the subject answers."""
        return _key(self.fingerprint, self.model)[:16]


def record(folder: Path) -> Record | None:
    """What `prepare` said of a folder; None if it has not come to its end, or cannot be read."""
    said = _json(folder / DERIVED / RECORD)
    kinds = {"fingerprint": str, "trained": bool, "model": str, "classes": list, "mean": list, "std": list,
             "accuracy": float, "files": dict}
    if (folder / DERIVED).is_symlink() or any(type(said.get(name)) is not kind for name, kind in kinds.items()):
        return None
    return Record(**{name: tuple(value) if isinstance(value, list) and name != "classes" else value
                     for name, value in said.items() if name in kinds})  # type: ignore[arg-type]


def fits(folder: Path, found: Record) -> bool:
    """Whether the derived files are all there, each as long as it was."""
    return set(found.files) == {*ARRAYS, *[MODEL] * found.trained} and all(
        _length(folder / DERIVED / name) == size for name, size in found.files.items())


def _length(file: Path) -> int:
    return file.stat().st_size if file.is_file() and not file.is_symlink() else -1


def image_set(folder: Path, part: Part, name: str, classes: list[str], mean: tuple[float, ...],
              std: tuple[float, ...], groups: Mapping[str, Groups]) -> ImageSet:
    """The decoded images of a part; they stay in the file until they are looked at.

    Raises:
        OSError, ValueError: if the files are missing or are none of these.
    """
    # Copied on writing: PyTorch does not know of memory that cannot be written.
    images, labels = (np.load(folder / DERIVED / f"{kind}-{part}.npy", mmap_mode="c", allow_pickle=False)
                      for kind in ("images", "labels"))
    return ImageSet(name, torch.from_numpy(np.asarray(images)), torch.from_numpy(np.array(labels)), tuple(classes),
                    mean, std, groups)


@contextmanager
def _written(file: Path) -> Iterator[BinaryIO]:
    """A file to write that gets its name when all of it is there."""
    made = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with made.open("xb") as stream:
            yield stream
        made.replace(file)
    finally:
        made.unlink(missing_ok=True)


def _write_json(file: Path, said: object) -> None:
    with _written(file) as stream:
        stream.write(json.dumps(said).encode())


# -- how long it takes ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """What it takes to prepare a folder; of what is done already, nothing.

    Attributes:
        pictures: how many there are.
        decoding: seconds to read and decode them.
        training: seconds to train a network.
        testing: seconds to run it on all test images.
        bytes: of disk that are needed.
    """

    pictures: int
    decoding: float
    training: float
    testing: float
    bytes: int

    @property
    def seconds(self) -> float:
        return self.decoding + self.training + self.testing

    def __str__(self) -> str:
        return (f"{self.pictures:,} pictures: about {_duration(self.decoding)} to decode, {_duration(self.training)} "
                f"to train, {_duration(self.testing)} to test; {self.bytes / 1e6:,.1f} MB of disk.")


def _duration(seconds: float) -> str:
    return (f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min" if seconds < 5400
            else f"{seconds / 3600:.1f} h")


def estimate(folder: Path) -> Estimate:
    """Measure a few pictures and a few steps of training, and say what all of them take.

    Raises:
        ValueError: if the folder has faults; the message has a line for each.
    """
    return _estimate(sound(folder))


def _estimate(study: Study) -> Estimate:
    folder, wanted, listing = study.folder, study.shape, study.listing
    found = list(listing.all())
    begun, sample = time.perf_counter(), []
    for picture in found[::-(-len(found) // _SAMPLE)]:
        _digest(folder / picture.path)
        sample.append(pixels(folder, picture.path, wanted))
    decoding = (time.perf_counter() - begun) / len(sample) * len(found)
    size = len(found) * sample[0].nbytes
    known = _json(folder / DERIVED / CONTENTS)
    trained = study.given
    if all(_noted(known, picture.path, picture.bytes, picture.modified) for picture in found):
        key = _pictures_key(study, _contents(folder, listing))
        if _decoded(study, key) is not None:
            decoding, size = 0.0, 0
            trained = trained or _model_key(study) == _wanted_model(study, key)
    recipe, classes = study.description.recipe, len(listing.classes)
    batch = min(recipe.batch_size, listing.count("train"), 256)
    images = torch.from_numpy(np.stack([sample[i % len(sample)] for i in range(_STEPS * batch)]))
    few = ImageSet("", images, torch.arange(len(images)) % classes, listing.classes, (0.5,) * wanted.channels,
                   (0.5,) * wanted.channels)
    model = models.build(study.description.architecture, channels=wanted.channels, classes=classes, size=wanted.size,
                         generator=torch.Generator())
    if not trained:
        size += sum(value.nbytes for value in model.state_dict().values()) // 2
    ticks = [time.perf_counter()]
    fit(model, few, replace(recipe, epochs=1, batch_size=batch), torch.Generator(),
        lambda share, note: ticks.append(time.perf_counter()))
    each = statistics.median(np.diff(ticks[1:])) / batch  # the first step sets things up
    training = 0.0 if trained else each * listing.count("train") * recipe.epochs
    return Estimate(len(found), decoding, float(training), float(each) / 3 * listing.count("test"), size)


# -- the stages -------------------------------------------------------------------------------------------------------


def prepare(folder: Path, progress: Progress = silent, expected: Estimate | None = None) -> float:
    """Decode a folder's pictures, train a network if it brings none, and record that it is ready.

    Start it again after it was stopped, whenever that was: it goes on with the stage that was not done, a training
    from its beginning. What an earlier state of the folder left behind is removed.

    Args:
        folder: of one subject.
        progress: told after every picture and step; may cancel.
        expected: what `estimate` said, if it was asked; decides how far each stage takes `progress`.

    Returns:
        The network's accuracy on all test images.

    Raises:
        ValueError: if the folder has faults, the disk is too full, or the training came to nothing.
        OSError: if ``derived`` cannot be written.
    """
    study = sound(folder)
    expected = expected or _estimate(study)
    free = shutil.disk_usage(folder).free
    if free < expected.bytes:
        raise ValueError(f"{expected.bytes / 1e6:,.1f} MB of free disk expected, got {free / 1e6:,.1f} MB.")
    whole = expected.seconds or 1.0
    ends = [expected.decoding / whole, (expected.decoding + expected.training) / whole]
    derived = folder / DERIVED
    derived.mkdir(exist_ok=True)
    contents = _contents(folder, study.listing, stage(progress, 0, 0.2 * ends[0]))
    _write_json(derived / CONTENTS, contents)
    print_ = _fingerprint(folder, contents)
    before = record(folder)
    if before is None or before.fingerprint != print_ or not fits(folder, before):
        _clear(derived)
    elif _digest(_weights(study)) == before.model:
        return before.accuracy
    key = _pictures_key(study, contents)
    if _decoded(study, key) is None:
        _decode(study, key, stage(progress, 0.2 * ends[0], ends[0]))
    mean, std = _scale(study, key)
    sets = {part: image_set(folder, part, folder.name, list(study.listing.classes), mean, std, {}) for part in PARTS}
    if not study.given and _model_key(study) != _wanted_model(study, key):
        _train(study, sets["train"], _wanted_model(study, key), stage(progress, ends[0], ends[1], "training"))
    accuracy = _accuracy(study, sets["test"], stage(progress, ends[1], 1))
    names = [*ARRAYS, *[MODEL] * (not study.given)]
    ready = Record(print_, not study.given, _digest(_weights(study)), list(study.listing.classes), mean, std, accuracy,
                   {name: _length(derived / name) for name in names})
    _write_json(derived / RECORD, asdict(ready))
    progress(1.0, "ready")
    return accuracy


def _weights(study: Study) -> Path:
    return study.folder / MODEL if study.given else study.folder / DERIVED / MODEL


def _clear(derived: Path) -> None:
    """Remove what was made of a folder that has changed, and what a stopped run left half written."""
    (derived / RECORD).unlink(missing_ok=True)
    kept = {CONTENTS, DECODED, MODEL, *ARRAYS}
    for file in derived.iterdir():
        if file.name not in kept and (file.is_symlink() or not file.is_dir()):
            file.unlink()


def _pictures_key(study: Study, contents: dict[str, list[object]]) -> str:
    return _key("pictures", asdict(study.shape), [(part, label, contents[picture.path][2]) for part in PARTS
                                                  for label, picture in study.listing.of(part)])


def _decoded(study: Study, key: str) -> tuple[list[float], list[float]] | None:
    """Mean and standard deviation of the decoded training images; None if these pictures are not decoded."""
    said = _json(study.folder / DERIVED / DECODED)
    files = said.get("files")
    if said.get("key") != key or not isinstance(files, dict) or set(files) != set(ARRAYS) or any(
            _length(study.folder / DERIVED / name) != size for name, size in files.items()):
        return None
    return said["mean"], said["std"]  # type: ignore[return-value]


def _scale(study: Study, key: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation by which images are standardised: those that are said, or the training images'."""
    found, said = _decoded(study, key), study.description
    if said.mean is not None and said.std is not None:
        return said.mean, said.std
    if found is None:
        raise ValueError("The decoded pictures were removed meanwhile; start again.")
    return tuple(found[0]), tuple(found[1])


def _decode(study: Study, key: str, progress: Progress) -> None:
    """Write all pictures, one by one, as (N, C, H, W) bytes, and what their mean and spread are."""
    folder, shape, derived = study.folder, study.shape, study.folder / DERIVED
    (derived / DECODED).unlink(missing_ok=True)
    sums, done = {part: np.zeros((2, shape.channels)) for part in PARTS}, 0
    for part in PARTS:
        size = (study.listing.count(part), shape.channels, shape.size, shape.size)
        with _written(derived / f"images-{part}.npy") as stream:
            np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": size})
            for _, picture in study.listing.of(part):
                image = pixels(folder, picture.path, shape)
                stream.write(image.tobytes())
                scaled = image.reshape(shape.channels, -1) / 255
                sums[part] += scaled.mean(1), np.square(scaled).mean(1)
                done += 1
                progress(done / len(study.listing), f"picture {done:,} of {len(study.listing):,}")
        with _written(derived / f"labels-{part}.npy") as stream:
            np.save(stream, np.array([label for label, _ in study.listing.of(part)], np.int64), allow_pickle=False)
    mean, square = sums["train"] / study.listing.count("train")
    std = np.sqrt(np.maximum(square - mean**2, 1e-12))
    _write_json(derived / DECODED, {"key": key, "mean": mean.tolist(), "std": std.tolist(),
                                     "files": {name: _length(derived / name) for name in ARRAYS}})


def _model_key(study: Study) -> str:
    """What the derived network was trained from; empty if there is none."""
    file = study.folder / DERIVED / MODEL
    if _length(file) < 0:
        return ""
    try:
        with safe_open(file, "pt") as stored:
            return str((stored.metadata() or {}).get("key", ""))
    except (SafetensorError, OSError):
        return ""


def _wanted_model(study: Study, key: str) -> str:
    """The key of a network trained on the decoded pictures of that key."""
    return _key(key, study.description.architecture, asdict(study.description.recipe), _scale(study, key))


def _train(study: Study, images: ImageSet, key: str, progress: Progress) -> None:
    """Train a network and write it in half precision, to which `train` has rounded it."""
    architecture = study.description.architecture
    model = train(architecture, images, seed=seed_of("own", architecture), recipe=study.description.recipe,
                  progress=progress)
    weights = {name: value.half() if value.is_floating_point() else value
               for name, value in model.state_dict().items()}
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        raise ValueError(f"The training came to nothing: its numbers grew without limit. Try a lower peak_lr in the "
                         f"[recipe] of {DESCRIPTION} than {study.description.recipe.peak_lr:g}.")
    with _written(study.folder / DERIVED / MODEL) as stream:
        stream.write(save({name: value.contiguous() for name, value in weights.items()}, {"key": key}))


def _accuracy(study: Study, images: ImageSet, progress: Progress) -> float:
    model = loaded(_weights(study), study.description.architecture, study.shape, len(images.classes))
    right = 0
    for start in range(0, len(images), _BATCH):
        chosen = slice(start, start + _BATCH)
        right += int((outputs(model, images.pixels(chosen)).predicted == images.labels[chosen].numpy()).sum())
        progress(min(1.0, (start + _BATCH) / len(images)), "testing")
    return right / len(images)
