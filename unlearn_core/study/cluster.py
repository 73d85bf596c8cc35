"""The Dask cluster that a sweep runs on: one that runs already, or one on this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from unlearn_core.serving.choice import VERSION
from unlearn_core.study.results import SweepError

if TYPE_CHECKING:
    from distributed import Client

ANSWER_SECONDS = 15.0
"""How long to wait for a scheduler, and for its first worker."""
WITHOUT_SECONDS = 20.0
"""How long runs wait for a worker that can take them: one that was killed is started again meanwhile."""

HERE = {
    # A worker gets a run only when it has nothing else to do: if it dies, no other run is suspected.
    "distributed.scheduler.worker-saturation": 1.0,
    # Dask's own MALLOC_TRIM_THRESHOLD_ is left out: with it, large blocks of memory are asked for anew each time, and
    # tensors are such blocks. Importances then take more than three times as long.
    "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1, "OMP_WAIT_POLICY": "passive"},
}
"""Settings of a scheduler on this machine."""


@contextmanager
def connect(scheduler: str = "", workers: int = 2) -> Iterator[Client]:
    """A client of a running scheduler, or of one on this machine with that many worker processes, one thread each.

    Args:
        scheduler: its address, such as ``tcp://10.0.0.1:8786``; empty for this machine.
        workers: processes on this machine; a running scheduler has its own.

    Raises:
        ValueError: for fewer than one worker.
        SweepError: if no scheduler answers, it has no workers, or they run other code than this.
    """
    import dask
    from distributed import Client, LocalCluster

    if workers < 1:
        raise ValueError(f"workers: a whole number from 1 on expected, got {workers}")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # whatever matters is said by a row or an error
    if not scheduler:
        with (dask.config.set(HERE),
              LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0",
                           silence_logs=logging.CRITICAL) as cluster,
              Client(cluster) as client):
            yield client
        return
    try:
        client = Client(scheduler, timeout=ANSWER_SECONDS)
    except (OSError, ValueError, RuntimeError) as error:
        raise SweepError(f"scheduler: the address of a running Dask scheduler expected, got {scheduler}, where none "
                         "answers; check it, or leave it out to use this machine") from error
    with client:
        _check(client)
        yield client


def _check(client: Client) -> None:
    address = client.scheduler.address
    try:
        client.wait_for_workers(1, timeout=ANSWER_SECONDS)
    except TimeoutError as error:
        raise SweepError(f"scheduler: at least one worker expected at {address}, got none; start some with "
                         f"`dask worker {address}`") from error
    found: dict[str, object] = client.run(_version, on_error="return")
    try:
        found[address] = client.run_on_scheduler(_version)  # it reads the runs that it passes on
    except Exception as error:
        found[address] = error
    for place, version in found.items():
        if version != VERSION:
            raise SweepError(f"cluster: unlearn_core of version {VERSION} expected at {place}, got {version}; install "
                             "the same code on scheduler and workers, or name its folder in PYTHONPATH")


def _version() -> int:
    return VERSION
