"""What a tab's first run shows, and that the rest follows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Route

from tests.conftest import Visitor, awaited
from tools.attack import connection, visit

pytestmark = pytest.mark.browser
SKETCH, CHART = ".lacuna-sketch", ".js-plotly-plot .main-svg"


@pytest.mark.parametrize(("page", "after"), [("compare", "All numbers"), ("landscape", "Along α alone")])
def test_a_sketch_stands_where_the_chart_will_and_nothing_jumps(
        page: str, after: str, address: str, visitor: Callable[..., Visitor]) -> None:
    held: list[Route] = []
    opened = visitor().page
    opened.route("**/PlotlyChart*", lambda route: held.append(route))
    opened.goto(f"{address}/{page}")
    opened.wait_for_selector(SKETCH)
    below = opened.get_by_role("heading", name=after)
    below.wait_for()
    opened.get_by_text("follow in a moment").wait_for(state="detached", timeout=60_000)
    assert opened.is_visible(SKETCH) and not opened.query_selector(CHART)
    before = below.bounding_box(), opened.locator(SKETCH).bounding_box()
    while not held:
        opened.wait_for_timeout(50)
    for one in held:
        one.continue_()
    opened.locator(CHART).first.wait_for()
    opened.locator(SKETCH).wait_for(state="hidden")
    chart = opened.locator(".js-plotly-plot").first.bounding_box()
    assert (below.bounding_box(), chart) == before


@pytest.mark.parametrize("page", ["embeddings", "privacy", ""])
def test_the_rest_follows_a_view_that_never_says_that_it_is_drawn(page: str, address: str) -> None:
    class Here:
        stream = address.replace("http", "ws") + "/_stcore/stream"

    async def charts(seconds: float) -> int:
        async with connection(Here()) as socket:  # type: ignore[arg-type]
            return sum(one.delta.new_element.WhichOneof("type") == "plotly_chart"
                       for one in await visit(socket, "", page, seconds))

    assert awaited(charts(0)) == 0
    assert awaited(charts(120)) > 0
