"""Whatever bundled file is broken: the app starts, the page that needs it says so in a sentence, the others work."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, awaited
from tools.attack import PAGES, Server, connection, visit

FAULTS = ("missing", "unreadable", "truncated", "swapped")
EVERY = frozenset(PAGES)
KINDS = {  # of a file: an address that needs it, and the pages that say so; where nobody does, nothing is missed
    "manifest.json": ("", EVERY),
    "data/fashion-mnist-train.npz": ("", EVERY),
    "data/fashion-mnist-test.npz": ("", EVERY),
    "networks/small-resnet.safetensors": ("", EVERY),
    "references/small-resnet.npz": ("", EVERY),
    "importances/small-resnet-cross_entropy.safetensors": ("", EVERY),
    "grams/small-resnet.safetensors": ("method=pgu", EVERY),
    "histories/small-resnet.safetensors": ("method=amnesiac", EVERY),
    "maps/small-resnet.npz": ("", {"", "embeddings"}),
    "landscapes/small-resnet-estimators.npz": ("", {"landscape"}),
    "comparisons/small-resnet-0.npz": ("", {"compare", "landscape"}),
    "queues/small-resnet.json": ("", {"queue"}),
    "shadows/small-resnet.npz": ("", {"privacy"}),
    "tuning/ssd.json": ("", {"methods"}),
    "subjects/small-vit/subject.toml": ("", EVERY),
    # Read where a panel is opened: see tests/ui/test_broken_files.py.
    "results/results.parquet": ("", frozenset()),
    "results/retrained.json": ("", frozenset()),
    "sharded/small-resnet.safetensors": ("", frozenset()),
    # Read by no page.
    "relative/small-resnet.json": ("", frozenset()),
    "logo.svg": ("", frozenset()),
    "css/app.css": ("", frozenset()),
    "js/live/main.js": ("", frozenset()),
}


def broken(folder: Path, name: str, fault: str) -> Path:
    """The bundled files, by hard links, one of them broken."""
    made = folder / "assets"
    shutil.copytree(REPOSITORY / "assets", made, copy_function=os.link)
    file = made / name
    content = file.read_bytes()
    file.unlink()
    if fault == "unreadable":
        file.mkdir()  # for every user; whoever runs the tests may be one who may read everything
    elif fault == "truncated":
        file.write_bytes(content[:len(content) // 2])
    elif fault == "swapped":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 255]))
    return made


def pages(server: Server, query: str) -> dict[str, tuple[list[str], list[str]]]:
    """What was raised on each page, and all that its boxes say."""
    async def one(page: str) -> tuple[list[str], list[str]]:
        async with connection(server) as socket:
            seen = [message.delta.new_element for message in await visit(socket, query, page, seconds=20)]
        return ([element.exception.message for element in seen if element.WhichOneof("type") == "exception"],
                [element.alert.body for element in seen if element.WhichOneof("type") == "alert"])

    async def every() -> dict[str, tuple[list[str], list[str]]]:
        return dict(zip(PAGES, await asyncio.gather(*map(one, PAGES)), strict=True))

    return awaited(every())


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", KINDS)
def test_the_app_starts_and_the_pages_that_need_a_broken_file_name_it(tmp_path: Path, name: str, fault: str) -> None:
    query, needed = KINDS[name]
    server = Server(LACUNA_ASSETS=str(broken(tmp_path, name, fault)))
    try:
        found = pages(server, query)
    finally:
        server.seen.kill()
        server.seen.wait()
    assert not [raised for raised, _ in found.values() if raised] and "Traceback" not in server.said
    assert str(tmp_path) not in repr(found)
    named = {page for page, (_, said) in found.items() if any(f"assets/{name}" in one for one in said)}
    # A description that is not there is not missed.
    assert named == (frozenset() if name.endswith(".toml") and fault == "missing" else needed), found
