"""Whatever page one stops at, the conclusion is the same, and no page words one of its own."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from tests.conftest import opened_app
from ui.server.runtime import engine
from unlearn_core.audit.verdict import Level
from unlearn_core.methods import METHODS
from unlearn_core.nets.request import Request
from unlearn_core.serving import judgement
from unlearn_core.serving.choice import choice
from unlearn_core.subjects import openings

PAGES = ("playground", "layers", "compare", "privacy", "embeddings", "landscape", "methods", "queue")
CONCLUDES = re.compile("|".join([*map(str, Level), "Told from", "Gone,", "rather than gone", "as good as retrain",
                                 "nearer to retraining", "no measurable cost", "[Cc]ompletely forgotten", "erased"]))

REFUSED = "cannot be used here"


def waiting(test: AppTest) -> bool:
    return any(b.label == "Cancel" for b in test.button) or any("follow in a moment" in c.value for c in test.caption)


def words(address: dict[str, str]) -> Iterator[tuple[str, str, list[str]]]:
    """Every page of a choice: its name, its headline, and everything else that it says."""
    test = opened_app()
    for name, value in address.items():
        test.query_params[name] = value
    for page in PAGES:
        test.switch_page(f"pages/{page}.py").run()
        for _ in range(600):
            if not waiting(test):
                break
            time.sleep(0.1)
            test.run()
        assert not test.exception and not test.error, page
        heads = [f"#### {m.value}" for m in test.info if REFUSED in m.value] or [
            m.value for m in test.markdown if m.value.startswith("#### ")]
        said = [m.value for m in (*test.markdown, *test.caption, *test.info, *test.success)]
        yield page, heads[0].removeprefix("#### "), [s for s in said if s != heads[0]]


def addresses(networks: tuple[str, ...], classes: tuple[int, ...], methods: tuple[str, ...]) -> list[dict[str, str]]:
    """Each method as the request opens and at each preset that the request is offered."""
    made = []
    for network in networks:
        for label in classes:
            for name in methods:
                opens = openings.start(network, Request((label,)), name)
                settings = [opens, *(one.settings for one in openings.presets(network, Request((label,)), name))]
                for given in settings:
                    moved = {knob: f"{v:g}" if isinstance(v, float) else str(v)
                             for knob, v in given.items() if v != opens[knob]}
                    one = {"network": network, "forget": str(label), "method": name, "plain": "1"} | moved
                    if one not in made:
                        made.append(one)
    return made


def agrees(address: dict[str, str]) -> None:
    heads = {}
    for page, head, rest in words(address):
        heads[page] = head
        own = [said for said in rest if CONCLUDES.search(said) and not (
            page == "compare" and said.startswith("#### Verdicts on "))]  # counts the verdicts of all methods
        assert not own, (page, own)
    assert len(set(heads.values())) == 1, heads
    assert any(head.startswith((str(level), "The answers are forgotten")) or REFUSED in head
               for head in heads.values() for level in Level), heads


@pytest.mark.parametrize("address", [
    {}, {"method": "head_zeroing"}, {"method": "unsir"}, {"forget": "0,6"}, {"alpha": "20"}, *(
        pytest.param(address, marks=pytest.mark.slow) for address in (
            {"forget": "7", "alpha": "4"}, {"alpha": "0.3", "lambda": "0.1"},
            {"network": "small-vit", "forget": "5", "method": "lfssd"}))],
    ids=lambda address: "&".join(f"{name}={value}" for name, value in address.items()) or "default")
def test_pages_do_not_contradict_each_other(address: dict[str, str]) -> None:
    agrees(address)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(METHODS) - {"retrain"}))
@pytest.mark.parametrize("network", ["small-resnet", "small-vit"])
def test_pages_agree_on_one_choice_of_each_method(network: str, name: str) -> None:
    """Class and preset by lot: a quarter of an hour for both networks and all methods."""
    agrees(random.Random(f"{network} {name}").choice(addresses((network,), tuple(range(10)), (name,))))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(METHODS) - {"retrain"}))
@pytest.mark.parametrize("network", ["small-resnet", "small-vit"])
@pytest.mark.parametrize("label", range(10))
def test_pages_agree_over_the_whole_space(network: str, label: int, name: str) -> None:
    """Every class, method, opening and preset: half an hour for those that dampen (-k "ssd or zeroing"), hours for
    all."""
    for address in addresses((network,), (label,), (name,)):
        agrees(address)


def test_the_command_line_a_sweep_and_the_page_say_the_same() -> None:
    from unlearn_core.study.run import record, run

    chosen = choice("small-resnet", (0,), "head_zeroing", {})
    scene = engine().scene(chosen).result()
    page = judgement.submit(engine(), scene, engine().settle(scene, chosen).result()).result().verdict
    assert str(run(chosen).audit.verdict) == str(page) == record(chosen)["verdict"]
    assert record(chosen)["level"] == str(page.level) == "Hidden"
