"""The glossary: every term filled in three depths, its step there, and its way into a text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from ui.glossary import DEPTHS, FILE, glossary, marked, tip
from ui.lessons import lessons

TERMS = glossary()
FORBIDDEN = re.compile(r"\b(erased?|proved|proven|certified|anonymous|compliant|safe|complete(ly)?)\b", re.IGNORECASE)


def test_every_term_is_told_in_three_depths_and_its_step_exists() -> None:
    steps = {lesson.name: len(lesson.steps) for lesson in lessons()[0]}
    for name, term in TERMS.items():
        told = [getattr(term, depth) for depth in DEPTHS]
        assert len(set(told)) == 3 and all(len(text) > 5 and text[-1] in ".?)" for text in told), name
        assert len(term.plain) < 160 and '"' not in term.plain, "a sentence to hover over"
        if term.step:
            assert 1 <= term.step <= steps.get(term.lesson, 0), name
        else:
            assert (REPOSITORY / "pages" / f"{term.lesson}.py").exists() and term.address == term.lesson, name


def test_no_term_claims_too_much_and_no_word_leads_to_two() -> None:
    assert not FORBIDDEN.findall(FILE.read_text("utf-8"))
    words = [word for term in TERMS.values() for word in term.also]
    assert len(words) == len(set(words))


def test_every_term_that_a_page_asks_for_exists() -> None:
    asked = {name for file in [*REPOSITORY.glob("ui/**/*.py"), *REPOSITORY.glob("pages/*.py"), REPOSITORY / "app.py"]
             for name in re.findall(r'\btip\("([^"]+)"\)', file.read_text("utf-8"))}
    assert asked and asked <= set(TERMS)
    assert tip("alpha").startswith(TERMS["alpha"].plain) and "lesson=ssd" in tip("alpha")


def test_a_term_is_marked_once_in_a_text_and_links_are_left_alone() -> None:
    text = marked("At α = 4 SSD, and SSD again; [SSD](here) and LiRAs, 1/ρ.")
    assert text.count("](learn?lesson=ssd&step=1") == 2, "α and the first SSD"
    assert "SSD again; [SSD](here) and LiRAs" in text and f'"{TERMS["alpha"].plain}")' in text
    assert "[1/ρ](learn?lesson=ssd&step=2" in text
    assert "[SSD]" not in marked("SSD", without=["ssd"])
    assert marked("") == ""


@pytest.mark.parametrize(("old", "new", "said"), [
    ('plain = "How many test', 'plainly = "How many test', "retain_accuracy: exactly title, also"),
    ('source = "Tarun et al., arXiv 2111.08947"', 'source = ""', "unsir: source must not be empty"),
    ("[alpha]", "[alpha", "cannot be read"),
])
def test_a_fault_is_told_in_a_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = FILE.read_text("utf-8").replace(old, new, 1)
    (tmp_path / "glossary.toml").write_text(text, "utf-8")
    with pytest.raises(ValueError, match=said):
        glossary(tmp_path / "glossary.toml")
