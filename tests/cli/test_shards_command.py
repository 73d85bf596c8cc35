"""The command `shards`: what a request costs networks trained in shards, and what comes out."""

from __future__ import annotations

import json

import pytest

from unlearn_core.__main__ import main


def test_one_picture_goes_back_to_one_slice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shards", "--network", "people-resnet", "--forget", "image:17", "--run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    images, again = said["images"], said["again"]
    assert sum(map(sum, images)) == 1 and sum(map(any, again)) == 1
    hit = next(shard for shard, row in enumerate(images) if any(row))
    assert again[hit] == [i >= images[hit].index(1) for i in range(len(again[hit]))]
    assert 0 < said["share"] < 0.25 and said["seconds"] > 0
    before, after = said["gauges"]["shards before"], said["gauges"]["shards after"]
    assert abs(before["retain"] - after["retain"]) < 0.05 and after["forget"] in (0, 1)


def test_a_class_costs_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shards", "--forget", "3", "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "5 of 5 shards go back" in said and "shard 5" in said and "slice 4" in said


@pytest.mark.parametrize(("typed", "said"), [
    (["--network", "people-poisoned"], "one that was trained in shards expected, got people-poisoned"),
    (["--network", "nobody"], "got 'nobody'"), (["--forget", "99"], "99")])
def test_what_cannot_be_is_said_in_a_sentence(capsys: pytest.CaptureFixture[str], typed: list[str], said: str) -> None:
    assert main(["shards", *typed]) == 2
    assert said in capsys.readouterr().err
