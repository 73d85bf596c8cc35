"""How far an outcome moved each image that is shown."""

from __future__ import annotations

from unlearn_core.audit.moved import Moved, moved
from unlearn_core.progress import Progress
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.pool import Lane, Ticket
from unlearn_core.serving.scenes import Scene, Settled


def submit(engine: Engine, scene: Scene, settled: Settled) -> Ticket[Moved]:
    """On the images of `scene.seen`, behind whoever waits for an answer."""
    def work(progress: Progress) -> Moved:
        after = engine.answers(settled.choice.network, scene.request, engine.weights(scene, settled), progress)
        return moved(scene.seen.before, after)

    return engine.pool.submit(("moved", settled.choice), work, Lane.SCENE)
