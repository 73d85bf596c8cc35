"""What each request could open with is tried, method by method; see `unlearn_core.subjects.openings` for the rule."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch
from tqdm import tqdm

from unlearn_core import assets
from unlearn_core.files import replacing
from unlearn_core.methods import METHODS, method
from unlearn_core.nets.request import CLASS, Request
from unlearn_core.study import tune
from unlearn_core.subjects.openings import file_of
from unlearn_core.subjects.subject import subject

DAMPENING = tuple(m.name for m in METHODS.values() if m.importance is not None)
"""Methods of which hundreds of settings can be tried in minutes."""
EVERY = (*DAMPENING, *sorted((name for name in METHODS if name not in (*DAMPENING, "retrain")),
                             key=lambda name: METHODS[name].seeded))


def make_openings(network: str, kind: str, methods: Sequence[str] = EVERY) -> None:
    """Try what requests of one kind could open with, for each class or group; finished ones are kept, on one thread."""
    torch.set_num_threads(1)
    own = subject(network)
    names = own.classes if kind == CLASS else own.groups[kind].names
    requests = [Request((number,), kind) for number in range(len(names))]
    file = assets.ROOT / file_of(network, kind)
    file.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {
        "images": list(tune.sizes(network, requests[0])),
        "reference": {str(one.chosen[0]): tune.reference_row(network, one) for one in requests}, "methods": {}}
    todo = [(m, one) for m in map(method, methods) for one in requests
            if str(one.chosen[0]) not in found["methods"].get(m.name, {"requests": {}})["requests"]]
    for m, one in tqdm(todo, desc=f"openings of {network}, {kind}"):
        rows = tune.try_request(network, one, m.name)
        kept = found["methods"].setdefault(m.name, {"defaults": m.settings(), "requests": {}})
        kept["requests"][str(one.chosen[0])] = rows
        with replacing(file) as unfinished:
            unfinished.write_text(json.dumps(found, separators=(",", ":")) + "\n", "utf-8")
