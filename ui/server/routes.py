"""What the live view fetches: constant data, landscape points, exact outcomes, images. All read-only."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ui.server.runtime import engine, published
from unlearn_core.picture.images import png
from unlearn_core.serving.embedding import Embedding, key
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.subjects.subject import subjects

# A key names its content, so a browser may keep what it fetched.
FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}
GONE = PlainTextResponse("Not here any more: reload the page.", status_code=404)


async def scene(request: Request) -> Response:
    """The constant data of a scene."""
    found = published(Scene, request.path_params["key"])
    if found is None:
        return GONE
    return Response(found.blob, media_type="application/octet-stream", headers=FOREVER)


async def points(request: Request) -> Response:
    """The landscape's points from ?from= on; asking keeps the landscape filling."""
    found = published(Scene, request.path_params["key"])
    start = request.query_params.get("from", "0")
    if found is None or not start.isdecimal() or len(start) > 9:
        return GONE
    landscape = engine().landscape(found)
    engine().look(found, landscape)
    body = await run_in_threadpool(landscape.blob, int(start))
    return Response(body, media_type="application/octet-stream", headers={"Cache-Control": "no-store"})


async def outcome(request: Request) -> Response:
    """The exact map positions and probabilities of an outcome."""
    found = published(Settled, request.path_params["key"])
    if found is None:
        return GONE
    body = await run_in_threadpool(found.blob)
    return Response(body, media_type="application/octet-stream", headers=FOREVER)


async def embedding(request: Request) -> Response:
    """The panels of an embedding."""
    found = engine().pool.known(key(*(request.path_params[name] for name in ("choice", "layer", "kind"))))
    if not isinstance(found, Embedding):
        return GONE
    body = await run_in_threadpool(found.blob)
    return Response(body, media_type="application/octet-stream", headers=FOREVER)


async def image(request: Request) -> Response:
    """One image as PNG, by its number for browsers (see `EvaluationSet.pictures`)."""
    name, number = request.path_params["name"], request.path_params["number"]
    found = subjects().get(name)
    if found is None or found.fingerprint != request.path_params["fingerprint"]:
        return GONE
    row, unseen = divmod(number, 2)
    part = found.images.test if unseen else found.images.train
    return Response(png(name, number), media_type="image/png", headers=FOREVER) if row < len(part) else GONE


ROUTES = [
    Route("/lacuna/scene/{key}", scene),
    Route("/lacuna/points/{key}", points),
    Route("/lacuna/outcome/{key}", outcome),
    Route("/lacuna/embedding/{choice}/{layer}/{kind}", embedding),
    Route("/lacuna/image/{name}/{fingerprint}/{number:int}.png", image),
]
