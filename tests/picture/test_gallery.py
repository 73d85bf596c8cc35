"""A folder of pictures, listed by what each says of itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from unlearn_core.__main__ import main
from unlearn_core.picture import gallery


def test_pictures_are_written_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["picture", "head_zeroing", "--forget", "3", "--out", str(tmp_path / "a & b.html")]
    assert main([*command, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["bytes"] == (tmp_path / "a & b.html").stat().st_size
    what = gallery.about(tmp_path / "a & b.html")
    assert what is not None and what["key"] == said["key"] and what["words"] == "Dress"
    (tmp_path / "other.html").write_text("<p>no picture</p>")
    assert main(["gallery", str(tmp_path)]) == 0 and main(["gallery", str(tmp_path)]) == 0, "it may be made again"
    assert "with 1 pictures" not in capsys.readouterr().out
    index = (tmp_path / "index.html").read_text("utf-8")
    assert re.findall(r'href="([^"]*)"', index) == ["a%20%26%20b.html"]
    assert what["verdict"] in index and what["key"] in index and index.count("<svg") == 3
    assert "default-src 'none'" in index and "<script" not in index


def test_what_is_no_gallery_or_no_folder_of_pictures_is_left_alone(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gallery", str(tmp_path)]) == 2 and main(["gallery", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("a folder with files of the command picture expected") == 2
    hostile = {"schema": gallery.SCHEMA, "gauges": [], "credit": "", "permalink": "", **dict.fromkeys(
        ("method", "words", "network", "images", "verdict", "meaning", "computed_on", "key"), "<b onload=x>")}
    (tmp_path / "p.html").write_text(
        f'<script type="application/json" id="about">{json.dumps(hostile)}</script>')
    (tmp_path / "index.html").write_text("mine")
    assert main(["gallery", str(tmp_path)]) == 2
    assert "is no gallery" in capsys.readouterr().err and (tmp_path / "index.html").read_text() == "mine"
    (tmp_path / "index.html").unlink()
    assert main(["gallery", str(tmp_path)]) == 0 and "<b onload" not in (tmp_path / "index.html").read_text()
    for broken in ("{", "[]", json.dumps({"schema": gallery.SCHEMA})):
        (tmp_path / "p.html").write_text(f'<script type="application/json" id="about">{broken}</script>')
        assert main(["gallery", str(tmp_path)]) == 2
