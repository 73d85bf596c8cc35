"""Who else was hurt, person by person: which of the others are shown, and what is said of them."""

from __future__ import annotations

from tests.browser.test_pages import app
from ui.panels.neighbours import SHOWN, neighbours_finding
from unlearn_core.audit.verdict import Loss
from unlearn_core.subjects.subject import subject


def loss(name: str, value: float, half: float) -> Loss:
    return Loss(name, value, (value - half, value + half), 60)


def test_only_a_loss_that_is_sure_is_called_sure() -> None:
    ann, bob = loss("person Ann", 0.2, 0.1), loss("person Bob", 0.05, 0.1)
    assert neighbours_finding("person", [ann, bob]) == \
        "Of 2 others by person, 1 of them surely lost accuracy; person Ann −20.0 points at worst."
    assert "none of them surely lost accuracy; person Bob −5.0 points" in neighbours_finding("person", [bob, bob])


def test_the_other_persons_stand_below_the_picture_the_worst_first() -> None:
    test = app(network="people-resnet", forget="person:3")
    said = [m.value for m in test.markdown]
    assert "#### Who else was hurt, by person?" in said and not test.exception
    persons = subject("people-resnet").groups["person"].names
    assert any(line.startswith(f"Of {len(persons) - 1} others by person, ") for line in said)
    [wall] = [html.proto.body for html in test.get("html") if html.proto.body.count("points") == 0
              and html.proto.body.count("<figcaption") == SHOWN]
    lost = [float(part.split(">")[1].split(" (")[0].split()[-1].replace("−", "-"))
            for part in wall.split("<figcaption")[1:]]
    assert lost == sorted(lost) and persons[3] not in wall
    assert not any("by person" in m.value for m in app().markdown), "clothes are worn by nobody"
