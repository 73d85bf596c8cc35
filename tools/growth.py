"""How cost grows with the work: one size in a process of its own, `python -m tools.growth AXIS SIZE REPEATS`.

Used by the benchmark's section ``growth``. The network is a perceptron, so that each axis can grow alone.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from unlearn_core.measure.dampening import dampen
from unlearn_core.measure.estimator import Estimator
from unlearn_core.measure.importance import importance
from unlearn_core.measure.ratio_index import build_index
from unlearn_core.nets.evaluate import outputs


@dataclass(frozen=True)
class Size:
    """A network and its data."""

    parameters: int = 300_000
    classes: int = 10
    images: int = 500
    layers: int = 6

    def build(self) -> nn.Module:
        """A perceptron of equally wide layers with about so many parameters."""
        inputs, middle = 64, max(self.layers - 2, 1)
        b, c = inputs + self.classes, -float(self.parameters)  # middle w² + (inputs + classes) w = parameters
        width = max(round((-b + np.sqrt(b * b - 4 * middle * c)) / (2 * middle)), 1)
        layers: list[nn.Module] = [nn.Linear(inputs, width), nn.ReLU()]
        for _ in range(middle):
            layers += [nn.Linear(width, width), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(width, self.classes)).eval()


AXES: dict[str, tuple[int, ...]] = {
    "parameters": (100_000, 1_000_000, 10_000_000, 100_000_000), "classes": (10, 100, 1000, 10_000),
    "images": (250, 1000, 4000, 16_000), "layers": (4, 16, 64)}
HEAD = "0, then 1 once the head leads"
EXPECTED: dict[str, dict[str, str]] = {
    "importance": {"parameters": "1", "classes": HEAD, "images": "1", "layers": "0 and a little"},
    "build": {"parameters": "1 and a little: n log n", "classes": HEAD, "images": "0",
              "layers": "0 and a little"},
    "query": {"parameters": "near 0: log n", "classes": "0", "images": "0", "layers": "1"},
    "apply": {"parameters": "1", "classes": HEAD, "images": "0", "layers": "0 and a little"},
    "evaluate": {"parameters": "1", "classes": HEAD, "images": "1", "layers": "0 and a little"},
    "memory": {"parameters": "1", "classes": HEAD, "images": "0", "layers": "0"}}
"""What each cost should grow like: the exponent of a power law."""


def measure(axis: str, size: int, repeats: int) -> dict[str, list[float]]:
    """Seconds of each step at this size (of ten queries), and the peak of memory over importance and index, in MB."""
    torch.manual_seed(0)
    wanted = replace(Size(), **{axis: size})
    model = wanted.build()
    pixels, labels = torch.randn(wanted.images, 64), torch.arange(wanted.images) % wanted.classes
    batches = list(zip(pixels.split(125), labels.split(125), strict=True))
    estimator = Estimator("cross_entropy", "per_sample")
    weights = {name: value.detach() for name, value in model.named_parameters()}

    Path("/proc/self/clear_refs").write_text("5")  # begin the peak afresh
    before = peak()
    forget = importance(model, batches[:1], estimator)
    reference = importance(model, batches, estimator)
    index = build_index(weights, forget, reference)
    memory = peak() - before

    def timed(work: Callable[[], object]) -> list[float]:
        found = []
        for _ in range(repeats):
            start = time.perf_counter()
            work()
            found.append(time.perf_counter() - start)
        return found

    alphas = np.geomspace(0.1, 100, 10)
    return {"importance": timed(lambda: importance(model, batches, estimator)),
            "build": timed(lambda: build_index(weights, forget, reference)),
            "query": timed(lambda: [index.query(float(alpha), 1.0) for alpha in alphas]),
            "apply": timed(lambda: dampen(weights, forget, reference, 2.0, 1.0)),
            "evaluate": timed(lambda: outputs(model, pixels)), "memory": [memory]}


def peak() -> float:
    """Peak resident memory in MB; getrusage's would include what the parent had before it started this process."""
    line = next(li for li in Path("/proc/self/status").read_text("ascii").splitlines() if li.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    torch.set_num_threads(2)
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
