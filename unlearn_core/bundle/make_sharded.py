"""Networks that were trained in shards, and what that costs: `docs/sharded.md`."""

from __future__ import annotations

from functools import partial

import numpy as np
from safetensors.torch import save_file
from torch import Tensor

from unlearn_core import assets
from unlearn_core.bundle.work import in_processes
from unlearn_core.files import replacing
from unlearn_core.nets.evaluate import outputs
from unlearn_core.nets.request import Request
from unlearn_core.nets.sharded import State, answered, deal, expected_share, train_shard
from unlearn_core.serving.sharded import SEED, dealt, price
from unlearn_core.subjects.subject import subject

SHARDS = {"small-resnet": (5, 4), "small-vit": (5, 4), "people-resnet": (5, 3)}
"""Shards and slices of each network."""
DOCUMENT = assets.REPOSITORY / "docs" / "sharded.md"


def make_shard(network: str, shard: int) -> list[State]:
    """Train the network of one shard."""
    own = subject(network)
    assert own.recipe is not None
    return list(train_shard(own.architecture, own.images.train, own.recipe,
                            deal(len(own.images.train), *SHARDS[network], SEED), shard))


def make_sharded(jobs: int) -> None:
    """Train the networks of all shards, about as long as the originals; finished files are kept."""
    (assets.ROOT / "sharded").mkdir(exist_ok=True)
    for network, (shards, _) in SHARDS.items():
        file = assets.ROOT / f"sharded/{network}.safetensors"
        if not file.exists():
            made: dict[str, Tensor] = {}
            in_processes(make_shard, [(network, shard) for shard in range(shards)], jobs, f"shards of {network}",
                         partial(_keep, made))
            with replacing(file) as unfinished:
                save_file(made, unfinished)


def _keep(made: dict[str, Tensor], asked: tuple[str, int], states: list[State]) -> None:
    made.update({f"{asked[1]}/{i}/{name}": value.contiguous() for i, state in enumerate(states)
                 for name, value in state.items()})


def measure() -> None:
    """Accuracy on all test images and the price of some requests; write `DOCUMENT`."""
    accuracy, prices = [], []
    for network, (shards, slices) in SHARDS.items():
        own = subject(network)
        labels, pixels = own.images.test.labels.numpy(), own.images.test.pixels()
        networks = [own.network(states[-1]) for states in own.sharded()]
        alone = [(outputs(each, pixels).predicted == labels).mean() for each in networks]
        together = (answered(networks, pixels).argmax(1) == labels).mean()
        original = (outputs(own.original(), pixels).predicted == labels).mean()
        accuracy.append(f"| {own.title} | {shards} x {slices} | {original:.1%} | {together:.1%} | {min(alone):.1%} to "
                        f"{max(alone):.1%} |")
        found = dealt(own)
        assert found is not None
        some = expected_share(found, np.array([1, 10, 100]))
        kind = next(iter(own.groups), None)
        shares = [f"{share:.1%}" for share in some] + [
            f"{price(found, own, request).share:.1%}" if request else "-"
            for request in (Request((0,), kind) if kind else None, Request((0,)))]
        prices.append(f"| {own.title} | " + " | ".join(shares) + " |")
    DOCUMENT.write_text(TEXT.format(accuracy="\n".join(accuracy), prices="\n".join(prices)), "utf-8")


TEXT = """# Trained to forget: SISA

Everything else here forgets in a network that was trained as usual. SISA (Bourtoule et al., S&P 2021, arXiv 1912.03817)
prepares for it. The training images are dealt at random into shards, and those of a shard into slices. Each shard has
a network of its own, trained on the first slice, then on the first two, and so on; its state is kept after each. All
networks answer together, by the average of their probabilities. To forget an image, its shard's network goes back to
the state before the image's slice and is trained from there without it.

What comes out is, number by number, what the same deal without the image gives on the same machine
(`tests/nets/test_sharded.py` compares every bit), so there is nothing to audit in it. The price is paid elsewhere, and
this page says what it is. The page *Which method* draws it for every request, and can do it.

Made by `python -m unlearn_core.bundle.make_assets sharded`, by each network's own recipe, its epochs spread over the
slices so that a shard sees about as many images as in ordinary training.

## What it costs from the start

Accuracy on all test images, of one deal and one training each (seed 0).

| | shards x slices | one network | all shards together | one shard alone |
|:--|--:|--:|--:|--:|
{accuracy}

## What forgetting costs

Share of the whole training that is done again. Of images at random it is what is expected; the advantage soon vanishes,
for with many images every shard is hit early.

| | 1 image | 10 images | 100 images | the first person | a whole class |
|:--|--:|--:|--:|--:|--:|
{prices}

## What differs from the paper

- The paper's networks vote, or average their probabilities; here they average.
- A stage's optimiser and schedule begin anew, and states are kept in half precision, from which training goes on.
- Shards are dealt at random. The paper also deals them by how likely an image is to be asked for; nobody knows that
  here.
"""
