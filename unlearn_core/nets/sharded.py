"""SISA training: sharded, isolated, sliced and aggregated (Bourtoule et al., S&P 2021, arXiv 1912.03817).

The training images are dealt into shards, and those of a shard into slices. Each shard has a network of its own, which
is trained on the first slice, then on the first two, and so on; after each slice its state is kept. All networks answer
together: their probabilities are averaged. To forget an image, the network of its shard goes back to the state before
the image's slice and is trained from there without it. The others never saw it.

What comes out is, number by number, what the same deal without the image gives on the same machine: shards and slices
are dealt without looking at the images, and initial values, order and augmentation of a stage depend on nothing but its
shard and slice. For that the states are rounded to half precision as they are kept, so that training goes on from what
is on the disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import gammaln
from torch import Tensor, nn

from unlearn_core.nets import models
from unlearn_core.nets.evaluate import outputs
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.train import Recipe, fit, rounded, seed_of
from unlearn_core.progress import Progress, silent, stage

Float64 = npt.NDArray[np.float64]
State = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Shards:
    """How training images are dealt.

    Attributes:
        shard: (N,) int64, of each image.
        slice: (N,) int64, of each image, within its shard.
        shards: how many there are.
        slices: how many each shard has.
        seed: owns the deal and all training.
    """

    shard: Tensor
    slice: Tensor
    shards: int
    slices: int
    seed: int

    def counts(self, among: Tensor | None = None) -> npt.NDArray[np.int64]:
        """(shards, slices) images of each slice, or of those at some positions."""
        places = self.shard * self.slices + self.slice
        found = torch.bincount(places if among is None else places[among], minlength=self.shards * self.slices)
        result: npt.NDArray[np.int64] = found.view(self.shards, self.slices).numpy()
        return result

    def first(self, forget: Tensor) -> npt.NDArray[np.int64]:
        """(shards,) the first slice that holds an image at these positions; `slices` for a shard that holds none."""
        hit = self.counts(forget) > 0
        return np.where(hit.any(1), hit.argmax(1), self.slices)

    def again(self, forget: Tensor) -> npt.NDArray[np.bool_]:
        """(shards, slices) whether a stage is trained again without the images at these positions."""
        result: npt.NDArray[np.bool_] = np.arange(self.slices)[None] >= self.first(forget)[:, None]
        return result


def deal(images: int, shards: int, slices: int, seed: int) -> Shards:
    """Deal images at random into slices of equal size, give or take one.

    Raises:
        ValueError: if there are fewer images than slices.
    """
    if images < shards * slices:
        raise ValueError(f"shards: at least {shards * slices} images expected for {shards} x {slices} slices, "
                         f"got {images}")
    order = torch.randperm(images, generator=torch.Generator().manual_seed(seed_of("deal", seed)))
    place = torch.empty(images, dtype=torch.int64)
    place[order] = torch.arange(images) * (shards * slices) // images
    return Shards(place // slices, place % slices, shards, slices, seed)


def stage_epochs(recipe: Recipe, slices: int) -> int:
    """Passes over what is there at each slice, so that all together see as many images as `recipe.epochs` passes over
    the whole shard would: e = 2 e' / (R + 1), rounded.
    """
    return max(1, round(2 * recipe.epochs / (slices + 1)))


def work(dealt: Shards, forget: Tensor | None = None) -> Float64:
    """(shards, slices) of passes over images that each stage takes, where one pass over one image counts 1.

    With `forget`, only of the stages that are trained again, without the images at these positions.
    """
    counts = dealt.counts()
    if forget is None:
        return counts.cumsum(1).astype(np.float64)
    seen = (counts - dealt.counts(forget)).cumsum(1)
    return np.where(dealt.again(forget), seen, 0.0)


def expected_share(dealt: Shards, forgotten: npt.NDArray[np.int64]) -> Float64:
    """Share of the whole training that is done again on average if so many images are asked for, any of them alike.

    Args:
        dealt: how.
        forgotten: (K,) numbers of images, each from 0 to N.
    """
    total, stages = len(dealt.shard), dealt.counts().cumsum(1)[..., None]
    left = total - stages - forgotten
    # Images that a stage has left on average, less those of a stage that lost none and so is not trained again: the
    # chance of that is hypergeometric.
    none = np.exp(gammaln(total - stages + 1) - gammaln(np.maximum(left, 0) + 1) + gammaln(total - forgotten + 1)
                  - gammaln(total + 1))
    again = 1 - forgotten / total - np.where(left >= 0, none, 0.0)
    result: Float64 = (stages * again).sum((0, 1)) / stages.sum()
    return result


def train_shard(architecture: str, images: ImageSet, recipe: Recipe, dealt: Shards, shard: int, *,
                forget: Tensor | None = None, kept: Sequence[State] = (), progress: Progress = silent) -> list[State]:
    """Train the network of one shard, or go on after the states that were kept.

    Args:
        architecture: as `models.build` knows it.
        images: all training images.
        recipe: of a training on all of them; its epochs are spread over the slices.
        dealt: how.
        shard: its number.
        forget: positions of images that are left out.
        kept: states after the first slices, from which training goes on; none of them may have seen what is left out.
        progress: told after every step; may cancel.

    Returns:
        The state after each slice, `kept` included, in half precision.
    """
    there = torch.ones(len(images), dtype=torch.bool)
    if forget is not None:
        there[forget] = False
    own, states, todo = replace(recipe, epochs=stage_epochs(recipe, dealt.slices)), list(kept), dealt.slices - len(kept)
    model = models.build(architecture, channels=images.images.shape[1], classes=len(images.classes),
                         size=images.images.shape[-1], generator=_generator(dealt, shard, "start"))
    if states:
        model.load_state_dict(states[-1])
    for i in range(len(states), dealt.slices):
        rows = torch.nonzero(there & (dealt.shard == shard) & (dealt.slice <= i)).flatten()
        done = i - len(kept)
        if len(rows) > 1:  # a batch norm learns nothing from a single image
            fit(model, images, own, _generator(dealt, shard, i),
                stage(progress, done / todo, (done + 1) / todo, f"slice {i + 1}"), rows=rows)
        states.append({name: value.half() if value.is_floating_point() else value.clone()
                       for name, value in rounded(model).state_dict().items()})
    return states


def forget_images(architecture: str, images: ImageSet, recipe: Recipe, dealt: Shards,
                  kept: Sequence[Sequence[State]], forget: Tensor, progress: Progress = silent) -> list[list[State]]:
    """Train those shards again that hold what is to be forgotten, each from the state before it.

    Args:
        architecture: as `models.build` knows it.
        images: all training images.
        recipe: as in `train_shard`.
        dealt: how.
        kept: of each shard, the state after each slice.
        forget: positions of the images to be forgotten.
        progress: told after every step; may cancel.

    Returns:
        As `kept`.
    """
    first, made = dealt.first(forget), [list(states) for states in kept]
    todo = [shard for shard in range(dealt.shards) if first[shard] < dealt.slices]
    for i, shard in enumerate(todo):
        made[shard] = train_shard(
            architecture, images, recipe, dealt, shard, forget=forget, kept=kept[shard][:first[shard]],
            progress=stage(progress, i / len(todo), (i + 1) / len(todo), f"shard {shard + 1}"))
    progress(1.0, "done")
    return made


def answered(networks: Sequence[nn.Module], pixels: Tensor) -> Float64:
    """(N, classes) probabilities, averaged over the networks."""
    result: Float64 = np.mean([outputs(model, pixels).probabilities for model in networks], 0, dtype=np.float64)
    return result


def _generator(dealt: Shards, shard: int, what: object) -> torch.Generator:
    return torch.Generator().manual_seed(seed_of("shard", dealt.seed, shard, what))
