"""The evidence sheet: true to the verdict, the same when run again, and free of words that nothing could back."""

from __future__ import annotations

import ast
import copy
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file

from tests.conftest import REPOSITORY
from ui.state import read_address
from unlearn_core.__main__ import main
from unlearn_core.audit import verdict as verdicts
from unlearn_core.audit.evidence import UNLEARNED, gather
from unlearn_core.audit.verdict import Level, Verdict
from unlearn_core.figures import style
from unlearn_core.methods import METHODS
from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import Request
from unlearn_core.progress import silent
from unlearn_core.serving.choice import Choice, choice
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.judgement import Audit
from unlearn_core.serving.judgement import audit as judge
from unlearn_core.serving.scenes import Scene, Settled
from unlearn_core.sheet import drawing, folder, keys, verify, words
from unlearn_core.sheet import evidence as sheets
from unlearn_core.sheet.asked import asked
from unlearn_core.sheet.evidence import Evidence, evidence, own_engine, permalink, settings_chosen, weights_file
from unlearn_core.sheet.render import card, data, page
from unlearn_core.sheet.weights import fingerprint, packed
from unlearn_core.study.run import run
from unlearn_core.subjects import openings
from unlearn_core.subjects.subject import subject

KEY = bytes(range(32))
SCHEMA = json.loads((Path(folder.__file__).parent / "evidence.schema.json").read_text("utf-8"))
WORDS = re.compile(rf"\b({'|'.join(words.FORBIDDEN)})\b", re.IGNORECASE)
ALLOWED = ("never “certificate”, and these words are not used: *" + ", ".join(words.FORBIDDEN) + "*",)
"""Sentences that name the words in order to say that they are not used."""

Made = tuple[Engine, Scene, Settled, Audit]


@pytest.fixture(scope="module")
def hides() -> Made:
    """Head zeroing through the engine, as the app has it at hand."""
    torch.set_num_threads(1)
    engine, chosen = own_engine(), choice("small-resnet", (0,), "head_zeroing", {})
    scene = engine.prepare(chosen, silent)
    settled = engine.compute(scene, chosen, silent)
    return engine, scene, settled, judge(engine, scene, settled)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sheet as the command line writes it."""
    place = tmp_path_factory.mktemp("sheets") / "hides"
    assert main(["evidence", "head_zeroing", "--forget", "0", "--out", str(place), "--quiet"]) == 0
    return place


@pytest.fixture
def sheet(made: Path) -> Evidence:
    return verify.load(made / "evidence.json")


# -- what it says ------------------------------------------------------------------------------------------------------


def test_the_data_are_as_the_schema_says_and_the_verdict_is_the_one_verdict(hides: Made) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    found, audit = evidence(*hides, KEY), hides[-1]
    jsonschema.validate(found, SCHEMA)
    assert json.loads(data(found)) == found
    assert found["reading"]["finding"] == audit.verdict.sentence and found["reading"]["detail"] == audit.verdict.detail
    assert found["reading"]["level"] == "Hidden" and found["reading"]["status"] == "draft"
    for row, check, mark in zip(found["evidence"]["checks"], audit.checks, audit.verdict.marks, strict=True):
        assert row["measure"] == mark.title and row["status"] == mark.status
        if UNLEARNED in check.judged:
            assert row["this_model"] == pytest.approx(check.judged[UNLEARNED].value, rel=1e-5)
            assert row["retrained_low"] == pytest.approx(check.judged[UNLEARNED].null.min(), rel=1e-5)
    assert [row["this_model"] for row in found["evidence"]["gauges"]] == [
        pytest.approx(reading.value, rel=1e-5) for reading in audit.readings.gauges.values()]
    assert {row["name"] for row in found["touched"]["classes"] if row["forgotten"]} == {"T-shirt"}


def test_the_command_line_makes_what_the_app_has_at_hand_and_learns_again_as_well(hides: Made, sheet: Evidence) -> None:
    app = evidence(*hides)
    for place in (*verify.LOCAL, *verify._KEYED):
        block, name = place.split(".")[:2]
        sheet[block][name] = app[block][name]
    relearn, late = sheet["evidence"]["checks"].pop(), app["evidence"]["checks"].pop()
    assert (relearn["status"], late["status"]) == ("fails", "not made yet") and relearn["measure"] == "Relearn time"
    assert "relearn time" in sheet["reading"].pop("finding") and "Not tried yet" in app["reading"].pop("detail")
    del sheet["reading"]["detail"], app["reading"]["finding"]
    assert sheet == app


def test_every_check_and_level_is_put_in_plain_words() -> None:
    assert set(words.MEANING) == set(Level)
    labels = torch.arange(4).repeat(10).numpy()
    assert {check.title for check in gather({}, [], labels, labels < 2, labels == 0)} == set(words.QUESTIONS)


def test_where_settings_come_from_is_said() -> None:
    def said(settings: dict[str, Any], forget: tuple[int, ...] = (0,)) -> tuple[str, str]:
        return settings_chosen(choice("small-resnet", forget, "ssd", settings))

    assert said(openings.start("small-resnet", Request((0,)), "ssd"))[0].startswith("the opening of this request")
    assert "300 of the training images" in said(openings.start("small-resnet", Request((0,)), "ssd"))[1]
    assert said({}, (0, 3))[0] == "the general defaults of the method"
    named = next(one for one in openings.presets("small-resnet", Request((0,)), "ssd") if one.name == "official")
    assert said(named.settings)[0] == "the preset “official”" and "300" not in said(named.settings)[1]
    assert said({"alpha": 0.5})[0] == "set by hand" and "not known" in said({"alpha": 0.5})[1]


@pytest.mark.parametrize("name, settings, seed", [
    ("ssd", {"alpha": 4.64}, 0), ("head_zeroing", {}, 0), ("scrub", {}, 7)])
def test_the_address_on_the_sheet_leads_to_the_same_choice(name: str, settings: dict[str, Any], seed: int) -> None:
    chosen = choice("small-vit", (2, 5), name, settings, seed)
    address = permalink(chosen)
    found = read_address(dict(part.split("=") for part in address.removeprefix("/?").split("&")))
    assert found.choice() == chosen and not found.notes


# -- what it is made of ------------------------------------------------------------------------------------------------


class Words(HTMLParser):
    """The text of a page, and everything that it would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.refused: list[str] = []
        self.style = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.style = tag == "style"
        if tag in ("script", "link", "img", "iframe", "object", "embed", "form", "base"):
            self.refused.append(tag)
        self.refused += [name for name, _ in attributes if name in ("src", "href") or name.startswith("on")]

    def handle_data(self, text: str) -> None:
        if not self.style:
            self.text.append(text)


