"""Queues of a subject: run, or bundled with what retrained networks say of the same images; and as rows of a table."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, cast

from unlearn_core import assets
from unlearn_core.audit.accuracy import Change, Count, difference
from unlearn_core.methods import method
from unlearn_core.methods.base import Settings
from unlearn_core.nets.request import CLASS, Request, parsed
from unlearn_core.progress import Progress, stage
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.pool import Lane, Ticket
from unlearn_core.study.queue import Step, Trail, run_queue
from unlearn_core.subjects.subject import subject


@dataclass(frozen=True)
class Shipped:
    """What is bundled of one network.

    Attributes:
        orders: requests in a fixed order, by what the order is called.
        trails: methods at their general defaults, with seed 0, on these orders.
        images: (classes,) test images of each class.
        retrained: by the classes that were left out, (networks, classes) how many each network names rightly.
    """

    orders: Mapping[str, tuple[Request, ...]] = field(default_factory=dict)
    trails: tuple[Trail, ...] = ()
    images: tuple[int, ...] = ()
    retrained: Mapping[frozenset[int], Sequence[Sequence[int]]] = field(default_factory=dict)

    def trail(self, requests: Sequence[Request], name: str) -> Trail | None:
        """That of a method at its general defaults; None if it is not bundled, or these have changed since."""
        return next((each for each in self.trails if each.requests == tuple(requests) and each.method == name
                     and each.settings == method(name).settings()), None)

    def networks(self, requests: Sequence[Request]) -> int:
        """How many networks are bundled that were retrained without all of these."""
        return len(self.retrained.get(_classes(requests), ()))

    def kept(self, requests: Sequence[Request], step: int) -> Count | None:
        """What networks retrained without all requests up to a step (from 0) say, counted over all of them.

        Of the images that no request of the queue names. None where there is no such network.
        """
        found = self.retrained.get(_classes(requests[:step + 1]), ())
        rest = [label for label in range(len(self.images)) if label not in _classes(requests)]
        if not found or any(request.kind != CLASS for request in requests):
            return None
        return Count(sum(hits[label] for hits in found for label in rest),
                     len(found) * sum(self.images[label] for label in rest))

    def erosion(self, trail: Trail, step: int) -> Change | None:
        """`Trail.erosion`, of the retrained networks instead of a method; below 0 where they know the rest better."""
        found = self.kept(trail.requests, step)
        return None if found is None else difference(trail.original.kept, found)

    def against(self, trail: Trail, step: int) -> Change | None:
        """`Trail.erosion` against retraining: what the retrained networks know more of the kept images."""
        found = self.kept(trail.requests, step)
        return None if found is None else difference(found, trail.steps[step].kept)


def _classes(requests: Sequence[Request]) -> frozenset[int]:
    """The classes that are asked for; none of them if anything else is."""
    return frozenset(label for request in requests for label in request.classes) \
        if all(request.kind == CLASS for request in requests) else frozenset()


@cache
def load(network: str) -> Shipped:
    """What is bundled of a network; empty if nothing is.

    Raises:
        assets.AssetError: if its file is missing or altered.
    """
    name = f"queues/{network}.json"
    return read(assets.path(name).read_text("utf-8")) if name in assets.manifest().files else Shipped()


def read(text: str) -> Shipped:
    """What `written` made a text of."""
    said = json.loads(text)
    return Shipped({name: tuple(map(parsed, order)) for name, order in said["orders"].items()},
                   tuple(map(_trail, said["trails"])), tuple(said["images"]),
                   {frozenset(map(int, key.split(","))): rows for key, rows in said["retrained"].items()})


def written(found: Shipped) -> str:
    """As JSON, a trail a line."""
    def lines(rows: Sequence[str]) -> str:
        return ",\n  ".join(rows)

    trails = [json.dumps(asdict(trail) | {"requests": list(map(str, trail.requests))}) for trail in found.trails]
    retrained = [f'"{",".join(map(str, sorted(left_out)))}": {json.dumps(rows)}'
                 for left_out, rows in found.retrained.items()]
    orders = {name: list(map(str, order)) for name, order in found.orders.items()}
    return (f'{{"orders": {json.dumps(orders)},\n "images": {json.dumps(found.images)},\n'
            f' "retrained": {{\n  {lines(retrained)}}},\n "trails": [\n  {lines(trails)}]}}\n')


def _trail(said: Mapping[str, Any]) -> Trail:
    return Trail(**{**said, "requests": tuple(map(parsed, said["requests"])), "original": _step(said["original"]),
                    "steps": tuple(map(_step, said["steps"]))})


def _step(said: Mapping[str, Any]) -> Step:
    return Step(tuple(Count(*each) for each in said["asked"]), Count(*said["remaining"]), Count(*said["kept"]),
                said["seconds"], tuple(said["warnings"]))


# -- running ---------------------------------------------------------------------------------------------------------


def at_hand(engine: Engine, network: str, requests: Sequence[Request], name: str) -> Trail | None:
    """A method at its general defaults, with seed 0, on a queue: bundled, or run here before; None if neither."""
    return load(network).trail(requests, name) or cast("Trail | None", engine.pool.known(_key(network, requests, name)))


def submit(engine: Engine, network: str, requests: Sequence[Request], names: Sequence[str]) -> Ticket[list[Trail]]:
    """Run several methods at their general defaults on a queue behind one progress bar.

    What is at hand is not run again, and each that has ended stays at hand though the rest is cancelled.
    """
    def work(progress: Progress) -> list[Trail]:
        found = []
        for i, name in enumerate(names):
            here = stage(progress, i / len(names), (i + 1) / len(names), method(name).title)
            found.append(at_hand(engine, network, requests, name) or engine.pool.keep(
                _key(network, requests, name), run_of(network, requests, name, {}, 0, here)))
        return found

    return engine.pool.submit(("queues", network, tuple(requests), tuple(names)), work, Lane.LONG, keep=False)


def run_of(network: str, requests: Sequence[Request], name: str, settings: Settings, seed: int,
           progress: Progress) -> Trail:
    """`run_queue` on a subject, with everything that is at hand of it.

    Raises:
        ValueError: as `run_queue`, or for an unknown network.
    """
    own = subject(network)
    return run_queue(own.original(), own.images.train, own.images.test, requests, name, settings, seed, progress,
                     history=own.history, recipe=own.recipe)


def _key(network: str, requests: Sequence[Request], name: str) -> Hashable:
    return "queue", network, tuple(requests), name


# -- as a table ------------------------------------------------------------------------------------------------------


def rows(trail: Trail, network: str, shipped: Shipped) -> list[dict[str, object]]:
    """A trail as a table: a row for each request so far after each step. Shares, NaN where there is none."""
    found = []
    for step, at in enumerate(trail.steps):
        back = trail.reversal(step)
        whole = {"network": network, "queue": ";".join(map(str, trail.requests)), "method": trail.method,
                 "settings": json.dumps(dict(trail.settings)), "seed": trail.seed, "step": step + 1,
                 "asked": str(trail.requests[step]), **_change("erosion", trail.erosion(step)),
                 **_change("erosion_retrained", shipped.against(trail, step)),
                 "retrained": shipped.networks(trail.requests[:step + 1]),
                 **_change("reversal", back and back[0]), "reversal_of": str(trail.requests[back[1]]) if back else "",
                 **_count("kept", at.kept), **_count("remaining", at.remaining), "seconds": at.seconds,
                 "warnings": " ".join(at.warnings)}
        found += [whole | {"request": str(trail.requests[place]), **_count("accuracy", count),
                           "original": trail.original.asked[place].share, **_change("rise", trail.rise(place, step))}
                  for place, count in enumerate(at.asked)]
    return found


def _change(name: str, found: Change | None) -> dict[str, object]:
    value, low, high = found or (math.nan,) * 3
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _count(name: str, found: Count) -> dict[str, object]:
    low, high = found.interval
    return {name: found.share, f"{name}_low": low, f"{name}_high": high, f"{name}_images": found.images}
