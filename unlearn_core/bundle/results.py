"""The table that anybody can re-run: every method on every kind of request, five seeds each, with ranks.

`python -m unlearn_core.bundle.results` runs what is missing on the sweep engine, here or on a Dask cluster, and writes
`docs/results.md` from all rows at hand, which it ships in `assets/results/`. A part can be chosen; what is left out is
said in the document. Stopped, it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from unlearn_core import assets
from unlearn_core.audit.gauges import KINDS
from unlearn_core.audit.verdict import Level
from unlearn_core.bundle.manifest import list_assets
from unlearn_core.methods import METHODS, method
from unlearn_core.nets.request import CLASS, IMAGE, Request, parsed
from unlearn_core.serving.choice import Choice, choice
from unlearn_core.serving.yardstick import yardstick
from unlearn_core.study import results, standings
from unlearn_core.study.cluster import connect
from unlearn_core.study.results import SweepError
from unlearn_core.study.run import engine
from unlearn_core.study.sweep import sweep
from unlearn_core.subjects.subject import bundled, subject

DOCUMENT = assets.ROOT.parent / "docs" / "results.md"
WORK = assets.ROOT.parent / "build" / "results"
FOLDER = assets.ROOT / "results"
SEEDS = 5
EVERY = tuple(name for name in METHODS if name != "retrain")
"""True retraining is left out: the bundled retrained networks are what the gaps are measured from."""


@dataclass(frozen=True)
class Plan:
    """The runs of the table, request by request.

    Attributes:
        requests: subject and request.
        methods: names.
    """

    requests: Sequence[tuple[str, Request]]
    methods: Sequence[str]

    @property
    def networks(self) -> tuple[str, ...]:
        """The subjects."""
        return tuple(dict.fromkeys(network for network, _ in self.requests))

    def __len__(self) -> int:
        return len(self.requests) * sum(SEEDS if METHODS[name].seeded else 1 for name in self.methods)

    def __iter__(self) -> Iterator[Choice]:
        for network, request in self.requests:
            for name in self.methods:
                for seed in range(SEEDS if METHODS[name].seeded else 1):
                    yield choice(network, request, name, {}, seed)


def requests(network: str) -> list[Request]:
    """Every request with bundled retrained networks: single classes first, then other groups, then single images."""
    file = subject(network).file("references", ".npz")
    if file is None:
        return []
    with np.load(file) as table:
        slugs = [name.removeprefix("logits").split("-") for name in table.files]
    found = [Request(tuple(map(int, slug))) if slug[0].isdecimal() else Request(tuple(map(int, slug[1:])), slug[0])
             for slug in slugs]
    return sorted(found, key=lambda one: (one.kind != CLASS, one.kind == IMAGE, one.kind, one.chosen))


def document(rows: pd.DataFrame, wanted: standings.Retrained) -> str:
    """The rows in words, as `docs/results.md`."""
    lines = [
        "# Every method, five seeds, ranks with their uncertainty", "",
        "Made by `python -m unlearn_core.bundle.results`, on the same engine as every sweep; each run in full is a row "
        "of `assets/results/results.parquet`. The command runs what is missing, on this machine or with `--scheduler` "
        "on a Dask cluster, and writes this page anew. Every method is at its general defaults, the same for all "
        f"requests, which is not what a request opens on; methods with any randomness ran with {SEEDS} seeds, the "
        "others once.", "",
        "**Rank**: a run beats another on the same request by the better verdict or, with the same one, by the smaller "
        "gap to the retrained networks (|forget gap| + |retain gap|). *Wins* is the share of the other methods' runs "
        "that a method's runs beat. Methods that cannot be told apart share a rank: the first number is one more than "
        "the methods that are surely better, the second counts those that are not surely worse. The test is a "
        "permutation test that changes the signs of whole requests, for all pairs together at 95 % (step-down, "
        "`unlearn_core/study/standings.py`). It speaks of further requests like these; fewer than six tell nothing "
        "apart.", "",
        "**Gaps** are in points from the mean of the retrained networks; ± is the standard deviation over seeds, on "
        "the average request. **Backward passes** count each image as often as its gradient was taken; beside it is "
        "the share of what one retraining takes. **Verdicts** count runs. **Time** is the median of processor "
        "seconds.", ""]
    found = standings.kinds(rows)
    for (network, kind), part in found.items():
        lines += section(network, kind, part, wanted)
    todo = [f"{subject(network).title}, {kind}: {missing} of {count} requests"
            for network in bundled() for kind, count in _counts(requests(network)).items()
            if (missing := count - (len(set(found[network, kind]["forget"])) if (network, kind) in found else 0))]
    lines += ["## What was not run", "", *(f"- {line}" for line in todo),
              "- requests without bundled retrained networks, such as several classes at once: a verdict on them would "
              "be *Unknown*, and a gap has nothing to be measured from", ""]
    return "\n".join(lines)


def _counts(asked: Sequence[Request]) -> dict[str, int]:
    kinds = [one.kind for one in asked]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def section(network: str, kind: str, rows: pd.DataFrame, wanted: standings.Retrained) -> list[str]:
    """One table: a subject and a kind of request."""
    own = subject(network)
    made = standings.standings(rows, wanted, np.random.default_rng(0))
    asked = sorted((parsed(text) for text in set(rows["forget"])), key=lambda one: one.chosen)
    answered, planned = int((rows["status"] != "failed").sum()), len(Plan([(network, one) for one in asked], EVERY))
    lines = [f"## {own.title}: forget {standings.called(kind)}", "",
             f"{answered:,} of {planned:,} runs on {len(asked)} of {(count := _counts(requests(network))[kind])} "
             f"request{'s' * (count > 1)}: "
             f"{', '.join(one.words(own) for one in asked)}."]
    if made and made[0].requests < len(asked):
        lines[-1] += f" Ranked on the {made[0].requests} on which every method has run."
    lines[-1] += f" {standings.best_verdicts(made)}" * bool(made)
    lines += ["", "| Rank | Method | wins | verdicts | forget gap | retain gap | backward passes | time |",
              "|:--|:--|--:|:--|--:|--:|--:|--:|"]
    whole = full_passes(network)
    for one in made:
        rank = str(one.best) if one.best == one.worst else f"{one.best} to {one.worst}"
        said = ", ".join(f"{one.levels[level]} {level}" for level in reversed(list(map(str, Level)))
                         if level in one.levels)
        diverged = one.runs - sum(one.levels.values())
        lines.append(
            f"| {rank} | {method(one.method).title} | {100 * one.wins:.0f} % | {said}"
            f"{f', {diverged} diverged' if diverged else ''} | {one.forget:+.1f} ± {one.forget_spread:.1f} | "
            f"{one.retain:+.1f} ± {one.retain_spread:.1f} | {one.passes:,.0f}"
            + (f" ({100 * one.passes / whole:.2g} %)" if whole else "") + f" | {one.seconds:.2f} s |")
    refused = rows[rows["status"] == "not applicable"].drop_duplicates("method")
    failed = rows[rows["status"] == "failed"]
    lines += ["", *(f"- {method(name).title} cannot: {reason}" for name, reason in zip(
        refused["method"], refused["error"], strict=True))]
    if len(failed):
        lines.append(f"- {len(failed)} runs failed and are in no number above; the command tries them again.")
    return [*lines, *([""] if len(refused) or len(failed) else [])]


def full_passes(network: str) -> float:
    """Images whose gradient one training from a fresh start takes."""
    own = subject(network)
    return float(own.recipe.epochs * len(own.images.train)) if own.recipe is not None else 0.0


def retrained(rows: pd.DataFrame) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Gauges of the retrained networks of every request that has rows; what is shipped is not read again."""
    known = standings.retrained() if standings.load() is not None else {}
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for network, forget in sorted(set(zip(rows["network"], rows["forget"], strict=True))):
        shipped = known.get(network, {}).get(forget)
        found.setdefault(network, {})[forget] = {name: list(values) for name, values in shipped.items()} \
            if shipped else {name: [round(seed[name].value, 6) for seed in yardstick(
                engine(), network, parsed(forget)).band] for name in KINDS}
    return found