def read(html: str) -> tuple[str, list[str]]:
    parser = Words()
    parser.feed(html)
    return " ".join(parser.text), parser.refused


def test_the_page_needs_nothing_and_has_every_block(sheet: Evidence) -> None:
    html = page(sheet)
    text, refused = read(html)
    assert not refused and "url(" not in html and "@import" not in html and "http" not in html.replace("http-equiv", "")
    assert [int(n) for n in re.findall(r"<h2><b>(\d)</b>", html)] == list(range(9))
    for said in (sheet["reading"]["finding"], *words.LIMITS, *words.HOW_TO_READ, *words.DECISION_FIELDS.values()):
        assert said in text
    assert {style.ORIGINAL, style.RETRAINED, style.UNLEARNED} <= set(re.findall(r"#[0-9A-F]{6}", html))


def test_names_from_outside_cannot_write_into_page_or_card(sheet: Evidence) -> None:
    evil = '<script>alert(1)</script>" | ``` ---\n- x: {{ 7 * 7 }}'
    sheet["artefacts"]["about"] = sheet["request"]["words"] = evil
    sheet["touched"]["classes"][1]["name"] = evil
    sheet["decision"]["decision"] = evil
    assert not read(page(sheet))[1] and "49" not in page(sheet).split("<main>")[0]
    text = card(sheet)
    front = yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))
    assert front["model-index"][0]["results"][0]["dataset"]["name"] == evil
    assert "<script>" not in text.split("\n---\n")[1]
    row = next(line for line in text.splitlines() if line.startswith("| &lt;script"))
    assert row.count("|") == 5


def test_what_people_fill_in_is_shown(sheet: Evidence) -> None:
    blanks = page(sheet).count('class="blank"')
    sheet["decision"]["reviewed_by"], sheet["reading"]["status"] = "A. Reader", "reviewed"
    jsonschema.validate(sheet, SCHEMA)
    assert "A. Reader" in page(sheet) and "Draft" not in page(sheet)
    assert page(sheet).count('class="blank"') == blanks - 1


