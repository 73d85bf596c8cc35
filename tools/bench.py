"""The benchmark: `make bench`, or `python -m tools.bench [core] [methods] [large] [growth] [browser]` from the root.

Both sides of every ratio run in turns within one run; numbers are medians, ratios are ratios of those medians.
All samples go to build/bench.json together with a description of the machine.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tools.growth import AXES, EXPECTED, peak
from unlearn_core.audit.gauges import read_gauges
from unlearn_core.measure.dampening import build_index, dampen
from unlearn_core.measure.estimator import Estimator
from unlearn_core.measure.importance import batch_indices, importance
from unlearn_core.measure.task import Task, measure
from unlearn_core.methods import METHODS, method
from unlearn_core.methods.base import one_thread
from unlearn_core.nets.evaluate import outputs
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import Request
from unlearn_core.progress import silent
from unlearn_core.serving.choice import choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.grid import ALPHAS, LAMBDAS
from unlearn_core.subjects.subject import bundled, subject

ROOT = Path(__file__).parent.parent
UNITS = {"ms": 1e3, "s": 1.0}
NETWORKS = tuple(bundled("fashion-mnist"))
SIZES = (10**5, 10**6, 10**7)  # weights
LARGEST = "vit_b_16"

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

machine: dict[str, object] = {}


@dataclass
class Row:
    """One line of the table. A target bounds the ratio where there is one, else the median."""

    what: str
    median: float
    unit: str
    n: int
    target: float | None
    ratio: float | None
    remark: str
    samples: list[float] = field(repr=False)

    def cells(self) -> tuple[str, ...]:
        """What the table shows."""
        judged, sign = (self.median, f" {self.unit}") if self.ratio is None else (self.ratio, "×")
        target = "" if self.target is None else f"≤ {self.target:g}{sign}"
        met = "" if self.target is None else "met" if judged <= self.target else "MISSED"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}× "
        return self.what, f"{short(self.median)} {self.unit}", target, met, str(self.n), ratio + self.remark


rows: list[Row] = []


def short(value: float) -> str:
    """Three digits."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def row(what: str, seconds: list[float], unit: str = "ms", *, target: float | None = None, remark: str = "",
        against: list[float] | None = None, name: str = "", summary: Callable[[list[float]], float] = median) -> None:
    """Add a line; durations come in seconds. `against` is the other side of a ratio, called `name`."""
    scale, ratio = UNITS.get(unit, 1.0), None
    if against is not None:
        ratio = median(seconds) / median(against)
        remark = f"of {name} ({short(median(against) * scale)} {unit})" + f"; {remark}" * bool(remark)
    samples = [value * scale for value in seconds]
    rows.append(Row(what, float(summary(samples)), unit, len(samples), target, ratio, remark, samples))
    print(f"  {what}: {' | '.join(rows[-1].cells()[1:])}", flush=True)


