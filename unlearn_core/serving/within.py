"""A closer look at one layer of an outcome, and at the ratios that dampening rests on."""

from __future__ import annotations

from unlearn_core.measure.anatomy import Units, units
from unlearn_core.measure.ratio_index import RatioIndex
from unlearn_core.measure.ratios import ratios
from unlearn_core.methods import method
from unlearn_core.methods.selective import importance_pair
from unlearn_core.methods.ways import measure_ways
from unlearn_core.progress import Progress
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.pool import Lane, Ticket
from unlearn_core.serving.scenes import Scene, Settled


def submit_units(engine: Engine, scene: Scene, settled: Settled, layer: str) -> Ticket[Units]:
    """What happened to each unit of a layer."""
    def work(progress: Progress) -> Units:
        chosen, model = scene.choice, scene.task.model
        loss, selected = method(chosen.method).importance, None
        if loss is not None and settled.alpha is not None:
            pair = importance_pair(scene.task, loss, dict(chosen.settings), progress)
            selected = ratios(pair.forget[layer], pair.reference[layer]) > settled.alpha
        after = engine.weights(scene, settled).get(layer, model.get_parameter(layer))
        return units(model, layer, after, selected, scene.task.train.classes, scene.task.example)

    return engine.pool.submit(("units", settled.choice, layer), work, Lane.RELEASE)


def ways_key(scene: Scene) -> tuple[object, ...]:
    """Under which the pool keeps what `submit_ways` answers: all methods with the same importance share it."""
    return "ways", scene.choice.network, scene.request, method(scene.choice.method).importance


def submit_ways(engine: Engine, scene: Scene) -> Ticket[dict[str, RatioIndex]]:
    """The importance ratios measured in several ways, by their titles: passes over all training images.

    Raises:
        ValueError: for a method without importances.
    """
    loss = method(scene.choice.method).importance
    if loss is None:
        raise ValueError(f"method: one with importances expected, got {scene.choice.method!r}")
    return engine.pool.submit(ways_key(scene), lambda progress: measure_ways(scene.task, loss, progress), Lane.LONG)
