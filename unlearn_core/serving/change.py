"""How an outcome's change is made up, layer by layer."""

from __future__ import annotations

from unlearn_core.measure.spectrum import Spectrum, spectra
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.pool import Lane, Ticket
from unlearn_core.serving.scenes import Scene, Settled


def change(engine: Engine, scene: Scene, settled: Settled) -> dict[str, Spectrum]:
    """The spectrum of every layer that is a matrix, from the input on."""
    before = {name: scene.task.model.get_parameter(name) for name in scene.layers}
    return spectra(before, engine.weights(scene, settled))


def submit(engine: Engine, scene: Scene, settled: Settled) -> Ticket[dict[str, Spectrum]]:
    """The same, behind whoever waits for an answer."""
    return engine.pool.submit(("spectra", settled.choice), lambda progress: change(engine, scene, settled), Lane.SCENE)
