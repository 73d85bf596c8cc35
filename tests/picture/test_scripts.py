"""The modules of the views, and the one script that a component gets of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.conftest import REPOSITORY
from unlearn_core.picture import scripts
from unlearn_core.picture.scripts import EXPORT, IMPORT, resolved, script

MAINS = ("live/main.js", "live/alone.js", "live/notebook.js", "layers/main.js", "attack/main.js", "embedding/main.js",
         "figures.js", "game.js", "remote.js", "marks.js")
ROOT = REPOSITORY / "assets" / "js"
MODULES = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in ROOT.rglob("*.js")}


def test_a_script_holds_a_module_and_all_that_it_imports_once() -> None:
    held = [set(re.findall(r'^modules\["(.*)"\] = ', script(main), re.MULTILINE)) for main in MAINS]
    assert set().union(*held) == set(MODULES), "nothing lies about unused"
    assert {"live/main.js", "live/pad.js", "wire.js", "words.js"} <= held[0] and held[-1] == {"marks.js"}
    for main in MAINS:
        text = script(main)
        assert text.count('modules["maths.js"] = ') <= 1
        assert re.findall(r"^(?:import|export)\b.*", text, re.MULTILINE) == [
            f'export default modules["{main}"].default;'], "every import and export was understood"


def test_what_is_imported_is_exported_where_it_is_looked_for() -> None:
    for name, text in MODULES.items():
        for names, target in IMPORT.findall(text):
            wanted = {part.strip() for part in names.strip("{}").split(",") if part.strip()}
            assert wanted <= set(EXPORT.findall(MODULES[resolved(name, target)])), f"{name}: {target}"


@pytest.mark.browser
def test_modules_keep_their_names_to_themselves_and_must_not_import_in_a_circle(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chromium: Browser) -> None:
    monkeypatch.setattr(scripts, "ROOT", tmp_path)
    (tmp_path / "js" / "in").mkdir(parents=True)
    (tmp_path / "js" / "one.js").write_text('const own = 1;\nexport const one = () => own;\n')
    (tmp_path / "js" / "in" / "two.js").write_text(
        'import { one } from "../one.js";\nconst own = 2;\nexport function two() {\n  return own + one();\n}\n')
    main = tmp_path / "js" / "main.js"
    main.write_text('import { one }\n  from "./one.js";\nimport { two } from "./in/two.js";\n\nexport default given(3);'
                    "\n\nfunction given(own) {\n  return [one(), two(), own];\n}\n")
    page = chromium.new_page()
    assert page.evaluate("""async (text) => (await import(URL.createObjectURL(
        new Blob([text], { type: "text/javascript" })))).default""", script("main.js")) == [1, 3, 3]
    page.close()
    (tmp_path / "js" / "one.js").write_text('import { two } from "./in/two.js";\nexport const one = () => two;\n')
    with pytest.raises(ValueError, match=r"main.js → one.js → in/two.js → one.js"):
        script("main.js")


@pytest.mark.browser
def test_a_view_whose_file_is_gone_says_so_in_its_place(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chromium: Browser) -> None:
    monkeypatch.setattr(scripts, "ROOT", tmp_path)
    assert scripts.styles("live.css", "none.css") == ""
    page = chromium.new_page()
    said = page.evaluate("""async (text) => {
      (await import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })))).default(
        { parentElement: document.body });
      return document.body.textContent;
    }""", script("live/main.js"))
    page.close()
    assert said == ("This view cannot be drawn: a file of assets/js/ that live/main.js needs cannot be read (no such "
                    "file or directory). Restore it from the repository; all else still works.")


def test_modules_stay_small() -> None:
    for name, text in MODULES.items():
        lines = text.splitlines()
        assert len(lines) <= 300 and max(map(len, lines)) <= 120, name


def test_types_hold() -> None:
    if (tsc := shutil.which("tsc")) is None:
        pytest.skip("tsc is not on PATH (npm install --global typescript)")
    checked = subprocess.run([tsc, "--project", REPOSITORY], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
