"""From a folder without a fault to one that answers at once: pictures decoded, networks trained, all of it recorded.

Whenever it is stopped, `prepare` goes on with the first stage that is not done; see `derived`.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors.torch import save

from unlearn_core.nets.evaluate import outputs
from unlearn_core.nets.images import ImageSet
from unlearn_core.progress import Progress, silent, stage
from unlearn_core.subjects.own import references
from unlearn_core.subjects.own.derived import (
    CONTENTS,
    DECODED,
    RECORD,
    Record,
    about_networks,
    arrays,
    contents_of,
    decoded,
    decoded_key,
    digest,
    fingerprint,
    fits,
    image_set,
    length,
    locked,
    network_file,
    network_key,
    pictures_key,
    record,
    scale,
    write_table,
    written,
)
from unlearn_core.subjects.own.estimating import Estimate, measured
from unlearn_core.subjects.own.pictures import NEEDED, PARTS, pixels
from unlearn_core.subjects.own.study import DERIVED, Study, sound
from unlearn_core.subjects.own.weights import MODEL, loaded

SEEDS = 2
"""Networks that are retrained for a request, if nothing else is said."""
_BATCH = 250


def estimate(folder: Path, texts: Sequence[str] = (), seeds: int = SEEDS) -> Estimate:
    """Measure a few pictures and a few steps of training, and say what all of them take.

    Args:
        folder: of one subject.
        texts: as for `prepare`.
        seeds: as for `prepare`.

    Raises:
        ValueError: as `prepare`.
    """
    study = sound(folder)
    wanted = references.named(study, texts, seeds)
    return measured(study, references.missing(study, decoded_key(study), wanted))


def prepare(folder: Path, progress: Progress = silent, expected: Estimate | None = None,
            texts: Sequence[str] = (), seeds: int = SEEDS) -> float:
    """Decode a folder's pictures, train a network if it brings none, retrain it without what is named, and record
    that it is ready.

    Start it again after it was stopped, whenever that was: it goes on with the stage that was not done, a training
    from its beginning. What an earlier state of the folder left behind is removed.

    Args:
        folder: of one subject.
        progress: told after every picture and step; may cancel.
        expected: what `estimate` said, if it was asked; decides how far each stage takes `progress`.
        texts: requests to retrain networks for, see `study.requested`; those that were made before are kept.
        seeds: how many networks for each.

    Returns:
        The network's accuracy on all test images.

    Raises:
        ValueError: if the folder has faults, another process prepares it, the disk is too full, a request cannot be
            served, or a training came to nothing; the message has a line for each fault.
        OSError: if ``derived`` cannot be written.
    """
    study = sound(folder)
    wanted = references.named(study, texts, seeds)
    expected = expected or estimate(folder, texts, seeds)
    free = shutil.disk_usage(folder).free
    if free < expected.bytes:
        raise ValueError(f"{expected.bytes / 1e6:,.1f} MB of free disk expected, got {free / 1e6:,.1f} MB.")
    whole = expected.seconds or 1.0
    ends = [part / whole for part in np.cumsum((expected.decoding, expected.training, expected.testing))]
    with locked(folder) as derived:
        for stopped in derived.glob(".*.tmp"):
            stopped.unlink()
        contents = contents_of(folder, study.listing, stage(progress, 0, 0.2 * ends[0]))
        write_table(derived / CONTENTS, contents)
        print_ = fingerprint(folder, contents)
        before = record(folder)
        if before is None or before.fingerprint != print_ or not fits(folder, before):
            _clear(derived)
            before = None
        key = pictures_key(study, contents)
        if decoded(study, key) is None:
            _decode(study, key, stage(progress, 0.2 * ends[0], ends[0]))
        mean, std = scale(study, key)
        sets = {part: image_set(folder, part, folder.name, list(study.listing.classes), mean, std,
                                study.outline.groups if part == "train" else {}) for part in NEEDED}
        if not study.given and about_networks(network_file(study)).get("key") != network_key(study, key):
            weights = references.trained_anew(study, sets["train"], (), None,
                                              stage(progress, ends[0], ends[1], "training"))
            with written(derived / MODEL) as stream:
                stream.write(save(weights, {"key": network_key(study, key)}))
        model = digest(network_file(study))
        accuracy = before.accuracy if before is not None and before.model == model else _accuracy(
            study, sets["test"], stage(progress, ends[1], ends[2]))
        found = references.made(study, key, sets["train"], wanted, stage(progress, ends[2], 1))
        names = [*sorted(arrays(study.listing.there)), *[MODEL] * (not study.given)]
        ready = Record(print_, not study.given, model, list(study.listing.classes), mean, std, accuracy,
                       {name: length(derived / name) for name in names}, found)
        if ready != before:
            write_table(derived / RECORD, asdict(ready))
    progress(1.0, "ready")
    return accuracy


def _clear(derived: Path) -> None:
    """Remove what was made of a folder that has changed."""
    (derived / RECORD).unlink(missing_ok=True)
    kept = {CONTENTS, DECODED, MODEL, *arrays(PARTS)}  # and retrained networks, for `references.made` to decide about
    for file in derived.iterdir():
        if file.name not in kept and not file.name.startswith(references.BEGIN) and (
                file.is_symlink() or not file.is_dir()):
            file.unlink()


def _decode(study: Study, key: str, progress: Progress) -> None:
    """Write all pictures, one by one, as (N, C, H, W) bytes, and what their mean and spread are."""
    folder, shape, derived = study.folder, study.shape, study.folder / DERIVED
    (derived / DECODED).unlink(missing_ok=True)
    for left in arrays(PARTS) - arrays(study.listing.there):
        (derived / left).unlink(missing_ok=True)
    sums, done = {part: np.zeros((2, shape.channels)) for part in PARTS}, 0
    for part in study.listing.there:
        size = (study.listing.count(part), shape.channels, shape.size, shape.size)
        with written(derived / f"images-{part}.npy") as stream:
            np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": size})
            for _, picture in study.listing.of(part):
                image = pixels(folder, picture.path, shape)
                stream.write(image.tobytes())
                scaled = image.reshape(shape.channels, -1) / 255
                sums[part] += scaled.mean(1), np.square(scaled).mean(1)
                done += 1
                progress(done / len(study.listing), f"picture {done:,} of {len(study.listing):,}")
        with written(derived / f"labels-{part}.npy") as stream:
            np.save(stream, np.array([label for label, _ in study.listing.of(part)], np.int64), allow_pickle=False)
    mean, square = sums["train"] / study.listing.count("train")
    std = np.sqrt(np.maximum(square - mean**2, 1e-12))
    write_table(derived / DECODED, {"key": key, "mean": mean.tolist(), "std": std.tolist(),
                                    "files": {name: length(derived / name)
                                              for name in sorted(arrays(study.listing.there))}})


def _accuracy(study: Study, images: ImageSet, progress: Progress) -> float:
    model = loaded(network_file(study), study.description.architecture, study.shape, len(images.classes))
    right = 0
    for start in range(0, len(images), _BATCH):
        chosen = slice(start, start + _BATCH)
        right += int((outputs(model, images.pixels(chosen)).predicted == images.labels[chosen].numpy()).sum())
        progress(min(1.0, (start + _BATCH) / len(images)), "testing")
    return right / len(images)
