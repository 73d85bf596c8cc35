"""The live picture in a notebook: the app's own view, with the kernel behind it. Needs requirements-notebook.txt."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from unlearn_core.picture.file import image_files, view_files
from unlearn_core.picture.scripts import script, styles
from unlearn_core.picture.told import STYLES, told
from unlearn_core.progress import silent
from unlearn_core.serving.choice import Choice, choice
from unlearn_core.serving.judgement import audit as judge
from unlearn_core.sheet.evidence import own_engine

MOST_IMAGES_BYTES = 3_000_000
"""Of images that travel into the notebook."""


class LivePicture(anywidget.AnyWidget):
    """A choice as the live view. Where α or λ is released, the kernel runs the method there and judges it anew.

    Attributes:
        chosen: the choice that was evaluated last.
        verdict: on it, in a sentence.
        point: alpha and lambda; setting it, here or by a release in the browser, evaluates there.
    """

    _esm = script("live/notebook.js")
    _css = styles(*STYLES, "notebook.css")
    told = traitlets.Dict().tag(sync=True)
    files = traitlets.Dict().tag(sync=True)
    pictures = traitlets.Dict().tag(sync=True)
    verdict = traitlets.Unicode().tag(sync=True)
    point = traitlets.Dict().tag(sync=True)

    def __init__(self, chosen: Choice) -> None:
        """Run a choice and judge it by what is at hand.

        Raises:
            NotApplicable, Diverged: as `Method.run`.
        """
        super().__init__()
        self._engine = own_engine()
        self._scene = self._engine.prepare(chosen, silent)
        self.pictures = image_files(self._scene, MOST_IMAGES_BYTES)
        self._evaluate(chosen)
        self.observe(self._moved, "point")

    def _moved(self, change: Any) -> None:
        at, before = change["new"], self.chosen
        wanted = choice(before.network, before.forget, before.method,
                        dict(before.settings) | {name: at[name] for name in ("alpha", "lambda") if name in at},
                        before.seed)
        if wanted != before:
            self._evaluate(wanted)

    def _evaluate(self, chosen: Choice) -> None:
        settled = self._engine.compute(self._scene, chosen, silent)
        audit = judge(self._engine, self._scene, settled, silent)
        with self.hold_sync():  # one message, so that the browser never has words of one point and numbers of another
            self.chosen = chosen
            self.files = view_files(self._engine, self._scene, settled)
            self.verdict = audit.verdict.sentence
            self.told = told(self._scene, settled, audit.readings, {"alpha": settled.alpha, "lambda": settled.lam})
