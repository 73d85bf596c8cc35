"""Requests one after another, measured: three fixed orders, several methods, and networks retrained without each part.

`python -m unlearn_core.bundle.queues` writes `assets/queues/`; finished trainings and runs are kept, so it resumes.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import torch
from tqdm import tqdm

from unlearn_core import assets
from unlearn_core.audit.accuracy import per_class
from unlearn_core.bundle.manifest import list_assets
from unlearn_core.files import replacing
from unlearn_core.nets.evaluate import outputs
from unlearn_core.nets.request import Request
from unlearn_core.nets.train import seed_of, train
from unlearn_core.progress import silent
from unlearn_core.study.queued import Shipped, read, run_of, written
from unlearn_core.subjects.subject import subject

NETWORK = "small-resnet"
ORDERS = {name: tuple(Request((label,)) for label in order) for name, order in (
    ("alike in a row", (0, 6, 2, 5, 7, 9)), ("shoes first", (5, 7, 9, 0, 6, 2)), ("taking turns", (0, 5, 6, 7, 2, 9)))}
"""Three orders of the same six classes, so that the first parts of them, as sets, are few: no network is retrained
twice."""
METHODS = ("head_zeroing", "random_labels", "neggrad_plus", "ssd", "fine_tune", "lfssd")
"""Those that take seconds, at their general defaults; the cheapest first."""
KEPT = assets.ROOT.parent / "build" / "queues"


def first_parts() -> list[tuple[int, ...]]:
    """The classes of the first 1, 2, ... requests of any order, each set once."""
    return list(dict.fromkeys(tuple(sorted(part)) for order in ORDERS.values()
                              for part in accumulate(request.chosen for request in order)))


def retrained_file(left_out: tuple[int, ...]) -> Path:
    """Where it is kept, (classes,), how many test images of each class a network names rightly."""
    return KEPT / f"without-{'-'.join(map(str, left_out))}.json"


def retrained_hits(left_out: tuple[int, ...]) -> None:
    """Retrain a network without some classes, unless that is kept.

    Without one class it is the first of the bundled networks.
    """
    file = retrained_file(left_out)
    if not file.exists():
        own, request = subject(NETWORK), Request(left_out)
        if len(left_out) == 1:
            model = own.retrained(request)[0]
        else:
            images = own.images.train
            model = train(own.architecture, images.subset(request.split(images)[1]),
                          seed=seed_of("train", own.architecture, left_out, 0), recipe=own.recipe)
        test = own.images.test
        shares = per_class(outputs(model, test.pixels()).predicted, test.labels.numpy(), len(own.classes))
        counts = torch.bincount(test.labels, minlength=len(own.classes)).numpy()
        with replacing(file) as unfinished:
            unfinished.write_text(json.dumps([round(hits) for hits in shares * counts]), "utf-8")


def add_trail(order: str, name: str) -> None:
    """Run a method on an order, unless that is kept."""
    file = KEPT / f"{order.replace(' ', '-')}-{name}.json"
    if not file.exists():
        trail = run_of(NETWORK, ORDERS[order], name, {}, 0, silent)
        with replacing(file) as unfinished:
            unfinished.write_text(written(Shipped(trails=(trail,))), "utf-8")


def pack() -> None:
    """Everything that is kept, as one file among the assets."""
    found = Shipped(ORDERS, images=tuple(torch.bincount(subject(NETWORK).images.test.labels).tolist()))
    for order in ORDERS:
        for name in METHODS:
            if (file := KEPT / f"{order.replace(' ', '-')}-{name}.json").exists():
                found = replace(found, trails=(*found.trails, *read(file.read_text("utf-8")).trails))
    found = replace(found, retrained={frozenset(part): [json.loads(file.read_text("utf-8"))] for part in first_parts()
                                      if (file := retrained_file(part)).exists()})
    folder = assets.ROOT / "queues"
    folder.mkdir(exist_ok=True)
    (folder / f"{NETWORK}.json").write_text(written(found), "utf-8")
    list_assets()


def main() -> None:
    """Do what is missing, and pack it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", nargs="?", default="all", choices=["all", "retrained", "trails", "pack"])
    stage = parser.parse_args().stage
    torch.set_num_threads(1)
    KEPT.mkdir(parents=True, exist_ok=True)
    if stage in ("all", "trails"):
        for order, name in tqdm([(order, name) for name in METHODS for order in ORDERS], desc="trails"):
            add_trail(order, name)
    if stage in ("all", "retrained"):
        for part in tqdm(first_parts(), desc="retrained networks"):
            retrained_hits(part)
    if stage in ("all", "pack"):
        pack()


if __name__ == "__main__":
    main()
