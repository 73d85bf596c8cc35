"""What the stages that make assets share: work in several processes, how arrays and weights are kept, comparisons."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from unlearn_core import assets
from unlearn_core.nets.request import Request
from unlearn_core.progress import Progress, silent
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.grid import Landscape
from unlearn_core.serving.scenes import Scene
from unlearn_core.study import comparison

T = TypeVar("T")


def in_processes(work: Callable[..., T], todo: Sequence[tuple[Any, ...]], jobs: int, about: str,
                 then: Callable[[tuple[Any, ...], T], None] = lambda arguments, answer: None) -> None:
    """Do a piece of work for each of the arguments, and `then` something with the answer as soon as it is there.

    Each process has one thread: two of them do a quarter more than one with two threads.
    """
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_modest) as pool:
        waiting = {pool.submit(work, *each): each for each in todo}
        for done in tqdm(as_completed(waiting), total=len(todo), desc=about):
            then(waiting[done], done.result())


def _modest() -> None:
    torch.set_num_threads(1)
    os.nice(5)


def half(value: Tensor) -> Tensor:
    """A tensor as it is shipped: numbers in half precision."""
    return (value.half() if value.is_floating_point() else value).contiguous()


def save_arrays(name: str, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Put arrays among the assets."""
    (assets.ROOT / name).parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(assets.ROOT / name, **arrays)  # type: ignore[arg-type]


def save_landscape(name: str, engine: Engine, scene: Scene) -> None:
    """Evaluate every point of a scene's landscape and put them among the assets."""
    index, gauges, xy, predicted = zip(*(engine.point(scene, position) for position in Landscape(None).missing()),
                                       strict=True)
    save_arrays(name, {"index": np.array(index, np.uint16), "gauges": np.stack(gauges), "xy": np.stack(xy),
                       "predicted": np.stack(predicted)})


def uncompared(network: str, requests: Sequence[Request]) -> list[Request]:
    """Those of the requests whose comparison is not there, or lacks a method."""
    return [one for one in requests if (found := comparison.load(network, one)) is None or found.missing]


def save_comparison(network: str, request: Request, seeds: int, retrain_seconds: float,
                    progress: Progress = silent) -> None:
    """Run every method at its general defaults on one request; where a comparison is there, only what it lacks."""
    found = comparison.load(network, request)
    comparison.save(comparison.compare(Engine(), network, request, seeds, progress, retrain_seconds) if found is None
                    else comparison.complete(Engine(), found, seeds, progress),
                    assets.ROOT / f"comparisons/{network}-{request.slug}.npz")
