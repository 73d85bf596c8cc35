"""The benchmark: `make bench`, or `python -m tests.bench [core] [large] [browser]` from the repository's root.

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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearn_core import zoo
from unlearn_core.audit.gauges import read_gauges
from unlearn_core.dampening import build_index, dampen
from unlearn_core.data import ImageSet
from unlearn_core.engine import ALPHAS, LAMBDAS, Engine, choice
from unlearn_core.evaluate import outputs
from unlearn_core.importance import Estimator, Importance, batch_indices, importance
from unlearn_core.methods import method
from unlearn_core.progress import Progress, silent
from unlearn_core.scenario import Scenario
from unlearn_core.task import Measurement, Task, measure

ROOT = Path(__file__).parent.parent
LAYERS = 62
UNITS = {"ms": 1e3, "s": 1.0}


@dataclass
class Row:
    """One line of the table.

    Attributes:
        median: of the samples, in `unit`.
        target: at most this, of the ratio where there is one, else of the median.
        ratio: the median over that of the other side.
    """

    what: str
    median: float
    unit: str
    samples: list[float] = field(repr=False)
    target: float | None = None
    ratio: float | None = None
    remark: str = ""

    def cells(self) -> tuple[str, ...]:
        """What the table shows."""
        sign = "×" if self.ratio is not None else f" {self.unit}"
        target = "" if self.target is None else f"≤ {self.target:g}{sign}"
        judged = self.median if self.ratio is None else self.ratio
        met = "" if self.target is None else "met" if judged <= self.target else "MISSED"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}× "
        number = f"{self.median:.0f}" if self.median >= 100 else f"{self.median:.3g}"
        return (self.what, f"{number} {self.unit}", target, met, str(len(self.samples)), ratio + self.remark)


rows: list[Row] = []


def row(what: str, seconds: list[float], unit: str = "ms", *, target: float | None = None,
        against: list[float] | None = None, name: str = "", remark: str = "") -> None:
    """Add a measured line; durations come in seconds. `against` is the other side of a ratio, called `name`."""
    samples = [value * UNITS.get(unit, 1.0) for value in seconds]
    ratio = None
    if against is not None:
        ratio = median(seconds) / median(against)
        remark = f"of {name} ({median(against) * UNITS[unit]:.3g} {unit}); {remark}".removesuffix("; ")
    rows.append(Row(what, median(samples), unit, samples, target, ratio, remark))
    print(f"  {what}: {' | '.join(rows[-1].cells()[1:])}", flush=True)


def timed(work: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(repeats: int, sides: Mapping[str, Callable[[], object]], warm: bool = True) -> dict[str, list[float]]:
    """Seconds of every side; a round runs each side once, and each round begins with another side."""
    names = list(sides)
    if warm:
        for work in sides.values():
            work()
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


def plain_ssd(model: nn.Module, train: ImageSet, scenario: Scenario, alpha: float, lam: float) -> dict[str, Tensor]:
    """SSD as published: two passes over class-sorted batches of 64, the forget set's first, then dampening."""
    found = []
    for positions in (scenario.split(train.labels)[0], torch.arange(len(train))):
        groups = batch_indices(train.labels[positions], 64, "class_sorted", last=scenario.forget_classes)
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
    few = max(1, repeats // 5)
    engine = Engine()
    for network in zoo.TITLES:
        evaluation_and_importances(engine, network, repeats)
        ssd(engine, network, few)
        engine_answers(engine, network, repeats)
    warm_up(few)


def evaluation_and_importances(engine: Engine, network: str, repeats: int) -> None:
    """Passes over the images, each against the plain one."""
    base, train, scenario = engine.base(network), engine.images[0], Scenario((0,))
    pixels = base.pixels
    plain = {f"{'bf16 autocast' if half else 'float32'}, batches of {size}":
             partial(plain_forward, base.model, pixels, size, half)
             for half in (False, True) for size in (64, 125, 250, 500)}
    times = in_turns(repeats, {"ours": lambda: outputs(base.model, pixels), **plain})
    best = min(plain, key=lambda name: median(times[name]))
    same = min((name for name in plain if name.startswith("float32")), key=lambda name: median(times[name]))
    row(f"{network}: evaluate {len(pixels):,} images", times["ours"], against=times[best], name=f"plain {best}",
        remark="the fastest of 8; " + (f"best float32: {same}, {median(times[same]) * 1e3:.3g} ms" * (same != best)))

    copied = copy.deepcopy(base.model)  # the plain side leaves gradients behind
    forget = scenario.split(train.labels)[0]
    for unit, size in (("per_sample", 125), ("batch_mean", 64)):
        batches = [(train.pixels(part), train.labels[part]) for part in forget.split(size)]
        estimator = Estimator("cross_entropy", unit)  # type: ignore[arg-type]
        times = in_turns(repeats, {"ours": partial(importance, base.model, batches, estimator),
                                   "plain": partial(plain_backward, copied, batches)})
        row(f"{network}: {unit} importance, {len(forget):,} images", times["ours"], target=2, against=times["plain"],
            name="plain forward + backward", remark=f"batches of {size}")


def shipped(network: str, model: nn.Module, train: ImageSet, scenario: Scenario, wanted: Measurement,
            progress: Progress) -> Importance:
    """Importances as the app has them: the reference is bundled, the forget set is measured."""
    if wanted.part == "all":
        return zoo.reference_importance(network, wanted.estimator.loss)
    return measure(model, train, scenario, wanted, progress)


def ssd(engine: Engine, network: str, repeats: int) -> None:
    """SSD from request to outcome against the published procedure."""
    model, train, scenario, found = engine.base(network).model, engine.images[0], Scenario((0,)), method("ssd")
    official = found.settings(found.presets["official"].settings)
    copied, kept = copy.deepcopy(model), {}

    def plain() -> None:
        kept["plain"] = plain_ssd(copied, train, scenario, float(official["alpha"]), float(official["lambda"]))

    def ours() -> None:
        kept["ours"] = found.run(Task(model, train, scenario), official, silent).parameters

    default = found.settings()
    times = in_turns(repeats, {
        "plain": plain, "official": ours,
        "default": lambda: found.run(Task(model, train, scenario), default, silent),
        "shipped": lambda: found.run(Task(model, train, scenario, partial(shipped, network)), default, silent),
    }, warm=False)
    apart = max(float((kept["plain"][name] - kept["ours"][name]).abs().max()) for name in kept["plain"])
    for side, what, remark in (
            ("official", "measured, official preset", f"same batches; weights differ by at most {apart:.1g}"),
            ("default", "measured, per-sample default", "same images"),
            ("shipped", "default, reference importance shipped", "same images; only the forget set is measured")):
        row(f"{network}: SSD, {what}", times[side], "s", against=times["plain"], name="the plain procedure",
            remark=remark)


def engine_answers(engine: Engine, network: str, repeats: int) -> None:
    """What a visitor's choices cost behind the page."""
    base, evaluation = engine.base(network), engine.evaluation
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
        "gauges": lambda: read_gauges(after, evaluation.labels, evaluation.member, scene.scenario)})
    row(f"{network}: place {len(after.features):,} points on the map", parts["place"])
    row(f"{network}: three gauges with intervals", parts["gauges"])


