"""A joint UMAP fit in a process of its own: umap and numba stay out of the serving process.

Run as `python -m unlearn_core.maps.refit FOLDER`, it reads features.npy, writes positions.npy, and says on standard
output how far it is, one JSON list [share, note] a line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

import numpy as np

from unlearn_core.assets import REPOSITORY
from unlearn_core.maps.projection import Float32, fill
from unlearn_core.progress import Progress

EPOCHS = 200
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}


def fit_together(features: Float32, seed: int, progress: Progress) -> Float32:
    """Fit one UMAP to all rows at once, in another process.

    Args:
        features: (M, width), M at least 16, in one common basis.
        seed: owns UMAP's randomness.
        progress: told several times a second; may cancel, which ends the process.

    Returns:
        (M, 2) positions in [0, 1].

    Raises:
        RuntimeError: if the process fails; the message is its last line.
    """
    with tempfile.TemporaryDirectory(prefix="lacuna-") as folder:
        np.save(f"{folder}/features.npy", features)
        with open(f"{folder}/errors", "w+") as errors:
            child = subprocess.Popen(
                [sys.executable, "-m", "unlearn_core.maps.refit", folder, str(seed)], stdout=subprocess.PIPE,
                stderr=errors, stdin=subprocess.DEVNULL, cwd=REPOSITORY, env={**os.environ, **_ONE_THREAD})
            assert child.stdout is not None
            try:
                os.set_blocking(child.stdout.fileno(), False)
                share, note, running = 0.0, "starting a process of its own", True
                while running:
                    try:
                        child.wait(0.1)
                        running = False
                    except subprocess.TimeoutExpired:
                        pass
                    if lines := (child.stdout.read() or b"").splitlines():
                        share, note = json.loads(lines[-1])
                    progress(share, note)
            finally:
                child.kill()
                child.wait()
                child.stdout.close()
            if child.returncode:
                errors.seek(0)
                last = (errors.read().strip().splitlines() or ["it said nothing"])[-1]
                raise RuntimeError(f"The joint map could not be fitted: {last}")
        positions: Float32 = np.load(f"{folder}/positions.npy", allow_pickle=False)
        return positions


class _Epochs:
    """A stream for tqdm, which UMAP counts its epochs with: passes them on as progress."""

    def write(self, text: str) -> None:
        if (done := text.strip()).isdecimal():
            _say(0.2 + 0.8 * int(done) / EPOCHS, f"epoch {done} of {EPOCHS}")

    def flush(self) -> None:
        pass


def _say(share: float, note: str) -> None:
    print(json.dumps([share, note]), flush=True)


def main() -> None:
    """Fit what lies in the folder named on the command line."""
    folder, seed = sys.argv[1], int(sys.argv[2])
    os.nice(10)
    _say(0.01, "loading UMAP")
    import torch
    import umap

    features = np.load(f"{folder}/features.npy", allow_pickle=False)
    _say(0.1, "finding neighbours")
    # Exact neighbours: quicker here than compiling an approximate search.
    rows = torch.from_numpy(features)
    distance, nearest = torch.cdist(rows, rows).topk(15, largest=False)
    _say(0.15, "building the graph")
    joint = umap.UMAP(n_neighbors=15, min_dist=0.1, n_epochs=EPOCHS, random_state=seed,
                      precomputed_knn=(nearest.numpy(), distance.numpy()),
                      tqdm_kwds={"file": _Epochs(), "bar_format": "{n}", "disable": False})
    np.save(f"{folder}/positions.npy", fill(joint.fit_transform(features)))
    _say(1.0, "done")


if __name__ == "__main__":
    main()
