"""docs/methods.md has every method and its source, and what others cite of it; nothing else is cited."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from unlearn_core.methods import METHODS
from unlearn_core.methods.base import Method

PAGE = (REPOSITORY / "docs" / "methods.md").read_text("utf-8")
HEADINGS = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
WRITTEN = {".py", ".md", ".toml", ".txt", ".js", ".ts", ".css", ".jinja", ""}


def written() -> Iterator[tuple[Path, str]]:
    """Every file of the repository that people write, and its text."""
    for folder, below, names in os.walk(REPOSITORY):
        below[:] = [name for name in below if not name.startswith((".", "__")) and name != "build"]
        for file in (Path(folder) / name for name in names if not name.startswith(".")):
            if file.suffix in WRITTEN:
                yield file.relative_to(REPOSITORY), file.read_text("utf-8", "ignore")


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_method_has_a_section_that_names_its_paper(method: Method) -> None:
    section = re.search(rf"^### {re.escape(method.title)}\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
    assert section, f"docs/methods.md has no heading ### {method.title}"
    for number in re.findall(r"arXiv \d{4}\.\d{5}", method.paper):
        assert number in section[1].replace("\n", " ")


def test_no_two_sections_have_the_same_name_and_every_link_leads_to_one() -> None:
    assert len(HEADINGS) == len(set(HEADINGS))
    anchors: list[str] = []
    for heading in HEADINGS:
        plain = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        anchors.append(f"{plain}-1" if plain in anchors else plain)
    assert set(re.findall(r"\(#([^)]*)\)", PAGE)) <= set(anchors)


def test_what_is_cited_is_there() -> None:
    cited = {(str(file), name) for file, text in written()
             for names in re.findall(r'docs/methods\.md, ("[A-Z][^"]+"(?: and "[^"]+")?)', text)
             for name in re.findall(r'"([^"]+)"', names)}
    assert len(cited) > 10
    assert not {(file, name) for file, name in cited if name not in HEADINGS}


def test_nothing_outside_the_repository_is_cited() -> None:
    outside = "METHODS" + ".md", "shared" + "/"
    assert not [(str(file), name) for file, text in written() for name in outside if name in text]