WARM_UP = """
import time; start = time.perf_counter()
import gc, json, sys
from ui.warmup import warm_up
imported = time.perf_counter(); warm_up(); warm = time.perf_counter()
def collect():
    start = time.perf_counter(); gc.collect(); return time.perf_counter() - start
print(json.dumps({"imports": imported - start, "warm_up": warm - imported, "gc": [collect() for _ in range(5)],
                  "heavy": [name for name in ("umap", "numba") if name in sys.modules]}))
"""


def warm_up(repeats: int) -> None:
    """Imports and warm-up of a fresh process, and a garbage collection after them."""
    found = [json.loads(subprocess.run([sys.executable, "-c", WARM_UP], cwd=ROOT, check=True, capture_output=True,
                                       text=True).stdout.splitlines()[-1]) for _ in range(repeats)]
    heavy = ", ".join(found[0]["heavy"]) or "neither umap nor numba"
    row("imports + warm-up", [one["imports"] + one["warm_up"] for one in found], "s", target=8, remark="target with "
        f"server start; imports {median(one['imports'] for one in found):.2g} s; {heavy} in sys.modules")
    row("gc.collect() after warm-up", [second for one in found for second in one["gc"]], target=20,
        remark=f"5 in each of {repeats} processes")


# ----------------------------------------------------------------------------------------------------------- large


