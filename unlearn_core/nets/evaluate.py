"""One forward pass over a fixed set of images: everything that gauges and embeddings read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy import special
from torch import Tensor, nn

from unlearn_core.nets.heads import as_taken, check_logits, last_layer, watched
from unlearn_core.nets.images import ImageSet, first_of_each, joined
from unlearn_core.nets.models import private_copy
from unlearn_core.nets.request import CLASS, Request, unaudited
from unlearn_core.nets.substitute import called_with
from unlearn_core.progress import Progress, silent

# Batches of 125 stay in the cache: they evaluate a tenth faster than those of 250 or 64, and several times faster than
# one of 1,000. Larger images, from 90 x 90 in colour on, are taken fewer at a time: ResNet-18 at 224 takes three
# quarters of the time so.
_BATCH = 125
_NUMBERS = 250 * 3 * 64 * 64
_MOST_KEPT = 2**29

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """Training and test images of every class, fixed once; of bundled subjects equally many.

    Attributes:
        images: training images first, then test images; after them those that a request adds, see `with_rows`.
        member: (N,) bool, whether the image was trained on.
        row: (N,) position in the image set it came from.
    """

    images: ImageSet
    member: npt.NDArray[np.bool_]
    row: npt.NDArray[np.int64]

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """(N,) true classes."""
        result: npt.NDArray[np.int64] = self.images.labels.numpy()
        return result

    @property
    def pictures(self) -> npt.NDArray[np.int64]:
        """(N,) the number by which each image is known to a browser: its row doubled, and one more for a test image."""
        result: npt.NDArray[np.int64] = 2 * self.row + ~self.member
        return result

    def forgotten(self, request: Request) -> npt.NDArray[np.bool_]:
        """(N,) whether an image is of what is to be forgotten."""
        result: npt.NDArray[np.bool_] = request.mask(
            self.images, torch.from_numpy(np.where(self.member, self.row, -1))).numpy()
        return result


def evaluation_set(train: ImageSet, test: ImageSet, per_class: int = 100) -> EvaluationSet:
    """The first images of each class, `per_class` or as many as there are, of the training and of the test set, whose
    classes meet by name.

    Raises:
        ValueError: if the training set lacks a class of a test image.
    """
    test = test.in_terms_of(train)
    rows = [first_of_each(part.labels, per_class) for part in (train, test)]
    return EvaluationSet(joined(train.subset(rows[0]), test.subset(rows[1])),
                         np.repeat([True, False], [len(r) for r in rows]), torch.cat(rows).numpy())


Rows = tuple[Literal["train", "test"], npt.NDArray[np.int64]]
"""Some images of the training or of the test set, by their positions."""


def missing_rows(request: Request, train: ImageSet, test: ImageSet, evaluation: EvaluationSet,
                 most: int = 200) -> list[Rows]:
    """Images of what is to be forgotten that the evaluation set should show too; at most so many of each part.

    Of whole classes it shows enough. A group, or single images, it may miss.
    """
    found: list[Rows] = []
    if request.classes:
        return found
    masks: dict[Literal["train", "test"], Tensor] = {
        "train": request.mask(train), "test": request.shown_by(test)}
    for part, mask in masks.items():
        shown = evaluation.row[evaluation.member == (part == "train")]
        wanted = np.setdiff1d(np.flatnonzero(mask.numpy()), shown)[:most]
        if len(wanted):
            found.append((part, wanted))
    return found


def with_rows(evaluation: EvaluationSet, train: ImageSet, test: ImageSet, more: Sequence[Rows]) -> EvaluationSet:
    """The evaluation set followed by more images of either part."""
    images, member, row = evaluation.images, [evaluation.member], [evaluation.row]
    for part, rows in more:
        images = joined(images, (train if part == "train" else test).subset(torch.from_numpy(rows)))
        member.append(np.full(len(rows), part == "train"))
        row.append(rows)
    return EvaluationSet(images, np.concatenate(member), np.concatenate(row))


def masked(request: Request, evaluation: EvaluationSet, more: Sequence[Rows], train: ImageSet,
           test: ImageSet) -> npt.NDArray[np.bool_]:
    """Whether each image, of the evaluation set and then of `more`, is of what is to be forgotten."""
    parts = {"train": request.mask(train).numpy(), "test": request.shown_by(test).numpy()}
    return np.concatenate([evaluation.forgotten(request), *(parts[part][rows] for part, rows in more)])


def labelled(evaluation: EvaluationSet, more: Sequence[Rows], train: ImageSet,
             test: ImageSet) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """True classes, and whether each was trained on, of the same images."""
    labels = {"train": train.labels.numpy(), "test": test.labels.numpy()}
    return (np.concatenate([evaluation.labels, *(labels[part][rows] for part, rows in more)]),
            np.concatenate([evaluation.member, *(np.full(len(rows), part == "train") for part, rows in more)]))


def kept_groups(request: Request, evaluation: EvaluationSet, more: Sequence[Rows], train: ImageSet,
                test: ImageSet) -> dict[str, npt.NDArray[np.bool_]]:
    """Masks, by name, of the unseen images of each class and of each group of another kind that is to stay.

    Args:
        request: what is to be forgotten; its own images are in no mask.
        evaluation: the first of the images.
        more: the others, in their order.
        train: the training images.
        test: the test images.
    """
    _, member = labelled(evaluation, more, train, test)
    free = ~member & ~masked(request, evaluation, more, train, test)
    found = {}
    for kind, names in ((CLASS, train.classes), *((kind, groups.names) for kind, groups in train.groups.items())):
        for number, name in enumerate(names):
            if kind != request.kind or number not in request.chosen:
                found[name if kind == CLASS else f"{kind} {name}"] = free & masked(
                    Request((number,), kind), evaluation, more, train, test)
    return found


def accuracy_images(request: Request, member: npt.NDArray[np.bool_],
                    forgotten: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(N,) where the accuracy of each class is read: on unseen images, without those of a group to be forgotten.

    Args:
        request: what is to be forgotten.
        member: (N,) whether the image was in the training set.
        forgotten: (N,) whether it is of what is to be forgotten.
    """
    return ~member if request.classes else ~member & ~forgotten


