"""The sections of the core: what a choice costs behind the page, and every method."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from functools import partial
from itertools import cycle
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tools.bench.table import ROOT, in_turns, row, short, timed
from unlearn_core.audit.gauges import read_gauges
from unlearn_core.measure.estimator import Estimator, Importance
from unlearn_core.measure.importance import batch_indices, importance
from unlearn_core.measure.task import Measurement, Task, measure
from unlearn_core.methods import METHODS, method
from unlearn_core.methods.base import one_thread
from unlearn_core.nets.evaluate import outputs
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import Request
from unlearn_core.progress import Progress, silent
from unlearn_core.serving.choice import choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.grid import ALPHAS, LAMBDAS
from unlearn_core.subjects.subject import bundled, subject

NETWORKS = tuple(bundled("fashion-mnist"))


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
    found = outputs(base.model, pixels).predicted
    differ = {name: int((work().float().argmax(1).numpy() != found).sum()) for name, work in plain.items()}
    times = in_turns(repeats, {"ours": lambda: outputs(base.model, pixels), **plain})
    equal = [name for name in plain if not differ[name]]
    for kind, among, target in (("predictions equal on all images", equal, 1.2), ("any precision", [*plain], None)):
        best = min(among, key=lambda name: median(times[name]))
        row(f"{network}: evaluate {len(pixels):,} images", times["ours"], target=target, against=times[best],
            name=f"plain {best}", remark=f"the fastest of {len(among)}, {kind}; {differ[best]} predictions differ")

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
    batches = [(train.pixels(part), train.labels[part])
               for positions in (request.split(train)[0], torch.arange(len(train))) for part in positions.split(125)]

    def at_hand(model: nn.Module, train: ImageSet, request: Request, wanted: Measurement,
                progress: Progress) -> Importance:
        shipped = base.subject.shipped_importance(request, wanted)
        assert shipped is not None
        return shipped

    sources = {"shipped": subject(network).importances, "at hand": at_hand}
    # The paper's alpha of 10 selects no weight of these networks: comparing outcomes would prove nothing.
    official = found.settings({**found.presets["official"].settings, "alpha": 3.0})

    def run(side: str) -> None:
        with one_thread():  # as methods run
            if side == "backward":
                plain_backward(copied, batches)
                return
            kept[side] = plain_ssd(copied, train, request, 3.0, 1.0) if side == "plain" else found.run(
                Task(model, train, request, sources.get(side, measure)),
                official if side == "official" else default, silent).parameters

    sides = ("plain", "backward", "official", "default", "shipped", "at hand")
    times = in_turns(repeats, {side: partial(run, side) for side in sides}, warm=False)
    pairs = [(p.detach(), kept["plain"][name], kept["official"][name]) for name, p in model.named_parameters()]
    changed = [sum(int((new[k] != new[0]).sum()) for new in pairs) for k in (1, 2)]
    apart = max(float((plain - ours).abs().max()) for _, plain, ours in pairs)
    if not min(changed):
        raise RuntimeError(f"SSD on {network} changed {changed} weights: nothing was compared")
    same = f"same batches; {changed[1]:,} (plain {changed[0]:,}) weights changed, outcomes at most {apart:.1g} apart"
    for side, what, remark in (("official", "official preset, α = 3, measured", same),
                               ("default", "per-sample default, measured", "same images"),
                               ("shipped", "per-sample default, reference shipped", "only the forget set is measured"),
                               ("at hand", "per-sample default, both shipped", "as the app answers for classes")):
        row(f"{network}: SSD, {what}", times[side], "s", against=times["plain"], name="the plain one", remark=remark,
            target=.05 if side == "at hand" else None)
    row(f"{network}: SSD, per-sample default, measured", times["default"], "s", target=1.1, against=times["backward"],
        name="one backward pass over the same images", remark="batches of 125")


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