def write() -> None:
    """The rows at hand as they are shipped, and the document that they make."""
    rows = results.load(WORK)
    places = {name: i for i, name in enumerate(bundled())}
    rows = rows.assign(place=rows["network"].map(places), kind=[parsed(text).kind for text in rows["forget"]])
    rows = rows.sort_values(["place", "kind", "forget", "method", "seed"], ignore_index=True).drop(
        columns=["place", "kind"])
    wanted = retrained(rows)
    FOLDER.mkdir(exist_ok=True)
    results.write_rows(rows, assets.ROOT / standings.ROWS)
    (assets.ROOT / standings.RETRAINED).write_text(json.dumps(wanted, indent=0) + "\n", "utf-8")
    list_assets()
    DOCUMENT.write_text(document(rows, wanted), "utf-8")


def main() -> int:
    """Run what is missing of the part that was asked for, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(bundled()), choices=list(bundled()), metavar="NETWORK")
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help="class, person, poisoned, image (default: all)")
    parser.add_argument("--methods", nargs="+", default=list(EVERY), choices=EVERY, metavar="METHOD")
    parser.add_argument("--requests", type=int, metavar="N", help="the first so many of each kind (default: all)")
    parser.add_argument("--scheduler", default="", metavar="ADDRESS", help="of a running Dask scheduler")
    parser.add_argument("--workers", type=int, default=2, help="processes on this machine (default: 2)")
    parser.add_argument("--from-rows", action="store_true", help="write the document from the rows at hand")
    asked = parser.parse_args()
    todo = [(network, one) for network in asked.networks for kind in _counts(requests(network))
            if not asked.kinds or kind in asked.kinds
            for one in [each for each in requests(network) if each.kind == kind][:asked.requests]]

    def progress(share: float, note: str) -> None:
        bar.set_postfix_str(note, refresh=False)
        bar.update(100 * share - bar.n)

    failed, shipped = 0, standings.load()
    if shipped is not None and not WORK.exists():  # goes on from what others have run
        WORK.mkdir(parents=True)
        results.write_rows(shipped, WORK / results.WHOLE)
    if not asked.from_rows:
        try:
            with connect(asked.scheduler, asked.workers) as client, tqdm(total=100, unit="%") as bar:
                failed = sweep(Plan(todo, asked.methods), WORK, client, progress,
                               lambda said: tqdm.write(said, file=sys.stderr)).failed
        except SweepError as problem:
            sys.exit(f"{problem}.")
    write()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
