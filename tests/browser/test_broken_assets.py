"""Whatever bundled file is broken: the app starts, the page that needs it says so in a sentence, the others work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from streamlit.testing.v1 import AppTest

from tests.conftest import REPOSITORY

PAGES = ("playground", "layers", "compare", "privacy", "embeddings", "landscape", "methods", "learn")
FAULTS = ("missing", "unreadable", "truncated", "swapped")
KINDS = {
    "manifest.json": "", "data/fashion-mnist-train.npz": "", "data/fashion-mnist-test.npz": "",
    "networks/small-resnet.safetensors": "", "networks/small-resnet-without-0.safetensors": "",
    "references/small-resnet.npz": "", "importances/small-resnet-cross_entropy.safetensors": "",
    "grams/small-resnet.safetensors": "method=pgu", "histories/small-resnet.safetensors": "method=amnesiac",
    "maps/small-resnet.npz": "", "landscapes/small-resnet-0.npz": "", "landscapes/small-resnet-estimators.npz": "",
    "comparisons/small-resnet-0.json": "", "shadows/small-resnet.npz": "", "remains/small-resnet-0.json": "",
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
        file.mkdir()  # so for every user; whoever runs the tests may be one who may read everything
    elif fault == "truncated":
        file.write_bytes(content[:len(content) // 2])
    elif fault == "swapped":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 255]))
    return made


def visit(query: str) -> None:
    """Start as the server does and visit every page; what each says goes to the standard output."""
    from ui.server.warmup import warm_up

    warm_up()
    test = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=120)
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        test.query_params[name] = value
    found = {}
    for page in PAGES:
        test.switch_page(f"pages/{page}.py").run()
        for _ in range(300):
            if not any(b.label == "Cancel" for b in test.button) and not any(
                    "follow in a moment" in c.value for c in test.caption):
                break
            time.sleep(0.1)
            test.run()
        alerts = [*test.error, *test.warning, *test.info]
        found[page] = {"raised": [one.message for one in test.exception], "said": [one.value for one in alerts],
                       "elements": len(test.main)}
    print(json.dumps(found))


def pages(assets: Path, query: str) -> tuple[dict[str, dict[str, object]], str]:
    """What each page says with these assets, and what stands on the terminal."""
    done = subprocess.run(
        [sys.executable, "-c", f"from tests.browser.test_broken_assets import visit; visit({query!r})"],
        cwd=REPOSITORY, env=os.environ | {"LACUNA_ASSETS": str(assets)}, capture_output=True, text=True, timeout=280)
    assert done.stdout, done.stderr[-2000:]
    found: dict[str, dict[str, object]] = json.loads(done.stdout.splitlines()[-1])
    return found, done.stderr
