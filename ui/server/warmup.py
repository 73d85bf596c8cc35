"""What happens before the first visitor: imports, assets, the default answer, and a frozen heap."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import torch

from ui.server.leavers import see_off
from ui.server.runtime import engine
from ui.state import DEFAULT
from unlearn_core.assets import AssetError
from unlearn_core.serving.evaluator import Evaluator

log = logging.getLogger("lacuna")

TIDY_SECONDS = 15.0


@asynccontextmanager
async def lifespan(app: object) -> AsyncIterator[dict[str, object]]:
    """Warm up, then serve."""
    send_at_once()
    warm_up()
    threading.Thread(target=tidy, daemon=True).start()
    watch = asyncio.create_task(see_off())
    yield {}
    watch.cancel()


def send_at_once() -> None:
    """Keep the system from holding back small messages until the last one is acknowledged, up to 44 ms each.

    asyncio asks for this itself, but passes over sockets that were made without naming TCP, as Streamlit's is. What is
    set for a listening socket holds for each connection it takes.
    """
    for one in psutil.Process().net_connections("tcp"):
        if one.status == psutil.CONN_LISTEN and one.fd >= 0:
            with socket.socket(fileno=os.dup(one.fd)) as listening:
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def tidy() -> None:
    """Collect garbage now and then, instead of after every run of every session (see .streamlit/config.toml).

    Before that, import what PyTorch otherwise imports when the first method trains, for seconds in which nothing else
    runs.
    """
    importlib.import_module("torch._dynamo")
    gc.freeze()
    while True:
        time.sleep(TIDY_SECONDS)
        gc.collect()


def warm_up() -> None:
    """Load everything a first page needs and keep it out of the garbage collector's sight.

    With PyTorch's heap a full collection would otherwise stop everybody for 200 ms.
    """
    import pandas  # noqa: F401
    import plotly.graph_objects  # noqa: F401

    torch.set_num_threads(2)
    # A network's evaluation gives the interpreter away hundreds of times. With the default of 5 ms it gets it back
    # that late each time while other sessions' scripts run, and takes seconds instead of a tenth.
    sys.setswitchinterval(0.0005)
    evaluator, ready = Evaluator(), engine()  # it loads what it needs meanwhile
    try:
        scene = ready.scene(DEFAULT).result()
        ready.settle(scene, DEFAULT).result()
        ready.landscape(scene)
    except (AssetError, ValueError, RuntimeError, OSError) as error:
        log.error("%s", error)  # the page says so too; the app starts all the same
    ready.evaluate = evaluator
    gc.collect()
    gc.freeze()
