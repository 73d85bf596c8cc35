"""Bundled networks evaluated in a process of their own.

An evaluation gives its interpreter away a thousand times. In a server whose other threads run visitors' pages, it waits
for it as often, and takes several times as long.

Run as `python -m unlearn_core.serving.evaluator DESCRIPTOR`, it answers requests on that open connection until
it is closed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import numpy as np
import torch
from torch import Tensor

from unlearn_core.assets import REPOSITORY
from unlearn_core.nets.evaluate import Outputs, Rows

ATTEMPTS = 2


class Evaluator:
    """What `Engine.evaluate` does, in a process that ends with this one, and is started again if it is killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: Mapping[str, Tensor] | None = None  # the weights that the process has, so that parts need not send
        self._start()                                   # them again: they may be hundreds of megabytes

    def _start(self) -> None:
        self._pipe, theirs = Pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "unlearn_core.serving.evaluator", str(theirs.fileno())], pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL, cwd=REPOSITORY)
        theirs.close()

    def __call__(self, network: str, weights: Mapping[str, Tensor], rows: Rows | None = None) -> Outputs:
        """Outputs of a bundled network with other weights, on the evaluation set or on the images of `rows`.

        The same mapping of weights is sent once, so it must not be changed.

        Raises:
            Exception: whatever the evaluation raised, such as a ValueError or an AssetError.
            RuntimeError: if the process is killed again and again.
        """
        with self._lock:
            for _ in range(ATTEMPTS):
                try:
                    new = None if weights is self._sent else {name: value.numpy() for name, value in weights.items()}
                    self._pipe.send((network, new, rows))
                    self._sent = weights
                    answer = self._pipe.recv()
                    break
                except (OSError, EOFError):  # most likely killed for want of memory
                    self._sent = None
                    self.process.kill()
                    self.process.wait()
                    self._pipe.close()
                    self._start()
            else:
                raise RuntimeError("The evaluating process was killed. There may not be enough memory; try again.")
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Outputs)
        return answer


def main() -> None:
    """Answer until the connection is closed."""
    from unlearn_core.serving.engine import Engine

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server; this ends when the connection does
    pipe: Connection[object, tuple[str, dict[str, np.ndarray] | None, Rows | None]] = Connection(int(sys.argv[1]))
    engine, weights = Engine(), dict[str, Tensor]()
    with suppress(EOFError, OSError):
        while True:
            network, new, rows = pipe.recv()
            if new is not None:
                weights = {name: torch.from_numpy(value) for name, value in new.items()}
            try:
                answer: object = engine.evaluate(network, weights, rows)
            except Exception as problem:
                answer = problem
            pipe.send(answer)
    engine.pool.close()


if __name__ == "__main__":
    main()
