"""How the cost of a subject of one's own grows: `python -m tools.growth_own`, from the root; some minutes on one core.

Pictures are made up on the spot. Each step of each size is measured in a process of its own, on one thread, in
processor seconds: other work on the machine delays it and hardly changes its number. The table, and what grows by how
much, are printed as they stand in docs/scaling.md.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tools.growth import peak
from unlearn_core.nets.request import Request
from unlearn_core.progress import silent
from unlearn_core.serving.choice import choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.judgement import audit
from unlearn_core.subjects import own
from unlearn_core.subjects.subject import FOLDER, bundled, subjects


@dataclass(frozen=True)
class Case:
    """A folder to be made; a fifth of each class becomes its test pictures."""

    images: int = 2_000
    classes: int = 10
    size: int = 32
    architecture: str = "small-resnet"


IMAGES = tuple(Case(images=number) for number in (1_000, 2_000, 5_000, 10_000))
CLASSES = tuple(Case(images=4_000, classes=number) for number in (2, 10, 100, 1_000))
WEIGHTS = (Case(500), Case(500, architecture="shufflenet_v2_x1_0"), Case(500, architecture="resnet18"))
LARGE = Case(60, 2, 224, "resnet18"), Case(12, 2, 224, "vit_b_16")
COSTS = {"check": "`check`", "prepare": "`prepare`, one epoch", "first": "first answer", "look": "first look",
         "release": "release", "verdict": "verdict"}
STEPS = ("check", "prepare", "play")


def make(folder: Path, case: Case) -> None:
    """A folder of coloured pictures: each class has a colour and a place, each picture noise of its own."""
    rng = np.random.default_rng(0)
    for number in range(case.images):
        label = number % case.classes
        look = np.random.default_rng(label)
        pixels = rng.integers(0, 120, (case.size, case.size, 3), np.uint8)
        top, left = look.integers(0, case.size * 3 // 4, 2)
        pixels[top:top + case.size // 4, left:left + case.size // 4] += look.integers(40, 136, 3, np.uint8)
        file = folder / "data" / f"class {label:04}" / f"{number:06}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    (folder / "subject.toml").write_text(f'title = "Growth"\nabout = "made-up pictures"\narchitecture = '
                                         f'"{case.architecture}"\n[recipe]\nepochs = 1\n', "utf-8")


def measure(step: str, folder: Path) -> dict[str, float]:
    """Processor seconds of each cost of a step, and the peak of memory in MB."""
    torch.set_num_threads(1)
    os.environ[FOLDER] = str(folder.parent)
    Path("/proc/self/clear_refs").write_text("5")  # begin the peak afresh
    found: dict[str, float] = {}

    def timed(name: str, work: Callable[[], object]) -> object:
        begun = time.process_time()
        answer = work()
        found[name] = time.process_time() - begun
        return answer

    if step == "check":
        assert timed("check", lambda: own.check(folder)) == []
    elif step == "prepare":
        timed("prepare", lambda: own.prepare(folder, silent, own.Estimate(1, 1.0, 1.0, 1.0, 0.0, 0)))
    else:
        engine = Engine()

        def first() -> object:
            [name] = set(subjects()) - set(bundled())
            alpha = min(4.0, 0.4 * len(subjects()[name].classes))  # where something is selected
            chosen = choice(name, Request((0,)), "ssd", {"alpha": alpha})
            scene = engine.prepare(chosen, silent)
            return scene, chosen, engine.compute(scene, chosen, silent)

        scene, chosen, settled = timed("first", first)
        other = choice(chosen.network, chosen.forget, "ssd", {"alpha": dict(chosen.settings)["alpha"] / 2})
        begun, looks = time.process_time(), list[float]()

        def progress(share: float, note: str) -> None:
            if engine.glimpse(other) is not None:
                looks.append(time.process_time() - begun)

        timed("release", lambda: engine.compute(scene, other, progress))
        found["look"] = looks[0] if looks else found["release"]  # all in one go
        timed("verdict", lambda: audit(engine, scene, settled))
        assert settled.answers is not None and settled.answers.selected.any(), "nothing was forgotten"
        found["weights"] = float(scene.sizes.sum())
        engine.pool.close()
    return found | {f"memory {step}": peak()}


def run(case: Case) -> dict[str, float]:
    """All steps of a case, each in a fresh process."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place:
        make(Path(place) / "growth", case)
        for step in STEPS:
            with get_context("fork").Pool(1) as pool:  # it has imported everything and computed nothing
                found |= pool.apply(measure, (step, Path(place) / "growth"))
    return found


def row(case: Case, found: dict[str, float]) -> str:
    """A row of the table."""
    seconds = (f"{found[name]:.{2 if found[name] < 1 else 1 if found[name] < 10 else 0}f} s" for name in COSTS)
    cells = [f"{case.images:,}", f"{case.classes:,}", f"{case.architecture}, {found['weights'] / 1e6:.2g} M",
             f"{case.size}", *seconds, *(f"{found[f'memory {step}']:,.0f} MB" for step in STEPS)]
    return f"| {' | '.join(cells)} |"


def growth(sizes: list[int], found: list[dict[str, float]]) -> str:
    """The straight line through each cost, and how far it is off at most."""
    said = []
    for name in (*COSTS, *(f"memory {step}" for step in STEPS)):
        values = np.array([one[name] for one in found])
        slope, start = np.polyfit(sizes, values, 1)
        off = np.abs(values - (start + slope * np.array(sizes))).max() / values.max()
        unit = "s" if name in COSTS else "MB"
        said.append(f"| {COSTS.get(name, name)} | {start:.3g} {unit} | {1000 * slope:.3g} {unit} | {off:.0%} |")
    return "\n".join(said)


def main() -> None:
    """Measure every case and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="the networks at 224 pixels alone")
    large = parser.parse_args().large
    known: dict[Case, dict[str, float]] = {}
    print(f"| images | classes | network, weights | pixels | {' | '.join(COSTS.values())} | memory of `check` | of "
          f"`prepare` | of the app's engine |\n|{'---|' * (4 + len(COSTS) + len(STEPS))}", flush=True)
    for case in LARGE if large else (*IMAGES, *CLASSES, *WEIGHTS, *LARGE):
        if case not in known:
            known[case] = run(case)
            print(row(case, known[case]), flush=True)
    for cases, axis in () if large else ((IMAGES, "images"), (CLASSES, "classes")):
        print(f"\n| | at none | for each thousand {axis} | off by at most |\n|---|---|---|---|")
        print(growth([getattr(case, axis) for case in cases], [known[case] for case in cases]))


if __name__ == "__main__":
    main()
