"""The one verdict on an outcome: evidence in, the most cautious level that it supports out.

Every page, the command line, the rows of a sweep and every export say what stands here and nothing else. There is no
level above "not told from retraining": that nothing was found is no proof that nothing is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from unlearn_core.audit.evidence import (
    ATTACK_SUCCESS,
    FEWEST,
    FORGET_ACCURACY,
    ORIGINAL,
    UNLEARNED,
    Check,
    Page,
    Status,
    read,
)

Bools = npt.NDArray[np.bool_]


class Level(StrEnum):
    """From no answer and the worst answer to the best that evidence can support."""

    UNKNOWN = "Unknown"
    NOT_FORGOTTEN = "Not forgotten"
    PARTLY = "Partly forgotten"
    DAMAGED = "Damaged"
    ANSWERS = "Only the answers are known to be forgotten"
    HIDDEN = "Hidden"
    OVER = "Over-forgotten"
    TOLD = "Told from retraining"
    NOT_TOLD = "Not told from retraining"


BEYOND_ANSWERS = (Level.HIDDEN, Level.OVER, Level.TOLD, Level.NOT_TOLD)
"""Levels that are reached only by looking inside."""
DAMAGED = 0.05
"""Share of a retained class's accuracy from whose loss on the network is damaged. Set on the bundled classes of odd
number, where no retrained network lost more than 2.4 points of any; reported on those of even number."""
HARDLY_LESS = 0.05
"""A forget accuracy within so much of the original's is not forgotten, and not partly."""


@dataclass(frozen=True)
class Loss:
    """What a retained group of unseen images lost.

    Attributes:
        group: its name.
        value: share of accuracy lost, beyond what retraining loses too; negative for a gain.
        interval: 95 %, over images, paired with the original.
        images: behind it.
    """

    group: str
    value: float
    interval: tuple[float, float]
    images: int

    @property
    def damage(self) -> bool:
        """Whether the network counts as damaged: so much is lost, and surely half of it."""
        return self.value >= DAMAGED and self.interval[0] >= DAMAGED / 2

    @property
    def rank(self) -> tuple[bool, float]:
        """The larger, the worse: a damaged group comes before any other."""
        return self.damage, self.value

    def __str__(self) -> str:
        low, high = self.interval
        return (f"{self.group} {points(-self.value)} points (95 % interval {points(-high)} to {points(-low)}, "
                f"{self.images:,} images)")


def points(share: float) -> str:
    """A difference of two shares, as hundredths with their sign."""
    return f"{round(100 * share, 1) + 0:+.1f}".replace("-", "−")


def losses(before: Bools, after: Bools, groups: Mapping[str, Bools],
           retrained: Mapping[str, npt.NDArray[np.float64]] | None = None, among: int = 1,
           spreads: Mapping[str, float] | None = None) -> list[Loss]:
    """What each retained group lost, if it has any image.

    A loss counts from the original's accuracy or, where that is lower, from the mean of the retrained networks: what
    retraining costs as well is no damage. The interval is that of a difference of paired shares.

    Args:
        before: (N,) whether the original is right.
        after: (N,) whether the unlearned network is.
        groups: (N,) masks of unseen images by name: retained classes, or any other retained groups.
        retrained: accuracy of each retrained network by group; None if there are none.
        among: so many intervals hold together with 95 % (Bonferroni): of many small groups, some lose by chance.
        spreads: standard deviation of retrained networks' accuracy by group, where it is known: by about so much one
            more retrained network would differ, which is no damage either.
    """
    found, reach = [], round(NormalDist().inv_cdf(1 - 0.025 / among), 2)  # 1.96 for one
    for name, rows in groups.items():
        lost, n = before[rows].astype(float) - after[rows], int(rows.sum())
        if not n:
            continue
        spared = max(float(before[rows].mean()) - float(retrained[name].mean()), 0.0) if retrained else 0.0
        seeds = spreads.get(name, 0.0) * (1 + 1 / len(retrained[name]))**0.5 if spreads and retrained else 0.0
        value, half = float(lost.mean()), reach * float(np.hypot(lost.std() / n**0.5, seeds))
        found.append(Loss(name, value - spared, (value - spared - half, value - spared + half), n))
    return found


@dataclass(frozen=True)
class Mark:
    """One check, as small as it gets.

    Attributes:
        title: its name.
        status: what it says of the outcome.
        said: its numbers and what its answer is worth here, in a sentence.
        page: where it is explained.
    """

    title: str
    status: Status
    said: str
    page: Page


@dataclass(frozen=True)
class Verdict:
    """The conclusion on one outcome.

    Attributes:
        level: the most cautious that the evidence supports.
        sentence: it, with what decided, in plain words.
        detail: the retained class that lost most, and what has not been tried.
        marks: all checks, those that have not been made too.
        loss: of the retained group that lost most.
    """

    level: Level
    sentence: str
    detail: str
    marks: tuple[Mark, ...]
    loss: Loss | None

    def __str__(self) -> str:
        return f"{self.sentence} {self.detail}".rstrip()


