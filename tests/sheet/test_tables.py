"""The tables of an outcome: the same numbers as everywhere, in two formats that any tool reads."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from unlearn_core.__main__ import main
from unlearn_core.serving.choice import choice
from unlearn_core.sheet import words
from unlearn_core.sheet.evidence import outcome, own_engine
from unlearn_core.sheet.tables import CAPTIONS, archive, source, tables


def test_tables_hold_what_the_audit_says() -> None:
    chosen = choice("small-resnet", (0,), "ssd", {"alpha": 4.64, "lambda": 0.3})
    scene, settled, audit = outcome(chosen)
    made = tables(own_engine(), scene, settled, audit)
    assert list(made) == list(CAPTIONS)
    assert made["gauges"]["this_network"].tolist() == [one.value for one in audit.readings.gauges.values()]
    assert made["classes"]["this_network"].to_numpy() == pytest.approx(audit.readings.accuracy)
    assert made["classes"]["class"][made["classes"]["forgotten"]].tolist() == ["T-shirt"]
    worst = audit.verdict.loss
    assert worst is not None and made["losses"].iloc[0].tolist() == [
        worst.group, worst.value, *worst.interval, worst.images, worst.damage]
    assert set(made["losses"]["group"]) == set(made["classes"]["class"]) - {"T-shirt"}
    assert made["checks"]["in_verdict"].sum() == len(audit.checks) and len(audit.beside) == 2 == (
        ~made["checks"]["in_verdict"]).sum() and set(made["checks"]["status"]) >= {"passes", "fails"}
    assert settled.answers is not None
    assert made["layers"]["selected"].sum() == settled.answers.selected.sum()
    layers = made["layers"].set_index("layer")
    assert layers["change_rank"].dropna().between(0, layers["directions"].dropna()).all()
    assert layers["directions"].isna().tolist() == [scene.task.model.get_parameter(name).ndim < 2
                                                    for name in layers.index]
    images = made["images"]
    kept = images["to_be_forgotten"] & images["trained_on"]
    assert (images["after"] == images["class"])[kept].mean() == pytest.approx(settled.gauges["forget"].value)
    apart = images.filter(regex="klom|surer")
    assert list(apart) == ["klom", "klom_low", "klom_high", "surer"]
    assert len(images) == len(scene.seen.evaluation.labels)
    assert (apart.notna().all(axis=1) == kept).all() and (apart.isna().all(axis=1) == ~kept).all()
    assert (apart["klom_low"] <= apart["klom"])[kept].all() and (apart["klom"] <= apart["klom_high"])[kept].all()
    assert np.isfinite(images.drop(columns=list(apart)).select_dtypes("number").to_numpy()).all()
    gone = images["before"] != images["after"]
    assert images["moved_answer"][gone].min() > 0, "whose answer changed moved"

    with zipfile.ZipFile(io.BytesIO(archive(made))) as file:
        assert len(file.namelist()) == 2 * len(made) + 1
        told = file.read("README.txt").decode()
        assert source(chosen, audit) in told and chosen.key in told and audit.verdict.sentence in told
        assert not any(word in told.lower().split() for word in words.FORBIDDEN)
        for name, frame in made.items():
            spread = pd.read_csv(io.BytesIO(file.read(f"{name}.csv")))
            whole = pd.read_parquet(io.BytesIO(file.read(f"{name}.parquet")))
            assert list(spread.columns) == list(whole.columns) == list(frame.columns)
            pd.testing.assert_frame_equal(whole, frame)
            assert whole.attrs["key"] == chosen.key and whole.attrs["caption"] in told
            assert chosen.key.encode() in b"".join(
                parquet.read_schema(io.BytesIO(file.read(f"{name}.parquet"))).metadata.values())


def test_the_command_line_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tables.zip"
    assert main(["tables", "head_zeroing", "--forget", "1,2", "--out", str(file), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows["classes"] == 10 and rows["checks"] >= 0 and zipfile.is_zipfile(file)
    assert main(["tables", "head_zeroing", "--out", str(tmp_path / "none" / "t.zip")]) == 2
    assert "out: a file in an existing folder" in capsys.readouterr().err
