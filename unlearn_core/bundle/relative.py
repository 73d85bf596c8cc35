"""Two questions beside the verdict, measured: nearer to retraining than to the original, and KLoM, for every method.

`python -m unlearn_core.bundle.relative` asks them of networks of which the truth is known and of each method as each
request opens: every one with bundled retrained networks. It writes `assets/relative/` and from it `docs/relative.md`;
finished outcomes are kept.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import binomtest
from torch import Tensor
from tqdm import tqdm

from unlearn_core import assets
from unlearn_core.audit.distinguish import LEAST_SEEDS
from unlearn_core.audit.klom import klom
from unlearn_core.audit.membership import true_margins
from unlearn_core.audit.relative import relative
from unlearn_core.audit.verdict import Level
from unlearn_core.bundle.confusion import KEPT, run
from unlearn_core.bundle.manifest import list_assets
from unlearn_core.bundle.results import requests
from unlearn_core.methods import METHODS, method
from unlearn_core.nets.evaluate import softmax
from unlearn_core.nets.request import CLASS, Request, parsed
from unlearn_core.nets.train import fit, train
from unlearn_core.serving.choice import choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.judgement import judged
from unlearn_core.serving.yardstick import everything, inside, yardstick
from unlearn_core.study.standings import called
from unlearn_core.subjects import openings
from unlearn_core.subjects.subject import bundled, subject

DOCUMENT = assets.ROOT.parent / "docs" / "relative.md"
ORIGINAL, HELD_OUT, AGAIN, ON = "the original", "retrained, held out", "trained again on all images", \
    "the original trained on, on all images"
REPORTED: dict[str, tuple[str, ...]] = {
    "SSD": ("ssd",), "nearest to pruning": ("head_zeroing", "masked_small_gradients"), "fine-tuning": ("fine_tune",),
    "random labels": ("random_labels",)}
"""Methods of which something was reported, and those here that come nearest to them."""
STILL_THERE = (Level.NOT_FORGOTTEN, Level.PARTLY, Level.HIDDEN)
"""Verdicts by which something is left."""
AGAIN_SEEDS = (901, 902)
ON_EPOCHS = 2

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Row:
    """What was found of one network.

    Attributes:
        network: name of a bundled network.
        forget: the request, as its `str`.
        what: `ORIGINAL`, `HELD_OUT`, `AGAIN` or `ON`, of which the truth is known, or the name of a method.
        key: of the choice; a seed, or nothing, where it is none.
        side: nearer to ``retrained``, to ``original``, or ``between``.
        needle: 0 the original, 1 a retrained network.
        low: least needle of a held-out retrained network.
        high: largest.
        klom: mean over the forgotten training images, in nats; None with too few retrained networks.
        klom_null: the same of held-out retrained networks, mean.
        level: of the verdict on a method's outcome; empty for the others.
    """

    network: str
    forget: str
    what: str
    key: str
    side: str
    needle: float
    low: float
    high: float
    klom: float | None
    klom_null: float | None
    level: str = ""


@cache
def _engine() -> Engine:
    torch.set_num_threads(1)
    return Engine(2**29)


@cache
def learned(network: str) -> dict[str, dict[str, Tensor]]:
    """Weights of networks that learned everything, by seed: trained again, and the original trained on."""
    own = subject(network)
    made = {}
    for what, seeds in ((AGAIN, AGAIN_SEEDS), (ON, AGAIN_SEEDS)):
        for seed in seeds:
            name = f"{what} {seed}"
            file = KEPT / f"{network}-{'again' if what == AGAIN else 'on'}-{seed}.safetensors"
            if not file.exists():
                assert own.recipe is not None
                if what == AGAIN:
                    model = train(own.architecture, own.images.train, seed=seed, recipe=own.recipe)
                else:
                    model = own.original()
                    fit(model, own.images.train, replace(own.recipe, epochs=ON_EPOCHS),
                        torch.Generator().manual_seed(seed))
                save_file({name: value.contiguous() for name, value in model.state_dict().items()}, file)
            made[name] = load_file(file)
    return made


def judge_request(network: str, request: Request) -> list[Row]:
    """Every row of one network and request."""
    engine = _engine()
    measure = yardstick(engine, network, request)
    seen = measure.member & measure.forgotten
    true = measure.labels[seen]
    before = measure.models["original"].logits[seen]
    seeds = np.stack([model.logits[seen] for model in measure.retrained])

    def row(what: str, key: str, logits: Float32, others: Float32 = seeds, level: str = "") -> Row:
        near = relative(softmax(logits), softmax(before), softmax(others))
        apart = None
        if len(others) >= LEAST_SEEDS:
            apart = klom(true_margins(logits[None], true), true_margins(others, true))
        return Row(network, str(request), what, key, near.side, round(near.needle, 4), round(float(near.null.min()), 4),
                   round(float(near.null.max()), 4), None if apart is None else round(apart.mean, 4),
                   None if apart is None else round(float(apart.null.mean()), 4), level)

    rows = [row(ORIGINAL, "", before)]
    rows += [row(HELD_OUT, str(i), seeds[i], np.delete(seeds, i, 0)) for i in range(len(seeds))]
    for name, weights in learned(network).items():
        what, seed = name.rsplit(" ", 1)
        rows.append(row(what, seed, everything(engine, network, request, weights).logits[seen]))
    for name, found in METHODS.items():
        if name == "retrain":
            continue  # the held-out networks stand for it
        chosen = choice(network, request, name, openings.start(network, request, name))
        if not run(chosen):
            kept = {name: value for name, value in load_file(KEPT / f"{chosen.key}.safetensors").items() if name}
            outputs = everything(engine, network, request, kept)
            audit = judged(measure, chosen, inside(engine, network, request, outputs))
            rows.append(row(found.name, chosen.key, outputs.logits[seen], level=str(audit.verdict.level)))
    return rows


def document(rows: Sequence[Row]) -> str:
    """The rows in words, as `docs/relative.md`."""
    lines = [
        "# Nearer to retraining, or to the original?", "",
        "Made by `python -m unlearn_core.bundle.relative`; the rows in full are in `assets/relative/`. Each number is "
        "over the training images that were to be forgotten. Methods ran with seed 0, with what the request opens on: "
        "on single classes of clothes and the poison that was chosen for each method, on persons for the methods that "
        "dampen, by the gap to the retrained networks; all else is at the general defaults, which were chosen on "
        "clothes.", "",
        "**The needle** (`unlearn_core/audit/relative.py`, after arXiv 2601.19755): the mean distance of a network's "
        "outputs to the original's, as a share of that distance and the one to a retrained network. 0 is the original "
        "itself, ½ as far from both. *Nearer to retraining* means nearer to every single retrained network than to the "
        "original. **KLoM** (`unlearn_core/audit/klom.py`, after arXiv 2602.16400): how differently it answers from "
        "retrained networks, image by image, in nats, at most 100; what chance gives stands in the last column. It is "
        "not the paper's estimate, which compares histograms over a hundred networks of each kind: here margins are "
        "taken as normal, of one spread for both kinds, and an image's spread is drawn towards that of the others.", ""]
    for network, kind in dict.fromkeys(map(_part, rows)):
        lines += section(network, kind, [row for row in rows if _part(row) == (network, kind)])
    return "\n".join([*lines, *claim(rows)])


def section(network: str, kind: str, rows: Sequence[Row]) -> list[str]:
    """One table: a network and a kind of request."""
    requests = {row.forget for row in rows}
    held = [row for row in rows if row.what == HELD_OUT]
    seeds = len({row.key for row in held})
    lines = [f"## {subject(network).title}: forget {called(kind)}", "",
             f"{len(requests)} request{'s' * (len(requests) > 1)}, {seeds} retrained networks each, held out one by "
             f"one ({seeds - 1} others).", "",
             "| Network | nearer to retraining | between | nearer to the original | needle, median (least to most) | "
             "KLoM, median | held-out retrained: KLoM |", "|:--|--:|--:|--:|--:|--:|--:|"]
    for what in dict.fromkeys(row.what for row in rows):
        same = [row for row in rows if row.what == what]
        counts = [sum(row.side == side for row in same) for side in ("retrained", "between", "original")]
        needles = [row.needle for row in same]
        apart = [(row.klom, row.klom_null) for row in same if row.klom is not None and row.klom_null is not None]
        lines.append(
            f"| {method(what).title if what in METHODS else what} | " + " | ".join(str(c or '·') for c in counts)
            + f" | {np.median(needles):.2f} ({min(needles):.2f} to {max(needles):.2f}) | "
            + ("{:.1f} | {:.1f} |".format(*np.median(apart, 0)) if apart else "· | · |"))
    learned = [row for row in rows if row.what in (AGAIN, ON)]
    networks, tried = {(row.what, row.key) for row in learned}, [row for row in rows if row.what in METHODS]
    passing = [row for row in tried if row.side == "retrained"]
    still = sum(row.level in STILL_THERE for row in passing)
    alike = [row for row in tried if row.level == Level.NOT_TOLD]
    lines += ["", f"What it tells here: of held-out retrained networks {_passing(held)} are nearer to retraining; of "
              f"the answers of {len(networks)} networks that learned everything {_passing(learned)}. Of methods' "
              f"outcomes {_passing(tried)} are."
              + (f" The verdict calls {still} of these *Not forgotten*, *Partly forgotten* or *Hidden*." if still else
                 "")
              + (f" Of {len(alike)} that the verdict does not tell from retraining, "
                 f"{sum(row.side != 'retrained' for row in alike)} are not." if alike else "")]
    return [*lines, ""]


def claim(rows: Sequence[Row]) -> list[str]:
    """What was reported of the three-sample test, and what is found here, request by request."""
    lines = ["## What was reported, and what is found here", "",
             "A report on the paper says that SSD, pruning and fine-tuning fail its test, in simplified versions, and "
             "only random labels pass; the authors call it a signal and no ranking. Here each is compared with random "
             "labels on the same requests, in whether the outcome is nearer to retraining than to the original on the "
             "images to be forgotten. No method here prunes; head zeroing and masked small gradients come nearest.", ""]
    chance = {(row.network, row.forget): row.side == "retrained" for row in rows if row.what == "random_labels"}
    for name in (name for names in REPORTED.values() for name in names if name != "random_labels"):
        mine = {(row.network, row.forget): row.side == "retrained" for row in rows if row.what == name}
        both = mine.keys() & chance.keys()
        apart = [key for key in both if mine[key] != chance[key]]
        won = sum(mine[key] for key in apart)
        lost = len(apart) - won
        p = float(binomtest(lost, len(apart)).pvalue) if apart else 1.0
        places = Counter(f"{subject(network).title}, {called(parsed(forget).kind)}" for network, forget in apart)
        where = "; ".join(f"{place}: {number}" for place, number in sorted(places.items()))
        lines.append(
            f"- {method(name).title}: {sum(mine[key] for key in both)} of {len(both)}, random labels "
            f"{sum(chance[key] for key in both)} of the same; only random labels pass in {lost}, only "
            f"{method(name).title} in {won}" + (f" ({where})" if where else "") + ". " + (
                f"Sign test p = {p:.2g}, were all requests independent: "
                f"in the direction {'' if lost > won else 'opposite to that '}reported." if p < 0.05 else
                "No difference is found."))
    lines += ["", "Where requests are of one kind and network:", ""]
    for network, kind in dict.fromkeys(map(_part, rows)):
        mine_here = [row for row in rows if _part(row) == (network, kind)]
        lines.append(f"- {subject(network).title}, {called(kind)}: " + ", ".join(
            f"{title} {_passing([row for row in mine_here if row.what in names])}"
            for title, names in REPORTED.items()))
    return [*lines, "",
            "It is not the same test: theirs is a kernel test of one network each, with other data and settings; here "
            "distances to several retrained networks are compared, and settings were chosen as said above. Requests "
            "share a network and are fewer than they look, and on expressions and persons most methods ran with "
            "settings chosen for clothes. Which side an outcome is on does not say how far it got: where all pass, the "
            "needle ranks nothing.", ""]


def _part(row: Row) -> tuple[str, str]:
    return row.network, parsed(row.forget).kind


def _passing(rows: Sequence[Row]) -> str:
    return f"{sum(row.side == 'retrained' for row in rows)} of {len(rows)}"


def _place(row: Row) -> tuple[bool, str, tuple[int, ...]]:
    asked = parsed(row.forget)
    return asked.kind != CLASS, asked.kind, asked.chosen


def write(rows: Mapping[str, Sequence[Row]]) -> None:
    """The rows of each network, and the document that they make."""
    folder = assets.ROOT / "relative"
    folder.mkdir(exist_ok=True)
    for network, found in rows.items():
        (folder / f"{network}.json").write_text(
            json.dumps([asdict(row) for row in sorted(found, key=_place)], indent=0) + "\n", "utf-8")
    list_assets()
    DOCUMENT.write_text(document([row for found in rows.values() for row in sorted(found, key=_place)]), "utf-8")


def load(network: str) -> list[Row]:
    """The shipped rows of a network; empty if there are none."""
    name = f"relative/{network}.json"
    if name not in assets.manifest().files:
        return []
    return [Row(**row) for row in json.loads(assets.path(name).read_text("utf-8"))]


def main() -> None:
    """Ask both questions of everything and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=list(bundled()), choices=list(bundled()), metavar="NETWORK")
    parser.add_argument("--kinds", nargs="*", metavar="KIND", help="of requests, as in class or person; all by default")
    parser.add_argument("--from-rows", action="store_true", help="write the document from the rows at hand")
    chosen = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    rows = {network: load(network) for network in bundled()}
    if chosen.from_rows:
        return write(rows)
    for network in chosen.networks:
        for one in tqdm([one for one in requests(network) if not chosen.kinds or one.kind in chosen.kinds],
                        desc=network):
            rows[network] = [*(row for row in rows[network] if row.forget != str(one)), *judge_request(network, one)]
            write(rows)
    return None


if __name__ == "__main__":
    main()
