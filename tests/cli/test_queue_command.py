"""The command `queue`: a table of every request after each step, and sentences for what cannot be."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from unlearn_core.__main__ import main


def test_a_queue_of_a_person_a_picture_and_a_class_becomes_one_table(capsys: pytest.CaptureFixture[str],
                                                                    tmp_path: Path) -> None:
    command = ["queue", "--network", "people-resnet", "--forget", "person:2", "--forget", "image:17", "--methods",
               "neggrad", "--set", "epochs=1", "--out", str(tmp_path / "new")]
    assert main([*command, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    table = pd.read_csv(tmp_path / "new" / "queue.csv")
    assert said["queue"] == ["person:2", "image:17"] and not said["ended"] and len(said["rows"]) == len(table) == 3
    again = pd.read_parquet(tmp_path / "new" / "queue.parquet").replace("", math.nan)
    pd.testing.assert_frame_equal(again, table, check_dtype=False)
    assert list(table["request"]) == ["person:2", "person:2", "image:17"] and list(table["step"]) == [1, 2, 2]
    assert math.isnan(table["reversal"][0]) and table["reversal"][1] >= 0
    assert list(table["accuracy_images"])[2] == 1, "the image itself, which no test image shows"
    assert (table["erosion_low"] <= table["erosion"]).all() and (table["erosion"] <= table["erosion_high"]).all()
    assert json.loads(table["settings"][0])["epochs"] == 1


def test_in_words_it_stops_where_a_method_cannot_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue", "--network", "people-resnet", "--forget", "person:2", "--methods", "head_zeroing",
                 "--quiet"]) == 1
    said = capsys.readouterr().out
    assert "forgets in turn: 1. " in said and "It could not go on. Head zeroing shuts off whole classes" in said


@pytest.mark.parametrize(("typed", "said"), [
    (["--forget", "3", "--forget", "3", "--methods", "ssd"], "request 2 asks only for images that were asked for"),
    (["--forget", "3", "--methods", "nothing"], "nothing"),
    (["--forget", "3", "--methods", "ssd", "lfssd", "--set", "alpha=4"], "set: knobs of one method alone expected"),
    (["--forget", "99", "--methods", "ssd"], "numbers in 0..9 expected")])
def test_what_cannot_be_is_said_before_any_work(typed: list[str], said: str,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue", *typed]) == 2
    assert said in capsys.readouterr().err
