"""Every section of the benchmark begins and ends, at its smallest."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial

import pytest
from playwright.sync_api import Browser

from tools import bench
from unlearn_core.measure.task import Task
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Outcome, Settings
from unlearn_core.nets.images import ImageSet, stratified
from unlearn_core.progress import Progress
from unlearn_core.serving.engine import Engine


class Small(Engine):
    """An engine whose networks were trained on few images."""

    @cached_property
    def images(self) -> tuple[ImageSet, ImageSet]:
        train, test = super().images
        return train.subset(stratified(train.labels, 100)), test


@pytest.fixture(autouse=True)
def smallest(monkeypatch: pytest.MonkeyPatch) -> None:
    def briefly(task: Task, settings: Settings, progress: Progress) -> Outcome:
        return METHODS["head_zeroing"].run(task, {}, progress)

    monkeypatch.setattr(bench, "Engine", Small)
    monkeypatch.setattr(bench, "NETWORKS", ("small-resnet",))
    monkeypatch.setattr(bench, "METHODS", {name: METHODS[name] for name in ("ssd", "head_zeroing")} | {
        "retrain": replace(METHODS["retrain"], work=briefly)})
    monkeypatch.setattr(bench, "SIZES", (1000, 10_000))
    monkeypatch.setattr(bench, "LARGEST", "1000")
    monkeypatch.setattr(bench, "AXES", {"layers": (4, 8)})
    monkeypatch.setattr(bench, "rows", [])


@pytest.mark.parametrize("section", [bench.core, bench.methods, partial(bench.large, huge=False),
                                     partial(bench.growth, huge=False)], ids=["core", "methods", "large", "growth"])
def test_a_section_runs_to_its_end(section: partial[None]) -> None:
    section(1)
    assert bench.rows and all(one.n for one in bench.rows)


@pytest.mark.browser
def test_the_section_of_the_browser_runs_to_its_end(chromium: Browser, address: str) -> None:
    bench.warm_server(chromium, address, 1)
    assert {one.what.split(":")[0] for one in bench.rows} >= {"drag", "small-resnet"}
