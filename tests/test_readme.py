"""The README: its example runs, and says what it promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import unlearn_core
from tests.conftest import REPOSITORY
from unlearn_core.nets.evaluate import outputs
from unlearn_core.subjects.fashion import fashion_mnist

README = (REPOSITORY / "README.md").read_text("utf-8")


def test_the_example_of_the_core_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    found: dict[str, object] = {}
    exec(example, found)
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == ["original", "unlearned", "retrained", "retrained", "retrained"]
    assert all(f"'{name}'" in told[0] and f"`{name}`" in README for name in ("forget", "retain", "membership"))
    pixels = fashion_mnist("test").pixels(range(50))  # type: ignore[arg-type]
    one, other = (outputs(model, pixels, weights).logits for model, weights in (
        (found["forgetful"], None), (found["task"].model, found["outcome"].weights)))  # type: ignore[attr-defined,arg-type]
    assert (one == other).all()


def test_everything_that_the_core_names_is_there() -> None:
    assert all(hasattr(unlearn_core, name) for name in unlearn_core.__all__)


def test_the_picture_of_the_house_is_the_house() -> None:
    (picture,) = re.findall(r"^```\n(serve\.py .*?)```", README, re.DOTALL | re.MULTILINE)
    drawn, above = set(), Path()
    for line in picture.splitlines():
        indent, names = re.fullmatch(r"( *)((?:[\w.]+(?:/|\.py|\.md) )*).*", line).groups()  # type: ignore[union-attr]
        places = [(above if indent else Path()) / name for name in names.split()]
        if places and not indent:
            (above,) = places
        drawn |= set(places)
    assert not [place for place in drawn if not (REPOSITORY / place).exists()]
    packages = {init.parent.relative_to(REPOSITORY) for root in ("ui", "unlearn_core")
                for init in (REPOSITORY / root).glob("*/__init__.py")}
    assert packages | {Path(name) for name in ("ui", "pages", "unlearn_core", "tests", "tools")} <= drawn


def test_a_page_is_layout_and_words() -> None:
    assert {page.name: lines for page in (REPOSITORY / "pages").glob("*.py")
            if (lines := len(page.read_text("utf-8").splitlines())) > 150} == {}
