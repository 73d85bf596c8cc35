"""The sections on size: how the ratio index, dampening and whole evaluations grow, and where they stand on ViT-B/16."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch

from tools.bench.table import ROOT, in_turns, row, short, timed
from tools.growth import AXES, EXPECTED, peak
from unlearn_core.measure.dampening import dampen
from unlearn_core.measure.ratio_index import build_index

SIZES = (10**5, 10**6, 10**7)  # weights
LARGEST = "vit_b_16"


def large(repeats: int, huge: bool) -> None:
    """How the ratio index and dampening grow with the network, and where they stand on ViT-B/16."""
    few = max(1, repeats // 5)

    def child(what: str) -> dict[str, list[float]]:
        result = subprocess.run([sys.executable, "-m", "tools.bench", "--child", what, "--repeats", str(few)],
                                cwd=ROOT, check=True, capture_output=True, text=True)
        found: dict[str, list[float]] = json.loads(result.stdout.splitlines()[-1])
        return found

    sizes = [*SIZES] + [10**8] * huge
    found = {size: child(str(size)) for size in sizes}
    for what, unit, expected, label in (
            ("build", "ms", "1 and a little: n log n", "build the ratio index"),
            ("query", "ms", "near 0: layers × log n", "query all layers"),
            ("dampen", "ms", "1", "dampen"),
            ("memory", "MB", "1, about 8.4 bytes a weight", "peak memory of a build")):
        for size in sizes:
            remark = f"{found[size]['memory'][0] * 1e6 / size:.0f} bytes a weight" if what == "memory" else ""
            row(f"{label}, 1e{round(math.log10(size))} weights", found[size][what], unit, remark=remark)
        logs = np.log10([[size, median(found[size][what])] for size in sizes])
        slope, last = np.polyfit(logs[:, 0], logs[:, 1], 1)[0], np.diff(logs[-2:, 1])[0]
        row(f"{label}: exponent", [float(slope)], "", remark=f"fit; last decade {last:.2f}; expected {expected}")
    vit = child(LARGEST)
    # Peak memory above what was there before holds all that the index keeps; its bytes a weight are exact.
    row("vit_b_16: bytes a weight of the ratio index", vit["bytes"], "", target=16)
    row("vit_b_16: build the ratio index", vit["build"], "s", target=3, remark=f"{short(median(vit['cpu']))} s of "
        "processor time on two threads")
    row("vit_b_16: peak memory of a build", vit["memory"], "MB", target=1500)
    row("vit_b_16: query all layers", vit["query"], target=10)
    row("vit_b_16: dampen all weights", vit["dampen"], against=vit["clone"], name="clone()", remark="read 1, write 1")
    row("vit_b_16: dampen all weights", vit["dampen"], target=2.5, against=vit["addcmul"],
        name="torch.addcmul(θ, I_f, I_D)", remark="read 3, write 1: the memory-bound yardstick")
    row("vit_b_16: dampen, a weight in a hundred unused", vit["unused"], against=vit["addcmul"],
        name="torch.addcmul(θ, I_f, I_D)", remark="0 / 0 takes a further pass")


def large_child(what: str, repeats: int) -> dict[str, list[float]]:
    """One size in a process of its own, so that its peak memory is its own."""
    generator = torch.Generator().manual_seed(0)
    if what == "vit_b_16":
        import torchvision

        weights = {n: p.detach() for n, p in torchvision.models.vit_b_16(weights=None).named_parameters()}
    else:
        counts = np.diff(np.linspace(0, int(what), 62 + 1).astype(int))
        weights = {f"layer{i}": torch.randn(n, generator=generator) for i, n in enumerate(counts.tolist())}
    forget, reference = ({n: torch.empty_like(p).log_normal_(generator=generator) for n, p in weights.items()}
                         for _ in range(2))
    Path("/proc/self/clear_refs").write_text("5")  # begin the peak afresh
    before = peak()
    index = build_index(weights, forget, reference)
    memory = peak() - before
    alphas = np.geomspace(0.1, 100, 50 * repeats)
    query = [timed(partial(index.query, float(alpha), 1.0)) for alpha in alphas]
    kept = float(index.nbytes / sum(index.sizes))
    del index
    unused = [{n: torch.where(torch.arange(v.numel()).view_as(v) % 100 == 0, 0, v) for n, v in part.items()}
              for part in (forget, reference)]
    sides = in_turns(repeats, {
        "dampen": lambda: dampen(weights, forget, reference, 4.0, 1.0),
        "unused": lambda: dampen(weights, *unused, 4.0, 1.0),
        "clone": lambda: {n: p.clone() for n, p in weights.items()},
        "addcmul": lambda: {n: torch.addcmul(p, forget[n], reference[n]) for n, p in weights.items()}})
    build, used = [], []
    for _ in range(repeats):
        before = time.process_time()
        build.append(timed(lambda: build_index(weights, forget, reference)))
        used.append(time.process_time() - before)
    return {"build": build, "cpu": used, "query": query, "memory": [memory], "bytes": [kept], **sides}


def growth(repeats: int, huge: bool) -> None:
    """How time and memory grow with parameters, classes, images and layers, one axis at a time."""
    few = max(3, repeats // 5)
    for axis, sizes in AXES.items():
        sizes = tuple(size for size in sizes if size < 10**8 or huge)
        found = {}
        for size in sizes:
            result = subprocess.run([sys.executable, "-m", "tools.growth", axis, str(size), str(few)], cwd=ROOT,
                                    check=True, capture_output=True, text=True)
            found[size] = json.loads(result.stdout.splitlines()[-1])
        for what, expected in EXPECTED.items():
            values = [median(found[size][what]) * (1 if what == "memory" else 1000) for size in sizes]
            logs = np.log10([sizes, np.maximum(values, 1e-6)])
            slope, last = np.polyfit(*logs, 1)[0], np.diff(logs[1])[-1] / np.diff(logs[0])[-1]
            unit = "MB" if what == "memory" else "ms"
            steps = ", ".join(f"{size:,}: {short(v)} {unit}" for size, v in zip(sizes, values, strict=True))
            row(f"{what} against {axis}: exponent", [float(slope)], "",
                remark=f"last step {last:.2f}; expected {expected[axis]}; {steps}")
