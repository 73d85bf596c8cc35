"""A folder of the operator's own in the sidebar: what it takes, a button, progress, Cancel, then a moving slider."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Serve, Visitor
from tests.subjects.test_own import paint

pytestmark = pytest.mark.browser
SAID = """title = "Bars <b>in</b> two places"
about = "bars"
architecture = "small-resnet"
licence = "MIT <script>alert(1)</script>"
credit = "a test"
[recipe]
epochs = {epochs}
"""


def folder(root: Path, epochs: int = 2) -> Path:
    rng = np.random.default_rng(0)
    for label, name in enumerate(("left", "right")):
        for part, count in (("train", 60), ("test", 30)):
            for i in range(count):
                paint(root / "bars" / "data" / part / name / f"{i}.png", 5 * label, rng, 24)
    (root / "bars" / "subject.toml").write_text(SAID.format(epochs=epochs))
    return root


def test_a_folder_is_prepared_by_a_press(tmp_path: Path, serve: Serve, visitor: Callable[..., Visitor]) -> None:
    address = serve(LACUNA_SUBJECTS=str(folder(tmp_path)), LACUNA_PREPARE="1")
    page = visitor().open(address)
    page.wait_for_selector("text=Bars <b>in</b> two places")
    page.get_by_role("button", name="Prepare: about").click(timeout=60_000)
    page.wait_for_url("**network=bars**", timeout=120_000)  # the press turns to it once it is ready
    page.wait_for_selector("text=Images: a test · MIT <script>alert(1)</script>")
    page.wait_for_selector('[data-testid="gauge-forget"][data-exact="true"]', timeout=60_000)
    assert page.get_by_role("button", name="Prepare: about").count() == 0
    assert (tmp_path / "bars" / "derived" / "prepared.json").is_file()


def test_preparing_is_cancelled_and_goes_on_after_a_reload(tmp_path: Path, serve: Serve,
                                                           visitor: Callable[..., Visitor]) -> None:
    address = serve(LACUNA_SUBJECTS=str(folder(tmp_path, 5000)), LACUNA_PREPARE="1")
    page = visitor().open(address)
    page.get_by_role("button", name="Prepare: about").click(timeout=60_000)
    page.wait_for_selector("text=training, epoch", timeout=60_000)
    page.reload()
    page.wait_for_selector("text=training, epoch", timeout=60_000)
    page.get_by_role("button", name="Cancel").first.click()
    page.wait_for_selector("text=Prepare: about", timeout=60_000)
    assert not (tmp_path / "bars" / "derived" / "prepared.json").exists()
    assert not list((tmp_path / "bars" / "derived").glob(".*"))


def test_faults_are_listed_and_looked_at_again(tmp_path: Path, serve: Serve, visitor: Callable[..., Visitor]) -> None:
    (folder(tmp_path) / "bars" / "subject.toml").write_text("titel = 1")
    page = visitor().open(serve(LACUNA_SUBJECTS=str(tmp_path), LACUNA_PREPARE="1"))
    page.wait_for_selector("text=there is no titel; was title meant?", timeout=60_000)
    (tmp_path / "bars" / "subject.toml").write_text(SAID.format(epochs=2))
    page.get_by_role("button", name="Look again").click()
    page.wait_for_selector("text=Prepare: about", timeout=60_000)


def test_strangers_are_offered_nothing(tmp_path: Path, serve: Serve, visitor: Callable[..., Visitor]) -> None:
    page = visitor().open(serve(LACUNA_SUBJECTS=str(folder(tmp_path))))  # it listens to everybody
    assert page.get_by_text("in two places").count() == 0
