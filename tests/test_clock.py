"""The clock of the machine may be set while the app runs: it labels things and decides nothing."""

from __future__ import annotations

import ast

import pytest

from tests.conftest import REPOSITORY

FILES = [file for folder in ("ui", "unlearn_core", "pages") for file in sorted((REPOSITORY / folder).rglob("*.py"))]
LABELS = {"unlearn_core/sheet/evidence.py", "unlearn_core/picture/file.py", "unlearn_core/study/run.py"}
"""Those that write down when something was made."""


def clocks(source: str) -> list[str]:
    """What in some code reads a clock that can be set."""
    settable = {"time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime", "datetime.now",
                "datetime.utcnow", "datetime.today", "date.today"}
    found = [ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
    imported = [f"{node.module}.{name.name}" for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.ImportFrom) for name in node.names]
    return [name for name in (*found, *imported) if name in settable]


def test_nothing_but_labels_reads_a_clock_that_can_be_set() -> None:
    names = [str(file.relative_to(REPOSITORY)) for file in FILES if clocks(file.read_text("utf-8"))]
    assert set(names) == LABELS


@pytest.mark.parametrize("source", ["import time\ntime.time()", "from time import time", "datetime.now(UTC)"])
def test_such_a_clock_is_seen(source: str) -> None:
    assert clocks(source) and not clocks("import time\ntime.monotonic()")