def test_the_card_has_the_fields_of_a_model_index(sheet: Evidence) -> None:
    front = yaml.safe_load(card(sheet).split("---")[1])
    (model,) = front["model-index"]
    for result in model["results"]:
        assert {"type", "name"} <= set(result["task"]) and {"type", "name", "split"} <= set(result["dataset"])
        assert result["metrics"] and all({"type", "name", "value"} <= set(metric) for metric in result["metrics"])
    assert model["results"][0]["metrics"][0]["value"] == sheet["evidence"]["gauges"][1]["this_model"]


def test_a_mark_lies_where_its_number_does() -> None:
    row = {"original": 0.5, "retrained_low": 0.0, "retrained_high": 0.1, "this_model": 1.0, "null_band": None}
    assert f'cx="{drawing.WIDTH - drawing.EDGE:.1f}"' in drawing.share(row)
    assert f'x1="{drawing.WIDTH / 2:.1f}"' in drawing.share(row)
    far = drawing.check({**row, "this_model": -1e4, "null_band": [None, 0.2]})
    assert "<circle" not in far and '<path class="mine"' in far
    assert drawing.check(dict.fromkeys(row)) == ""


# -- hashes, weights, files --------------------------------------------------------------------------------------------


def test_hashes_tell_who_has_the_key_and_nobody_else(hides: Made) -> None:
    scene = hides[1]
    train, rows = scene.task.train, asked(scene).rows
    assert len(rows) == 2000 and set(train.labels[rows].tolist()) == {0}
    hashes = keys.manifest(KEY, train, rows)
    assert keys.image_hash(KEY, train.images[rows[5]]) in hashes and hashes == sorted(hashes)
    assert not set(hashes) & set(keys.manifest(bytes(32), train, rows))
    assert evidence(*hides, KEY)["request"]["forget_manifest_hmac"] == keys.manifest_hash(KEY, hashes)
    assert evidence(*hides)["request"]["forget_manifest_hmac"] is None
    one = ImageSet("x", torch.zeros(1, 1, 2, 3, dtype=torch.uint8), torch.zeros(1).long(), ("a",), (0.0,), (1.0,))
    assert keys.image_hash(KEY, one.images[0]) != keys.image_hash(KEY, one.images[0].reshape(1, 3, 2))


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "k"
    key = keys.keep_key(file)
    assert len(key) == 32 and keys.keep_key(file) == key and file.stat().st_mode & 0o777 == 0o600
    monkeypatch.delenv(keys.KEY_FILE, raising=False)
    assert keys.server_key() is None
    monkeypatch.setenv(keys.KEY_FILE, str(file))
    assert keys.server_key() == key
    file.write_text("no key")
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        keys.keep_key(file)


def test_weights_carry_their_recipe_and_both_ways_to_them_have_the_same_bytes(hides: Made, tmp_path: Path) -> None:
    engine, scene, settled, _ = hides
    raw = weights_file(engine, scene, settled)
    (tmp_path / "w").write_bytes(raw)
    with safe_open(tmp_path / "w", "pt") as file:
        recipe = json.loads(file.metadata()["recipe"])
    assert recipe["key"] == settled.choice.key and recipe["settings"] == dict(settled.choice.settings)
    weights = load_file(tmp_path / "w")
    assert not subject("small-resnet").network(weights).training
    whole = run(settled.choice).outcome.state_dict(engine.base("small-resnet").model)
    assert fingerprint(whole) == fingerprint(weights) == evidence(*hides)["artefacts"]["after"]["weights_sha256"]
    assert len({packed(settled.choice, whole) for _ in range(5)}) == 1
    changed = {**weights, "x": torch.zeros(1)}
    assert fingerprint(changed) != fingerprint(weights) == fingerprint(dict(reversed(weights.items())))


def test_no_folder_is_written_over(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {file: file.read_bytes() for file in made.iterdir()}
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for place in (made, tmp_path / "file", tmp_path / "no" / "sheet", tmp_path / "link", REPOSITORY):
        assert main(["evidence", "head_zeroing", "--out", str(place)]) == 2
        said = capsys.readouterr().err
        assert said.startswith("out: an empty folder") and str(place) in said and said.count("\n") == 1
    assert {file: file.read_bytes() for file in made.iterdir()} == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "link"]