def judge(checks: Sequence[Check], loss: Loss | None, forgotten: str, accuracy: float,
          several: bool = False, retrained: int = 0) -> Verdict:
    """Draw the conclusion.

    Args:
        checks: from `evidence.gather`, with the outcome among the judged; none is made without retrained networks.
        loss: of the retained group that lost most, see `Loss.rank`; None if there is none.
        forgotten: what was to be forgotten, in words.
        accuracy: on the training images that were to be forgotten.
        several: whether the words name more than one thing.
        retrained: how many networks there are to compare with.
    """
    be = "are" if several else "is"
    able = [check for check in checks if check.worth == "works" and check.status() != "not made yet"]
    failed = [check for check in able if check.status() == "fails"]
    tried = any(check.inside and check.status() != "not made yet" for check in checks)
    # The original passes these: they are heard where no check that it fails has anything to say.
    beyond = [check for check in checks if check.status() == "fails" and check not in able] if tried and not failed \
        else []
    known = {check.title: check for check in checks}
    signs = {sign: [check for check in failed if check.sign() == sign] for sign in ("remembers", "too much", "other")}
    inside = [check for check in signs["remembers"] if check.inside]
    damage = f"{loss.group} lost {100 * loss.value:.0f} points" if loss is not None and loss.damage else ""

    def apart() -> tuple[Level, str]:
        gone = [check for check in failed or beyond if check.sign() == "too much"]
        return (Level.OVER, f"told from retraining by forgetting too much, in {listed(gone)}") if gone else \
            (Level.TOLD, f"by {listed(failed or beyond)}")

    def conclude() -> tuple[Level, str]:
        if not able and not beyond:
            why = "no check can tell the original from retraining here" if any(c.judged for c in checks) else \
                f"there is no network retrained without {forgotten} to compare with" if not retrained else \
                f"there is only {retrained} network retrained without {forgotten}, and a comparison takes {FEWEST}"
            return Level.UNKNOWN, (f"{why}. {accuracy:.0%} of the images to be forgotten are still recognised"
                                   + (f", and {damage}" if damage else ""))
        if ATTACK_SUCCESS in {check.title for check in signs["remembers"]}:
            judged = known[ATTACK_SUCCESS].judged
            seeds, works, worked = judged[UNLEARNED].null, judged[UNLEARNED].value, judged[ORIGINAL].value
            return (Level.NOT_FORGOTTEN if works > worked - HARDLY_LESS else Level.PARTLY), (
                f"the mark still works on {works:.1%} of unseen images, on {worked:.1%} before, and in retrained "
                f"networks on {seeds.min():.1%} to {seeds.max():.1%}" + (f"; {damage}" if damage else ""))
        if FORGET_ACCURACY in {check.title for check in signs["remembers"]}:
            judged = known[FORGET_ACCURACY].judged
            seeds, before = judged[UNLEARNED].null, judged[ORIGINAL].value
            also = f", and {damage}" if damage else ""
            said = f"{forgotten} {be} still recognised"
            if accuracy > before - HARDLY_LESS:
                return Level.NOT_FORGOTTEN, f"{said} {accuracy:.0%} of the time{also}"
            return Level.PARTLY, (f"{said} {accuracy:.1%} of the time, by retrained networks {seeds.min():.1%} to "
                                  f"{seeds.max():.1%}{also}")
        if damage:
            return Level.DAMAGED, f"{damage} that retraining does not cost"
        if beyond:
            return apart()
        recognised = known[FORGET_ACCURACY]
        if not any(check.inside for check in able) and not (tried and failed):
            if recognised not in able:
                seeds, before = recognised.judged[UNLEARNED].null, recognised.judged[ORIGINAL].value
                return Level.UNKNOWN, (f"what is recognised cannot tell here: {accuracy:.0%} of the images, by "
                                       f"retrained networks {seeds.min():.0%} to {seeds.max():.0%}, by the original "
                                       f"{before:.0%}")
            return Level.ANSWERS, ("what is inside cannot be told from retraining or from the original here" if tried
                                   else "what is inside has not been looked at yet")
        if inside and recognised in able:
            return Level.HIDDEN, (f"the answers are gone, what is inside is not; {listed(inside)} still "
                                  f"find{'s' if len(inside) == 1 else ''} {forgotten}")
        if failed:
            return apart()
        return Level.NOT_TOLD, f"in {len(able)} of {len(able)} tests that can tell"

    level, why = conclude()
    joint = {Level.ANSWERS: "The answers are forgotten; ", Level.TOLD: f"{level} ", Level.NOT_TOLD: f"{level} "}
    named = {Level.HIDDEN: inside, Level.OVER: signs["too much"], Level.DAMAGED: []}.get(level, failed)
    others = [check for check in failed if check not in named]
    also = [f"It also fails {listed(others)}."] if others else []
    also += [f"Worst of the rest: {loss}."] if loss is not None else []
    late = [check for check in checks if check.status() == "not made yet"]
    also += [f"Not tried yet: {listed(late)}."] if late and level in BEYOND_ANSWERS else []
    return Verdict(level, joint.get(level, f"{level}: ") + f"{why}.", " ".join(also), tuple(map(_mark, checks)), loss)


def listed(checks: Sequence[Check]) -> str:
    """Titles of checks within a sentence."""
    names = [c.title if c.title.startswith("Jensen") else c.title[0].lower() + c.title[1:] for c in checks]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _mark(check: Check) -> Mark:
    status = check.status()
    if status == "not made yet":
        return Mark(check.title, status, f"{check.about[0].upper()}{check.about[1:]}.", check.page)
    tried = len(check.held_out)
    worth = {
        "works": "The original fails" + (f", {check.passing} of {tried} held-out retrained networks pass." if tried else
                                         "; there are too few retrained networks to hold one out."),
        "uninformative": "Even the untouched original passes, so passing proves nothing here." if status != "fails" else
        f"The untouched original passes, and so do {check.passing} of {tried} held-out retrained networks: this one is "
        "like neither.",
        "strict": f"Only {check.passing} of {tried} held-out retrained networks pass, so failing proves little here.",
    }[check.worth]
    return Mark(check.title, status, f"{read(check, check.judged[UNLEARNED])}. {worth}", check.page)
