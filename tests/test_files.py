"""Tests of unlearn_core.files: whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from unlearn_core.files import replacing


def test_a_file_is_replaced_when_all_went_well(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    with replacing(file) as unfinished:
        unfinished.write_text("after")
        assert file.read_text() == "before" and unfinished.parent == tmp_path and unfinished.suffix == ".tmp"
    assert file.read_text() == "after" and list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_it_stays_as_it_was_when_something_went_wrong(tmp_path: Path, error: type[BaseException]) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    with pytest.raises(error), replacing(file) as unfinished:
        unfinished.write_text("half of it")
        raise error
    assert file.read_text() == "before" and list(tmp_path.iterdir()) == [file]


def test_a_name_under_which_nothing_can_be_written_keeps_its_own_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="touch me"), replacing(tmp_path / "file" / "below"):
        raise NotADirectoryError("touch me")