def test_a_sheet_is_written_whole_or_not_at_all(
        sheet: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "write_bytes", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        folder.write(tmp_path / "s", sheet, b"", None)
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    (tmp_path / "s").mkdir()
    names = [file.name for file in folder.write(tmp_path / "s", sheet, b"", None)]
    assert names == ["README.md", "evidence.json", "sheet.html", "weights.safetensors"]


# -- run again ---------------------------------------------------------------------------------------------------------


def again(file: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(["verify", str(file), "--quiet"])
    said = capsys.readouterr()
    return code, said.out + said.err


def altered(made: Path, to: Path, **values: object) -> Path:
    """A sheet of its own with some values changed, by place: `evidence/checks/Linear probe/this_model`."""
    found = verify.load(made / "evidence.json")
    for place, value in values.items():
        *path, last = place.split("/")
        tree: Any = found
        for step in path:
            tree = next(row for row in tree if row["measure"] == step) if isinstance(tree, list) else tree[step]
        tree[last] = value
    file = to / "changed.json"
    file.write_text(data(found), "utf-8")
    return file


def test_a_sheet_that_is_as_it_was_is_the_same(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = again(made / "evidence.json", capsys)
    assert code == 0 and said.startswith("The same: ") and "Note" not in said


def test_what_was_changed_is_named_by_its_place_but_people_may_fill_in_what_is_theirs(
        made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = again(altered(made, tmp_path, **{
        "evidence/checks/Linear probe/this_model": 0.98, "evidence/gauges/Retain accuracy/this_model": 0.9295,
        "artefacts/after/weights_sha256": "0" * 64, "reading/level": "Not told from retraining", "limits": [],
        "decision/decision": "retrain", "reading/status": "reviewed", "request/request_ref": "A-17"}), capsys)
    *lines, note = said.splitlines()
    assert code == 1 and "there was no key" in note
    assert {line.split(":")[0] for line in lines if not line.startswith("limits[")} == {
        "evidence.checks[Linear probe].this_model", "evidence.gauges[Retain accuracy].this_model", "limits.length",
        "artefacts.after.weights_sha256", "reading.level"}
    assert "this_model: the sheet says 0.98, run again it is 0.99" in said and "(within its 95 % interval)" in said


@pytest.mark.parametrize("place, value", [
    ("procedure/settings", {"depth": 1000.0}), ("procedure/key", "0" * 16), ("request/forget", "1")])
def test_another_choice_is_told_by_its_key_and_not_run(
        made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str, value: object) -> None:
    code, said = again(altered(made, tmp_path, **{place: value}), capsys)
    assert code == 1 and said.startswith("procedure.key: the sheet says") and said.count("\n") == 1


def test_files_beside_the_data_are_looked_at_too(
        made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / made.name
    shutil.copytree(made, place)
    shutil.copy(made.with_name("hides.key"), tmp_path)
    for name in ("sheet.html", "README.md", "weights.safetensors", "forget-manifest.txt"):
        (place / name).write_bytes((place / name).read_bytes() + b"x")
    code, said = again(place / "evidence.json", capsys)
    assert code == 1 and [line.split(":")[0] for line in said.splitlines()] == [
        "sheet.html", "README.md", "weights.safetensors", "forget-manifest.txt"]


def test_networks_retrained_for_a_request_are_retrained_again_to_check_it(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Stub:
        """Stands in for minutes of training."""

        def __init__(self, engine: Engine, chosen: Choice) -> None:
            engine.keep_retrained(chosen.network, chosen.forget, [
                dict(network.state_dict()) for network in subject(chosen.network).retrained(Request((0,)))])

        def result(self) -> int:
            return 3

    monkeypatch.setattr(sheets, "submit_reference", Stub)
    command = ["evidence", "head_zeroing", "--forget", "0,3", "--out", str(tmp_path / "s"), "--quiet"]
    assert main([*command, "--retrain"]) == 0
    found = verify.load(tmp_path / "s" / "evidence.json")
    assert found["evidence"]["n_retrained"] == 3 and found["evidence"]["reference"] == "retrained for this request"
    assert "--forget 0,3" in found["procedure"]["rerun_command"] and "--retrain" in found["procedure"]["rerun_command"]
    sheets.own_engine()._references.clear()
    sheets.own_engine().pool.clear()
    capsys.readouterr()
    assert again(tmp_path / "s" / "evidence.json", capsys)[0] == 0
    sheets.own_engine()._references.clear()
    sheets.own_engine().pool.clear()


@pytest.mark.parametrize("raw, said", [
    (b"", "no JSON"), (b"\xff\xfe", "no JSON"), (b"[" * 100_000, "no JSON"), (b"[1]", "does not call itself"),
    (b'{"schema": "other"}', "does not call itself"), (b'{"schema": "lacuna-evidence-1"}', "its top is not as it sho"),
    (b'{"schema": NaN}', "no JSON"), (b" " * (verify.MOST_BYTES + 1), "larger than 2 MB")])
def test_a_foreign_file_is_refused_in_a_sentence(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], raw: bytes, said: str) -> None:
    (tmp_path / "evidence.json").write_bytes(raw)
    code, told = again(tmp_path / "evidence.json", capsys)
    assert code == 2 and said in told and told.count("\n") == 1
    assert again(tmp_path, capsys)[0] == 2 and again(tmp_path / "none.json", capsys)[0] == 2


@pytest.mark.parametrize("place, value, said", [
    ("artefacts/network", "other", "network: one of"), ("request/forget", "0;1", "forget: numbers"),
    ("procedure/method", "magic", "method: one of"), ("procedure/settings", {"depth": -1}, "depth: a number"),
    ("procedure/seed", 10**9, "seed: a whole number"), ("evidence/n_images", "many", "evidence.n_images is not as")])
def test_a_sheet_of_what_cannot_be_run_here_is_refused_in_a_sentence(
        made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str, value: object, said: str) -> None:
    code, told = again(altered(made, tmp_path, **{place: value}), capsys)
    assert code == 2 and said in told and told.count("\n") == 1


# -- words -------------------------------------------------------------------------------------------------------------


def said_of(level: Level) -> Verdict:
    return Verdict(level, f"{level}: T-shirt.", "Not tried yet: relearn time.", (), None)


def every_sheet(hides: Made) -> Iterator[Evidence]:
    """Each level, each method with every preset, with and without a reference and a key."""
    engine, scene, settled, audit = hides
    for level in Level:
        yield evidence(engine, scene, settled, replace(audit, verdict=said_of(level)), KEY)
    found = evidence(*hides)
    for method in METHODS.values():
        one = copy.deepcopy(found)
        one["procedure"] |= {"title": method.title, "about": method.about, "reference": method.paper,
                             "data_needed": sorted(method.needs), "settings": method.settings()}
        yield one
        for named in openings.presets("small-resnet", Request((0,)), method.name):
            how, when = settings_chosen(choice("small-resnet", (0,), method.name, named.settings))
            yield one | {"procedure": one["procedure"] | {"settings_chosen": how, "settings_chosen_when": when}}
    none = copy.deepcopy(found)
    none["evidence"] |= {"n_retrained": 0, "reference": "none"}
    for row in (*none["evidence"]["gauges"], *none["evidence"]["checks"], *none["touched"]["classes"]):
        row |= {"retrained_low": None, "retrained_high": None}
    yield none
    damaged = copy.deepcopy(found)
    damaged["touched"]["worst"] |= {"damage": True, "lost": 0.5}
    yield damaged


def test_no_sheet_of_any_level_has_a_word_that_nothing_could_back(hides: Made) -> None:
    for found in every_sheet(hides):
        for text in (read(page(found))[0], card(found), data(found)):
            assert not WORDS.search(text), WORDS.findall(text)


def literals(file: Path) -> Iterator[str]:
    """Every text in a Python file but its docstrings, which nobody reads on a page."""
    tree = ast.parse(file.read_text("utf-8"))
    unseen = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in unseen:
            yield node.value


SAID = [file for place in ("pages", "ui", "unlearn_core/figures", "unlearn_core/sheet", "unlearn_core/methods",
                           "unlearn_core/cli")
        for file in sorted((REPOSITORY / place).rglob("*.py"))]
SAID += [REPOSITORY / "app.py", REPOSITORY / "unlearn_core" / "__main__.py", Path(verdicts.__file__)]
SAID += [REPOSITORY / "unlearn_core" / "audit" / name for name in ("evidence.py", "gauges.py", "report.py", "risk.py")]


@pytest.mark.parametrize("file", SAID, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_no_page_has_such_a_word(file: Path) -> None:
    found = [text for text in literals(file) if WORDS.search(text) and text not in words.FORBIDDEN]
    assert not found


@pytest.mark.parametrize("name", ["README.md", "docs/evidence.md", "docs/verdict.md"])
def test_no_document_has_such_a_word_but_to_say_so(name: str) -> None:
    text = " ".join((REPOSITORY / name).read_text("utf-8").split())
    for sentence in ALLOWED:
        text = text.replace(sentence, "")
    assert not WORDS.search(text), WORDS.findall(text)