def accuracy_counts(request: Request, test: ImageSet) -> npt.NDArray[np.int64]:
    """(classes,) on how many test images the accuracy of each class is read; see `accuracy_images`."""
    gone = request.shown_by(test).numpy()
    read = accuracy_images(request, unaudited(request, test).numpy(), gone)
    return np.bincount(test.labels.numpy()[read], minlength=len(test.classes))


def other_images(train: ImageSet, test: ImageSet, evaluation: EvaluationSet, forgotten: npt.NDArray[np.bool_],
                 size: int = 500, without: npt.NDArray[np.bool_] | None = None) -> Iterator[Rows]:
    """All test images and all training images to be forgotten that the evaluation set lacks, `size` at a time.

    Args:
        train: the training images.
        test: the test images.
        evaluation: the images that are left out.
        forgotten: (training images,) whether the image is to be forgotten.
        size: a release waits for no more than the evaluation of so many.
        without: (test images,) those that are left out too; by default none.
    """
    wanted: dict[Literal["train", "test"], npt.NDArray[np.bool_]] = {
        "test": np.ones(len(test), np.bool_) if without is None else ~without, "train": forgotten.copy()}
    for part, rows in wanted.items():
        rows[evaluation.row[evaluation.member == (part == "train")]] = False
        positions = np.flatnonzero(rows)
        yield from ((part, positions[start:start + size]) for start in range(0, len(positions), size))


def softmax(logits: Float32) -> Float32:
    """Probabilities along the last axis."""
    result: Float32 = special.softmax(logits, -1)
    return result


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a network says of N images.

    Attributes:
        logits: (N, classes) float32, raw.
        features: (N, width) float32, the head's input.
    """

    logits: Float32
    features: Float32

    @property
    def probabilities(self) -> Float32:
        """(N, classes) softmax of the logits."""
        return softmax(self.logits)

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """(N,) most likely class."""
        result: npt.NDArray[np.int64] = self.logits.argmax(1)
        return result


Leading = Mapping[str, Sequence[Tensor]]
"""What each module at a network's beginning says of each batch of images, in the order in which they run."""


def batches(pixels: Tensor) -> tuple[Tensor, ...]:
    """Images as they are evaluated, some at a time."""
    return torch.split(pixels, max(1, min(_BATCH, _NUMBERS // max(1, pixels[:1].numel()))))


def leading(model: nn.Module, pixels: Tensor, most: int = _MOST_KEPT) -> Leading:
    """Run a network and keep what its `chain` gives, for `outputs`; empty for a network that declares none, and where
    it would be more bytes than `most`.
    """
    kept: dict[str, list[Tensor]] = {name: [] for name in getattr(model, "chain", ())}
    private = private_copy(model).eval()

    def keep(parts: list[Tensor]) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda module, inputs, output: parts.append(output)

    for name, parts in kept.items():
        private.get_submodule(name).register_forward_hook(keep(parts))
    with torch.no_grad():
        for part in batches(as_taken(private, pixels)):
            private(part)
            if sum(output.nbytes for parts in kept.values() for output in parts) > most:
                return {}
    return kept


class _Recall(nn.Module):
    """Stands in for a module whose output of each batch is known."""

    def __init__(self, parts: Sequence[Tensor]) -> None:
        super().__init__()
        self._next = iter(parts)

    def forward(self, x: Tensor) -> Tensor:
        return next(self._next)


def outputs(model: nn.Module, pixels: Tensor, parameters: Mapping[str, Tensor] | None = None,
            known: Leading | None = None, progress: Progress = silent) -> Outputs:
    """Evaluate the network in evaluation mode, with other weights if given; the network is not changed.

    Args:
        model: with a linear head (see `heads.head`).
        pixels: (N, C, H, W), standardised.
        parameters: weights by name that stand in for the network's own.
        known: of this network and these images, from `leading`: modules before the first one that is given other
            weights do not run again. The result is the same, bit by bit.
        progress: told after each batch; may cancel.

    Raises:
        ValueError: if an output is not finite or no logit, or the network has no linear head.
    """
    features: list[Tensor] = []
    private = private_copy(model).eval()
    pixels = as_taken(private, pixels)
    same = list(takewhile(lambda name: not any(p.startswith(f"{name}.") for p in parameters or ()), known or ()))
    for name in same:
        parent, _, child = name.rpartition(".")
        stands_in = _Recall(known[name]) if known and name == same[-1] else nn.Identity()
        private.get_submodule(parent).add_module(child, stands_in)
    calls, logits, done = watched(private), [], 0
    with torch.no_grad():
        for part in batches(pixels):
            calls.clear()
            logits.append(check_logits(called_with(private, parameters or {}, part), len(part)))
            if not bool(logits[-1].isfinite().all()):
                raise ValueError("model: finite outputs expected, got NaN or infinity; the weights are damaged")
            features.append(last_layer(calls, logits[-1])[1])
            done += len(part)
            progress(done / len(pixels), f"{done:,} of {len(pixels):,} images")
    return Outputs(torch.cat(logits).float().numpy(), torch.cat(features).float().numpy())
