"""What the verdict says of every bundled network and method: the shipped table, as `bundle.confusion` made it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from unlearn_core import assets
from unlearn_core.audit.evidence import HEAD_ZEROING, ORIGINAL

HELD_OUT, CONTROL = "retrained, held out", f"{HEAD_ZEROING}, control"
REFERENCES = (ORIGINAL, HELD_OUT, CONTROL)
DEFAULT, OPENING = "general default", "as it opens"


@dataclass(frozen=True)
class Row:
    """What was said of one network.

    Attributes:
        network: name of a bundled network.
        forget: the class or group.
        what: one of `REFERENCES`, or the name of a method.
        settings: `DEFAULT`, `OPENING`, the name of a preset, or the number of a retrained seed.
        key: of the choice; empty for reference networks.
        level: of the verdict; empty if there is no outcome.
        verdict: in full, or why there is no outcome.
        worst: the retained class that lost most.
        lost: what it lost, as a share.
    """

    network: str
    forget: int
    what: str
    settings: str
    key: str
    level: str
    verdict: str
    worst: str = ""
    lost: float = 0.0


@cache
def load(network: str) -> tuple[Row, ...]:
    """The shipped table of a network, or of groups, as in ``people-resnet-person``; empty if there is none.

    Raises:
        assets.AssetError: if its file is missing or altered.
    """
    name = f"verdicts/{network}.json"
    if name not in assets.manifest().files:
        return ()
    return tuple(Row(**row) for row in json.loads(assets.path(name).read_text("utf-8")))
