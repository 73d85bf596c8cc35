"""The verdict, audited: what the shipped table holds, and that the document is what the table says."""

from __future__ import annotations

import pytest

from unlearn_core import assets
from unlearn_core.audit.evidence import ORIGINAL
from unlearn_core.audit.verdict import Level
from unlearn_core.bundle.confusion import DOCUMENT, GROUPS, SEVERE, document, tables
from unlearn_core.methods import METHODS
from unlearn_core.nets.request import POISONED, Request
from unlearn_core.progress import silent
from unlearn_core.serving.choice import choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.judgement import audit
from unlearn_core.study.verdicts import CONTROL, DEFAULT, HELD_OUT, OPENING, Row, load
from unlearn_core.subjects import openings
from unlearn_core.subjects.subject import bundled, subject

SEEDS = {"small-resnet": 5, "small-vit": 3}
ROWS = [row for network in bundled("fashion-mnist") for row in load(network)]


def of(what: str, settings: str | None = None) -> list[Row]:
    return [row for row in ROWS if row.what == what and settings in (None, row.settings)]


def test_every_network_class_and_method_is_in_the_table() -> None:
    requests = {(network, label) for network in bundled("fashion-mnist") for label in range(10)}
    for what, settings in ((ORIGINAL, ""), (CONTROL, ""), *((name, how) for name in METHODS.keys() - {"retrain"}
                                                            for how in (DEFAULT, OPENING))):
        assert {(row.network, row.forget) for row in of(what, settings)} == requests, (what, settings)
    for network, seeds in SEEDS.items():
        assert len([row for row in of(HELD_OUT) if row.network == network]) == 10 * seeds


def test_the_document_names_the_methods_that_were_not_judged() -> None:
    assert "Not judged yet" not in DOCUMENT.read_text("utf-8")
    without = document({name: [row for row in rows if row.what not in ("ssd", "pgu")]
                        for name, rows in tables().items()})
    assert "Not judged yet, and in no table below: SSD, PGU." in without


def test_rows_are_of_choices_as_they_are_today() -> None:
    for name in METHODS:
        for row in of(name, DEFAULT):
            assert row.key == choice(row.network, (row.forget,), name, {}).key, f"`make audit`: {name} has changed"


def test_the_original_is_not_forgotten_and_head_zeroing_is_hidden() -> None:
    assert {row.level for row in of(ORIGINAL)} == {Level.NOT_FORGOTTEN}
    assert {row.level for row in (*of(CONTROL), *of("head_zeroing", DEFAULT), *of("head_zeroing", OPENING))} == {
        Level.HIDDEN}


def test_most_retrained_networks_are_not_told_when_held_out() -> None:
    """A test at 99 %, eight times: some fail by luck. Classes of even number were not used to set anything."""
    for part in (0, 1):
        held = [row for row in of(HELD_OUT) if row.forget % 2 == part]
        assert sum(row.level not in (Level.NOT_TOLD, Level.ANSWERS) for row in held) <= 0.1 * len(held)
        resnet = [row for row in held if row.network == "small-resnet"]  # of the transformer two others are too few
        assert sum(row.level == Level.NOT_TOLD for row in resnet) >= 0.8 * len(resnet)
    assert not {row.level for row in of(HELD_OUT)} & {Level.NOT_FORGOTTEN, Level.PARTLY, Level.DAMAGED}


def test_a_class_that_lost_twenty_points_is_named_and_never_called_well_forgotten() -> None:
    severe = [row for row in ROWS if row.lost >= SEVERE]
    assert len(severe) > 20
    for row in severe:
        assert f"{row.worst} lost" in row.verdict, row
        assert row.level in (Level.NOT_FORGOTTEN, Level.PARTLY, Level.DAMAGED), row


def test_the_document_is_what_the_table_says() -> None:
    assert DOCUMENT.read_text("utf-8") == document(tables())


@pytest.mark.parametrize("name", ["ssd", "head_zeroing"])
def test_a_row_is_what_is_computed(name: str) -> None:
    engine, chosen = Engine(), choice("small-resnet", (3,), name, {})
    scene = engine.prepare(chosen, silent)
    found = audit(engine, scene, engine.compute(scene, chosen, silent)).verdict
    row = next(row for row in of(name, DEFAULT) if (row.network, row.forget) == ("small-resnet", 3))
    assert (row.level, row.verdict) == (str(found.level), str(found))


def test_persons_and_the_poison_are_judged_as_classes_are() -> None:
    for name, (network, kind, methods) in GROUPS.items():
        rows, groups = load(name), range(len(subject(network).groups[kind].names))
        assert {row.network for row in rows} == {network}
        for what, settings in ((ORIGINAL, ""), *((m, how) for m in methods for how in (DEFAULT, OPENING))):
            found = [row.forget for row in rows if (row.what, row.settings) == (what, settings)]
            assert sorted(found) == list(groups), (name, what, settings)
        held = [row for row in rows if row.what == HELD_OUT]
        assert len(held) == len(groups) * (5 if kind == POISONED else 3)
        assert {row.level for row in rows if row.what == ORIGINAL} == {Level.NOT_FORGOTTEN}
        for part in (0, 1):
            mine = [row for row in held if row.forget % 2 == part]
            assert not {row.level for row in mine} & {Level.NOT_FORGOTTEN, Level.PARTLY, Level.DAMAGED}
            assert sum(row.level in (Level.HIDDEN, Level.OVER, Level.TOLD) for row in mine) <= 0.15 * len(mine)
        for row in rows:
            if row.key:
                request = Request((row.forget,), kind)
                knobs = {} if row.settings == DEFAULT else openings.start(network, request, row.what)
                assert row.key == choice(network, request, row.what, knobs).key, "`make audit`"


def test_the_tables_are_listed() -> None:
    assert {f"verdicts/{name}.json" for name in tables()} <= set(assets.manifest().files)