def timed(work: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(repeats: int, sides: Mapping[str, Callable[[], object]], warm: bool = True) -> dict[str, list[float]]:
    """Seconds of every side; a round runs each side once, and each round begins with another side."""
    names = list(sides)
    for name in names * warm:
        sides[name]()
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(repeats):
        for name in names[turn % len(names):] + names[:turn % len(names)]:
            samples[name].append(timed(sides[name]))
    return samples


# ------------------------------------------------------------------------------------------------------------ core


def plain_forward(model: nn.Module, pixels: Tensor, size: int, half: bool) -> Tensor:
    """The plainest forward pass."""
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        return torch.cat([model(part) for part in pixels.split(size)])


def plain_backward(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> None:
    """One forward and backward pass over the batches, as training would do it, without a step."""
    for images, labels in batches:
        model.zero_grad()
        F.cross_entropy(model(images), labels).backward()


def plain_ssd(model: nn.Module, train: ImageSet, request: Request, alpha: float, lam: float) -> dict[str, Tensor]:
    """SSD as published: two passes over class-sorted batches of 64, the forget set's first, then dampening."""
    found = []
    for positions in (request.split(train)[0], torch.arange(len(train))):
        groups = batch_indices(train.labels[positions], 64, "class_sorted", last=request.classes)
        sums = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
        for group in (positions[g] for g in groups):
            model.zero_grad()
            F.cross_entropy(model(train.pixels(group)), train.labels[group]).backward()
            for name, p in model.named_parameters():
                if p.grad is not None:
                    sums[name] += p.grad.detach() ** 2 / len(groups)
        found.append(sums)
    forget, everything = found
    result = {name: p.detach().clone() for name, p in model.named_parameters()}
    for name, weights in result.items():
        where = torch.where(forget[name] > alpha * everything[name])
        weights[where] *= (lam * everything[name] / forget[name])[where].clamp(max=1)
    return result


def core(repeats: int) -> None:
    """Evaluation, importances, SSD and the engine, for both bundled networks; then warm-up."""
    engine, few = Engine(), max(1, repeats // 5)
    for network in NETWORKS:
        passes(engine, network, repeats)
        ssd(engine, network, few)
        answers(engine, network, repeats)
    warm_up(few)


def passes(engine: Engine, network: str, repeats: int) -> None:
    """Passes over the images, each against the plain one."""
    base, train, request = engine.base(network), engine.base(network).subject.images.train, Request((0,))
    pixels = base.pixels
    plain = {f"{'bf16 autocast' if half else 'float32'}, batches of {size}":
             partial(plain_forward, base.model, pixels, size, half)
             for half in (False, True) for size in (64, 125, 250, 500)}
    times = in_turns(repeats, {"ours": lambda: outputs(base.model, pixels), **plain})
    for kind, among in (("any precision", plain), ("float32, as ours", [n for n in plain if n.startswith("float32")])):
        best = min(among, key=lambda name: median(times[name]))
        row(f"{network}: evaluate {len(pixels):,} images", times["ours"], against=times[best], name=f"plain {best}",
            remark=f"the fastest of {len(among)}, {kind}")

    copied = copy.deepcopy(base.model)  # the plain side leaves gradients behind
    forget = request.split(train)[0]
    for unit, size in (("per_sample", 125), ("batch_mean", 64)):
        batches = [(train.pixels(part), train.labels[part]) for part in forget.split(size)]
        estimator = Estimator("cross_entropy", unit)  # type: ignore[arg-type]
        times = in_turns(repeats, {"ours": partial(importance, base.model, batches, estimator),
                                   "plain": partial(plain_backward, copied, batches)})
        row(f"{network}: {unit} importance, {len(forget):,} images", times["ours"], target=2, against=times["plain"],
            name="plain forward + backward", remark=f"batches of {size}")


def ssd(engine: Engine, network: str, repeats: int) -> None:
    """SSD from request to outcome against the published procedure."""
    base, request, found = engine.base(network), Request((0,)), method("ssd")
    model, train = base.model, base.subject.images.train
    default, kept, copied = found.settings(), {}, copy.deepcopy(model)
    # The paper's alpha of 10 selects no weight of these networks: comparing outcomes would prove nothing.
    official = found.settings({**found.presets["official"].settings, "alpha": 3.0})

    def run(side: str) -> None:
        with one_thread():  # as methods run
            kept[side] = plain_ssd(copied, train, request, 3.0, 1.0) if side == "plain" else found.run(
                Task(model, train, request, subject(network).importances if side == "shipped" else measure),
                official if side == "official" else default, silent).parameters

    sides = ("plain", "official", "default", "shipped")
    times = in_turns(repeats, {side: partial(run, side) for side in sides}, warm=False)
    pairs = [(p.detach(), kept["plain"][name], kept["official"][name]) for name, p in model.named_parameters()]
    changed = [sum(int((new[k] != new[0]).sum()) for new in pairs) for k in (1, 2)]
    apart = max(float((plain - ours).abs().max()) for _, plain, ours in pairs)
    if not min(changed):
        raise RuntimeError(f"SSD on {network} changed {changed} weights: nothing was compared")
    same = f"same batches; {changed[1]:,} (plain {changed[0]:,}) weights changed, outcomes at most {apart:.1g} apart"
    for side, what, remark in (("official", "official preset, α = 3, measured", same),
                               ("default", "per-sample default, measured", "same images"),
                               ("shipped", "per-sample default, reference shipped", "only the forget set is measured")):
        row(f"{network}: SSD, {what}", times[side], "s", against=times["plain"], name="the plain one", remark=remark)


def answers(engine: Engine, network: str, repeats: int) -> None:
    """What a visitor's choices cost behind the page."""
    base, evaluation = engine.base(network), subject(network).evaluation
    scene = engine.scene(choice(network, (0,), "ssd", {})).result()
    new = iter(choice(network, (0,), "ssd", {"alpha": float(alpha)}) for alpha in np.geomspace(1, 8, repeats + 2))
    engine.settle(scene, next(new)).result()
    fresh, known = [], []
    for chosen in list(new)[:repeats]:
        fresh.append(timed(lambda: engine.settle(scene, chosen).result()))  # noqa: B023
        known.append(timed(lambda: engine.settle(scene, chosen).result()))  # noqa: B023
    row(f"{network}: settle, fresh α", fresh)
    row(f"{network}: settle, known", known)
    cold = [timed(lambda: engine.scene(choice(network, (label,), "ssd", {})).result())  # noqa: B023
            for label in range(1, min(repeats, 9) + 1)]
    row(f"{network}: scene of a new class, cold", cold, remark="a class each; network and data loaded")
    below = cycle([i * len(LAMBDAS) + j for j in range(len(LAMBDAS)) for i, a in enumerate(ALPHAS) if a < 8])
    row(f"{network}: landscape point", in_turns(repeats, {"": lambda: engine.point(scene, next(below))})[""],
        remark="points with α < 8; above 1/ρ = 10 nothing is evaluated")
    outcome = method("ssd").run(scene.task, method("ssd").settings(), silent)
    after = outputs(base.model, base.pixels, outcome.parameters)
    parts = in_turns(repeats, {
        "place": lambda: base.feature_map.place(after.features),
        "gauges": lambda: read_gauges(after, evaluation.labels, evaluation.member, scene.seen.forgotten)})
    row(f"{network}: place {len(after.features):,} points on the map", parts["place"])
    row(f"{network}: three gauges with intervals", parts["gauges"])


WARM_UP = """
import time; start = time.perf_counter()
import gc, json, sys
from ui.server.warmup import DEFAULT, engine, warm_up
from unlearn_core.serving.choice import choice
from unlearn_core.subjects.subject import bundled, subject
from unlearn_core.subjects.fashion import fashion_mnist
imported = time.perf_counter(); warm_up(); warm = time.perf_counter()
def collect():
    start = time.perf_counter(); gc.collect(); return time.perf_counter() - start
found, scene = [], engine().scene(DEFAULT).result()
for alpha in (1.5, 2, 2.5, 3, 3.5):
    engine().settle(scene, choice("small-resnet", (0,), "ssd", {"alpha": alpha})).result()
    found.append(collect())
frozen = gc.get_freeze_count(); gc.unfreeze()
print(json.dumps({"imports": imported - start, "warm_up": warm - imported, "gc": found, "frozen": frozen,
                  "thawed": [collect() for _ in range(5)],
                  "heavy": [name for name in ("umap", "numba") if name in sys.modules]}))
"""


def warm_up(repeats: int) -> None:
    """Imports and warm-up of a fresh process, and a garbage collection after a release."""
    found = [json.loads(subprocess.run([sys.executable, "-c", WARM_UP], cwd=ROOT, check=True, capture_output=True,
                                       text=True).stdout.splitlines()[-1]) for _ in range(repeats)]
    heavy = ", ".join(found[0]["heavy"]) or "neither umap nor numba"
    row("imports + warm-up", [one["imports"] + one["warm_up"] for one in found], "s", target=8, remark="target with "
        f"server start; imports {median(one['imports'] for one in found):.2g} s; {heavy} in sys.modules")
    row("gc.collect() after a fresh outcome", [t for one in found for t in one["gc"]], target=20,
        remark=f"{found[0]['frozen']:,} objects frozen; without freezing "
               f"{short(1e3 * median(t for one in found for t in one['thawed']))} ms; no Streamlit session")


# --------------------------------------------------------------------------------------------------------- methods


def methods(repeats: int) -> None:
    """Every method at its defaults on the ResNet, one class, in turns with one true retraining."""
    engine, few = Engine(), max(1, repeats // 5)
    scenes = {name: engine.prepare(choice("small-resnet", (1,), name, {}), silent) for name in METHODS}
    todo = {name: partial(found.run, scenes[name].task, found.settings(), silent)
            for name, found in METHODS.items() if name != "retrain"}
    retraining = [timed(partial(METHODS["retrain"].run, scenes["retrain"].task, METHODS["retrain"].settings(), silent))]
    times = in_turns(few, todo, warm=False)
    row("true retraining", retraining, "s")
    for name, found in METHODS.items():
        if name in times:
            target = None if found.family == "baseline" else 1.0 if found.family == "dampening" else 5.0
            cold = "importances of the class at hand; " if found.importance else ""
            share = median(times[name]) / median(retraining)
            row(f"{found.title}", times[name], "s", target=target, remark=f"{cold}{share:.2g} of one retraining")
    fresh = [timed(partial(cold_ssd, label)) for label in range(2, 2 + few)]
    row("SSD, nothing measured of the class yet", fresh, "s", target=1.0, remark="reference importance shipped")
    row("SSD in the app, another class", [timed(partial(engine.prepare, choice("small-resnet", (label,), "ssd", {}),
                                                        silent)) for label in range(2, 2 + few)],
        remark="importances of each class shipped; without the evaluation")


def cold_ssd(label: int) -> None:
    """SSD on a class that has just asked to be forgotten."""
    model, train = subject("small-resnet").original(), subject("small-resnet").images.train
    METHODS["ssd"].run(Task(model, train, Request((label,)), subject("small-resnet").importances), {}, silent)


# ----------------------------------------------------------------------------------------------------------- large


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


# ---------------------------------------------------------------------------------------------------------- growth


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


# --------------------------------------------------------------------------------------------------------- browser

PAGE = """(() => {
  const find = (id, root = document) => root.querySelector(`[data-testid="${id}"]`) ??
    [...root.querySelectorAll("*")].reduce((hit, e) => hit ?? (e.shadowRoot && find(id, e.shadowRoot)), null);
  const bench = (window.bench = { first: {}, gaps: [] });
  const look = () => {
    if (find("pad")?.dataset.value) bench.first.pad ??= performance.now();
    if (find("gauge-forget")?.dataset.exact === "true") bench.first.exact ??= performance.now();
    if (!bench.first.exact || !bench.first.pad) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
  bench.arm = () => {
    let released = 0;
    bench.done = {};
    addEventListener("pointerup", (event) => (released = event.timeStamp), { capture: true, once: true });
    for (const id of ["gauge-forget", "after"]) {
      const element = find(id);
      new MutationObserver((_, observer) => {
        if (!released || element.dataset.exact !== "true") return;
        bench.done[id] = performance.now() - released;
        observer.disconnect();
      }).observe(element, { attributes: true, attributeFilter: ["data-exact"] });
    }
  };
  bench.drag = () => {
    window.__lacunaMeasure = bench.dragging = true;
    window.__lacunaFrames = [];
    let last = performance.now();
    const tick = (now) => (bench.gaps.push(now - last), (last = now), bench.dragging && requestAnimationFrame(tick));
    requestAnimationFrame((now) => ((last = now), requestAnimationFrame(tick)));
  };
})()"""


def browser(repeats: int) -> None:
    """What a visitor waits for, in a real Chromium."""
    from playwright.sync_api import sync_playwright

    from tests.conftest import CHROMIUM, FLAGS, start_server

    if CHROMIUM is None:
        print("  chromium is not on PATH: skipped")
        return
    few, cold = max(1, repeats // 5), []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        machine["chromium"] = f"{chromium.version}, headless, software rendering (--disable-gpu)"
        for _ in range(few):
            start = time.time()
            server, address = start_server({})
            try:
                seen = visit(new_page(chromium), address)
                cold.append((seen["origin"] + max(seen["pad"], seen["exact"])) / 1e3 - start)
                if len(cold) == few:
                    row("cold server start → pad drawn, gauges exact", cold, "s", target=8, remark="browser running")
                    at_rest(server.pid)
                    warm_server(chromium, address, repeats)
            finally:
                server.kill()
                server.wait()
        chromium.close()


def warm_server(chromium: Browser, address: str, repeats: int) -> None:
    """All that is measured on one server that is warm."""
    pages = [new_page(chromium) for _ in range(repeats)]
    for what, visits in (("new visitor, empty cache", [visit(page, address) for page in pages]),
                         ("further tab, same browser", [visit(pages[0].context.new_page(), address) for _ in pages])):
        row(f"warm server, {what}: pad drawn", [v["pad"] / 1e3 for v in visits], "s")
        row(f"warm server, {what}: gauges exact", [v["exact"] / 1e3 for v in visits], "s", target=2)
    for page in pages:
        page.context.close()
    compared = [comparison(new_page(chromium), address) for _ in range(max(1, repeats // 3))]
    row("warm server, Compare page: all charts and the table", compared, "s", target=2)
    drags(new_page(chromium), address, max(1, repeats // 5))
    for network, known, fresh in (("small-resnet", 100, 300), ("small-vit", 100, 600)):
        if network in NETWORKS:
            releases(new_page(chromium), address, network, {"fresh": fresh, "known": known}, repeats)


def at_rest(pid: int) -> None:
    """Wait until a process has used next to no processor time for two seconds."""
    used, before = -1.0, -9.0
    while used - before > 0.1:
        time.sleep(2)
        parts = Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()
        used, before = sum(map(int, parts[11:13])) / os.sysconf("SC_CLK_TCK"), used


def new_page(chromium: Browser) -> Page:
    """A page of a browser that was never here."""
    page: Page = chromium.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=True).new_page()
    return page


def visit(page: Page, address: str) -> dict[str, float]:
    """Milliseconds from the start of the navigation, taken inside the page, and when that start was."""
    page.add_init_script(PAGE)
    page.goto(address, wait_until="commit")
    page.wait_for_function("bench.first.exact && bench.first.pad", timeout=120_000)
    found: dict[str, float] = page.evaluate("({ ...bench.first, origin: performance.timeOrigin })")
    return found


def comparison(page: Page, address: str) -> float:
    """Seconds until the Compare page has drawn its trade-off, its table and its last chart."""
    start = time.perf_counter()
    page.goto(f"{address}/compare", wait_until="commit")
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 12 && "
                           "document.querySelector('[data-testid=stDataFrame] canvas')", timeout=60_000)
    took = time.perf_counter() - start
    page.context.close()
    return took


def on_pad(page: Page, u: float, v: float) -> tuple[float, float]:
    """Page coordinates of a place on the pad."""
    box = page.locator('[data-testid="pad"]').bounding_box()
    assert box
    return box["x"] + u * box["width"], box["y"] + v * box["height"]


def drags(page: Page, address: str, repeats: int) -> None:
    """Frames while the ring on the pad is dragged by 150 mouse moves."""
    visit(page, address)
    frames: list[float] = []
    gaps: list[float] = []
    for _ in range(repeats):
        page.wait_for_timeout(1500)
        path = [on_pad(page, 0.5 + 0.4 * math.sin(k / 12), 0.42 + 0.3 * math.sin(k / 7)) for k in range(150)]
        page.mouse.move(*path[0])
        page.mouse.down()
        page.evaluate("bench.drag()")
        for place in path:
            page.mouse.move(*place)
        page.evaluate("bench.dragging = false")
        page.mouse.up()
        frames += page.evaluate("window.__lacunaFrames")
        gaps += page.evaluate("bench.gaps.splice(0)")
    page.context.close()
    for share in (50, 95):
        row(f"drag: script of a frame, p{share}", [f / 1e3 for f in frames], target=16 if share == 95 else None,
            summary=partial(np.percentile, q=share), remark=f"{repeats} drags of 150 moves, 2,000 points; our drawing")
        row(f"drag: frame to frame, p{share}", [g / 1e3 for g in gaps], summary=partial(np.percentile, q=share),
            remark="requestAnimationFrame, with software rasterising; 60 Hz is 16.7 ms")


def releases(page: Page, address: str, network: str, targets: dict[str, int], repeats: int) -> None:
    """From the release of the pad to exact gauges, at fresh points, then at the same points again."""
    visit(page, f"{address}/?network={network}")
    # Where weights are selected (alpha from 0.3 to 8); an additive recurrence keeps neighbours in time apart.
    places = [(0.22 + 0.38 * (0.755 * k % 1), 0.12 + 0.65 * (0.57 * k % 1)) for k in range(repeats + 1)]
    for kind, target in targets.items():
        found = []
        for place in places:
            page.wait_for_timeout(1500)  # the page has come to rest
            page.evaluate("bench.arm()")
            page.mouse.click(*on_pad(page, *place))  # the verdict above the pad may have moved it by a line
            page.wait_for_function("bench.done['gauge-forget'] && bench.done.after", timeout=60_000)
            found.append(page.evaluate("bench.done"))
        del found[0]  # the page's first release also meets code that was never run
        row(f"{network}: release → exact gauges, {kind} point", [f["gauge-forget"] / 1e3 for f in found],
            target=target, remark=f"exact map after {median(f['after'] for f in found):.0f} ms")
    page.context.close()


# ------------------------------------------------------------------------------------------------------------ main

def describe_machine() -> None:
    """What the numbers were measured on."""
    cpu = [line.split(": ")[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine.update(
        date=time.strftime("%Y-%m-%d %H:%M:%S"), commit=commit.stdout.strip(), processor=", ".join(sorted(set(cpu))),
        cores=os.cpu_count(), threads=torch.get_num_threads(), memory_gib=round(memory, 1), system=platform.platform(),
        python=platform.python_version(), torch=torch.__version__, numpy=np.__version__,
        omp_wait_policy=os.environ.get("OMP_WAIT_POLICY", "not set"), load_at_start=os.getloadavg())


def main() -> None:
    """Run the chosen sections, print the table, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION",
                        help="core, methods, large, growth, browser; default: all")
    parser.add_argument("--repeats", type=int, default=15, help="of short measurements; long ones run a fifth as often")
    parser.add_argument("--huge", action="store_true", help="also 1e8 weights (8 GB of memory)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench.json")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(2)
    if given.child:
        print(json.dumps(large_child(given.child, given.repeats)))
        return
    known: dict[str, Callable[[int], None]] = {
        "core": core, "methods": methods, "large": partial(large, huge=given.huge),
        "growth": partial(growth, huge=given.huge), "browser": browser}
    if unknown := set(given.sections) - set(known):
        parser.error(f"sections are {', '.join(known)}, got {', '.join(sorted(unknown))}")
    describe_machine()
    for section in given.sections or known:
        print(section, flush=True)
        known[section](given.repeats)
    machine["load_at_end"] = os.getloadavg()
    table = [("what", "median", "target", "", "n", "ratio, remark"), *(one.cells() for one in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    for line in table:
        print("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip())
    print("\n" + "\n".join(f"{key}: {value}" for key, value in machine.items()))
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps({"machine": machine, "rows": [asdict(one) for one in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
