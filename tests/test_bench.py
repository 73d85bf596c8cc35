"""Every section of the benchmark begins and ends, at its smallest."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import pytest
from playwright.sync_api import Browser

from tools.bench import browser, core, large, table
from unlearn_core.measure.task import Task
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Outcome, Settings
from unlearn_core.nets.images import stratified
from unlearn_core.progress import Progress
from unlearn_core.serving import engine
from unlearn_core.subjects.parts import Images
from unlearn_core.subjects.subject import Subject, subject


@cache
def few_images(network: str) -> Subject:
    """A bundled network as if it had been trained on few images."""
    whole = subject(network).images
    few = Images(whole.train.subset(stratified(whole.train.labels, 20)), whole.test)
    vars(few)["evaluation"] = whole.evaluation  # on which the map and all references are
    return replace(subject(network), read=lambda: few)


@pytest.fixture(autouse=True)
def smallest(monkeypatch: pytest.MonkeyPatch) -> None:
    def briefly(task: Task, settings: Settings, progress: Progress) -> Outcome:
        return METHODS["head_zeroing"].run(task, {}, progress)

    monkeypatch.setattr(core, "subject", few_images)
    monkeypatch.setattr(engine, "subject", few_images)
    monkeypatch.setattr(core, "NETWORKS", ("small-resnet",))
    monkeypatch.setattr(browser, "NETWORKS", ("small-resnet",))
    monkeypatch.setattr(core, "METHODS", {name: METHODS[name] for name in ("ssd", "head_zeroing")} | {
        "retrain": replace(METHODS["retrain"], work=briefly)})
    monkeypatch.setattr(large, "SIZES", (1000, 10_000))
    monkeypatch.setattr(large, "LARGEST", "1000")
    monkeypatch.setattr(large, "AXES", {"layers": (4, 8)})
    monkeypatch.setattr(table, "rows", [])


@pytest.mark.parametrize("section", [core.core, core.methods, partial(large.large, huge=False),
                                     partial(large.growth, huge=False)], ids=["core", "methods", "large", "growth"])
def test_a_section_runs_to_its_end(section: partial[None]) -> None:
    section(1)
    assert table.rows and all(one.n for one in table.rows)


@pytest.mark.browser
def test_the_section_of_the_browser_runs_to_its_end(chromium: Browser, address: str) -> None:
    browser.warm_server(chromium, address, 1)
    assert {one.what.split(":")[0] for one in table.rows} >= {"drag", "small-resnet"}