def large(repeats: int, huge: bool) -> None:
    """How the ratio index and dampening grow with the network, and where they stand on ViT-B/16."""
    few = max(1, repeats // 5)

    def child(what: str) -> dict[str, list[float]]:
        result = subprocess.run([sys.executable, "-m", "tests.bench", "--child", what, "--repeats", str(few)],
                                cwd=ROOT, check=True, capture_output=True, text=True)
        found: dict[str, list[float]] = json.loads(result.stdout.splitlines()[-1])
        return found

    sizes = [10**5, 10**6, 10**7] + [10**8] * huge
    found = {size: child(str(size)) for size in sizes}
    for what, unit, expected, label in (
            ("build", "ms", "1 and a little: n log n", "build the ratio index"),
            ("query", "ms", "near 0: layers × log n", "query all layers"),
            ("dampen", "ms", "1", "dampen"),
            ("memory", "MB", "1, about 28 bytes a weight and one layer's work", "peak memory of a build")):
        for size in sizes:
            remark = f"{found[size]['memory'][0] * 1e6 / size:.0f} bytes a weight" if what == "memory" else ""
            row(f"{label}, 1e{round(math.log10(size))} weights", found[size][what], unit, remark=remark)
        logs = np.log10([[size, median(found[size][what])] for size in sizes])
        slope, last = np.polyfit(logs[:, 0], logs[:, 1], 1)[0], np.diff(logs[-2:, 1])[0]
        rows.append(Row(f"{label}: exponent", float(slope), "", list(map(float, logs[:, 1])), None, None,
                        f"log-log fit; last decade {last:.2f}; expected {expected}"))
    vit = child("vit_b_16")
    row("vit_b_16: build the ratio index", vit["build"], "s", remark=f"peak memory {vit['memory'][0]:.0f} MB")
    row("vit_b_16: query all layers", vit["query"], target=10)
    row("vit_b_16: dampen all weights", vit["dampen"], against=vit["clone"], name="clone()", remark="read 1, write 1")
    row("vit_b_16: dampen all weights", vit["dampen"], against=vit["addcmul"], name="torch.addcmul(θ, I_f, I_D)",
        remark="read 3, write 1: the memory-bound yardstick")


def large_child(what: str, repeats: int) -> dict[str, list[float]]:
    """One size in a process of its own, so that its peak memory is its own."""
    generator = torch.Generator().manual_seed(0)
    if what == "vit_b_16":
        import torchvision

        weights = {n: p.detach() for n, p in torchvision.models.vit_b_16(weights=None).named_parameters()}
    else:
        counts = np.diff(np.linspace(0, int(what), LAYERS + 1).astype(int))
        weights = {f"layer{i}": torch.randn(n, generator=generator) for i, n in enumerate(counts.tolist())}
    forget, reference = ({n: torch.empty_like(p).log_normal_(generator=generator) for n, p in weights.items()}
                         for _ in range(2))
    Path("/proc/self/clear_refs").write_text("5")  # begin the peak afresh
    before = peak()
    index = build_index(weights, forget, reference)
    memory = peak() - before
    alphas = np.geomspace(0.1, 100, 50 * repeats)
    query = [timed(partial(index.query, float(alpha), 1.0)) for alpha in alphas]
    del index
    sides = in_turns(repeats, {
        "dampen": lambda: dampen(weights, forget, reference, 4.0, 1.0),
        "clone": lambda: {n: p.clone() for n, p in weights.items()},
        "addcmul": lambda: {n: torch.addcmul(p, forget[n], reference[n]) for n, p in weights.items()}})
    build = [timed(lambda: build_index(weights, forget, reference)) for _ in range(repeats)]
    return {"build": build, "query": query, "memory": [memory], **sides}


def peak() -> float:
    """Peak resident memory in MB. (getrusage's would include what the parent had before it started this process.)"""
    line = next(li for li in Path("/proc/self/status").read_text("ascii").splitlines() if li.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


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
    from playwright.sync_api import Page, sync_playwright

    from tests.conftest import CHROMIUM, FLAGS, Visitor, start_server

    if CHROMIUM is None:
        print("  chromium is not on PATH: skipped")
        return
    few = max(1, repeats // 5)

    def first(page: Page, address: str) -> dict[str, float]:
        page.add_init_script(PAGE)
        page.goto(address, wait_until="commit")
        page.wait_for_function("bench.first.exact && bench.first.pad", timeout=120_000)
        found: dict[str, float] = page.evaluate("({ ...bench.first, origin: performance.timeOrigin })")
        return found

    def rows_of_visits(what: str, visits: list[dict[str, float]]) -> None:
        row(f"{what}: pad drawn", [v["pad"] / 1e3 for v in visits], "s")
        row(f"{what}: gauges exact", [v["exact"] / 1e3 for v in visits], "s", target=2)

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        machine["chromium"] = f"{chromium.version}, headless, software rendering (--disable-gpu)"
        cold: list[float] = []
        while True:
            start = time.time()
            server, address = start_server({})
            try:
                one = Visitor(chromium)
                seen = first(one.page, address)
                cold.append((seen["origin"] + max(seen["pad"], seen["exact"])) / 1e3 - start)
                one.context.close()
                if len(cold) < few:
                    continue
                row("cold server start → pad drawn and gauges exact", cold, "s", target=8, remark="browser running")
                visitors = [Visitor(chromium) for _ in range(repeats)]
                rows_of_visits("new visitor (empty cache), warm server", [first(v.page, address) for v in visitors])
                tabs = [visitors[0].context.new_page() for _ in range(repeats)]
                rows_of_visits("further tab, same browser", [first(tab, address) for tab in tabs])
                for visitor in visitors:
                    visitor.context.close()
                drags(Visitor(chromium), partial(first, address=address), few)
                for network, targets in (("small-resnet", (100, 300)), ("small-vit", (100, 600))):
                    releases(Visitor(chromium), partial(first, address=f"{address}/?network={network}"), network,
                             targets, repeats)
                break
            finally:
                server.kill()
                server.wait()
        chromium.close()


def pad_places(visitor: object) -> Iterator[tuple[float, float]]:
    """Page coordinates on the pad, all different, where weights are selected: α between about 0.3 and 8."""
    box = visitor.page.locator('[data-testid="pad"]').bounding_box()  # type: ignore[attr-defined]
    for k in range(10**6):  # additive recurrence: neighbours in time are far apart
        yield (box["x"] + box["width"] * (0.22 + 0.38 * (0.755 * k % 1)),
               box["y"] + box["height"] * (0.12 + 0.65 * (0.57 * k % 1)))


def drags(visitor: object, first: Callable[[object], object], repeats: int) -> None:
    """Frames while the ring on the pad is dragged by 150 mouse moves."""
    page = visitor.page  # type: ignore[attr-defined]
    first(page)
    box = page.locator('[data-testid="pad"]').bounding_box()
    at = partial(lambda u, v: (box["x"] + u * box["width"], box["y"] + v * box["height"]))
    frames: list[float] = []
    gaps: list[float] = []
    for _ in range(repeats):
        page.wait_for_timeout(1500)
        page.mouse.move(*at(0.5, 0.4))
        page.mouse.down()
        page.evaluate("bench.drag()")
        for k in range(150):
            page.mouse.move(*at(0.5 + 0.4 * math.sin(k / 12), 0.42 + 0.3 * math.sin(k / 7)))
        page.evaluate("bench.dragging = false")
        page.mouse.up()
        frames += page.evaluate("window.__lacunaFrames")
        gaps += page.evaluate("bench.gaps.splice(0)")
    where = f"{repeats} drags of 150 moves, 2,000 points, software rendering"
    for name, samples, share, target, remark in (
            ("frame, our own drawing, p50", frames, 50, None, where),
            ("frame, our own drawing, p95", frames, 95, 16, where),
            ("frame to frame, p50", gaps, 50, None, "requestAnimationFrame, with rasterising; 60 Hz is 16.7 ms"),
            ("frame to frame, p95", gaps, 95, None, "the same")):
        rows.append(Row(f"drag: {name}", float(np.percentile(samples, share)), "ms", samples, target, None, remark))
    visitor.context.close()  # type: ignore[attr-defined]


def releases(visitor: object, first: Callable[[object], object], network: str, targets: tuple[int, int],
             repeats: int) -> None:
    """From the release of the pad to exact gauges, at fresh points, then at the same points again."""
    page = visitor.page  # type: ignore[attr-defined]
    first(page)
    places = [place for place, _ in zip(pad_places(visitor), range(repeats + 1), strict=False)]
    fresh, known = [], []
    for samples in (fresh, known):
        for place in places:
            page.wait_for_timeout(1500)  # the page has come to rest
            page.evaluate("bench.arm()")
            page.mouse.click(*place)
            page.wait_for_function("bench.done['gauge-forget'] && bench.done.after", timeout=60_000)
            samples.append(page.evaluate("bench.done"))
        del samples[0]  # the first of a page also meets code that was never run
    for kind, samples, target in (("known", known, targets[0]), ("fresh", fresh, targets[1])):
        row(f"{network}: release → exact gauges, {kind} point", [s["gauge-forget"] / 1e3 for s in samples],
            target=target, remark=f"exact map after {median(s['after'] for s in samples):.0f} ms")
    visitor.context.close()  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------------------------ main

machine: dict[str, object] = {}


def describe_machine() -> None:
    """What the numbers were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(": ")[1] for line in lines if "model name" in line), "")
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    machine.update(
        date=time.strftime("%Y-%m-%d %H:%M:%S"), processor=cpu, cores=os.cpu_count(), threads=torch.get_num_threads(),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        system=platform.platform(),
        python=platform.python_version(), torch=torch.__version__, numpy=np.__version__,
        omp_wait_policy=os.environ.get("OMP_WAIT_POLICY", "not set"), load_at_start=os.getloadavg(),
        commit=commit.stdout.strip())


def main() -> None:
    """Run the chosen sections, print the table, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="core, large, browser; default: all")
    parser.add_argument("--repeats", type=int, default=15, help="of short measurements; long ones run a fifth as often")
    parser.add_argument("--huge", action="store_true", help="also 1e8 weights (8 GB of memory)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench.json")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(2)
    if given.child:
        print(json.dumps(large_child(given.child, given.repeats)))
        return
    known = {"core": core, "large": partial(large, huge=given.huge), "browser": browser}
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
