"""Whatever bundled file is broken: the app starts, the page that needs it says so in a sentence, the others work."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tools.attack import PAGES, Server, connection, visit

FAULTS = ("missing", "unreadable", "truncated", "swapped")
KINDS = {
    "manifest.json": "", "data/fashion-mnist-train.npz": "", "data/fashion-mnist-test.npz": "",
    "networks/small-resnet.safetensors": "", "networks/small-resnet-without-0.safetensors": "",
    "references/small-resnet.npz": "", "importances/small-resnet-cross_entropy.safetensors": "",
    "grams/small-resnet.safetensors": "method=pgu", "histories/small-resnet.safetensors": "method=amnesiac",
    "maps/small-resnet.npz": "", "landscapes/small-resnet-0.npz": "", "landscapes/small-resnet-estimators.npz": "",
    "comparisons/small-resnet-0.npz": "", "shadows/small-resnet.npz": "", "remains/small-resnet-0.json": "",
    "verdicts/small-resnet.json": "", "openings/small-resnet.json": "", "others/small-resnet-0.npz": "",
    "tuning/ssd.json": "", "subjects/small-resnet/subject.toml": "", "subjects/small-vit/subject.toml": "",
    "logo.svg": "", "css/app.css": "", "css/live.css": "", "js/live/main.js": "", "js/mount.js": ""}


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
            seen = [message.delta.new_element for message in await visit(socket, query, page, seconds=8)]
        return ([element.exception.message for element in seen if element.WhichOneof("type") == "exception"],
                [element.alert.body for element in seen if element.WhichOneof("type") == "alert"])

    return {page: asyncio.run(one(page)) for page in PAGES}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", KINDS)
def test_the_app_starts_and_names_what_is_broken(tmp_path: Path, name: str, fault: str) -> None:
    server = Server(LACUNA_ASSETS=str(broken(tmp_path, name, fault)))
    server.seen.kill()
