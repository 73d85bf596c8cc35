"""Networks of the operator's own: registered by whoever starts the program, never from within a folder."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

from tests.subjects.test_own import SAID, only, small
from unlearn_core.__main__ import main
from unlearn_core.nets import models, registered
from unlearn_core.subjects import own

CODE = """
from torch import nn
def leaf(channels, classes, size):
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * (size - 2) ** 2, classes))
def nothing(channels, classes, size):
    return None
"""


@pytest.fixture(autouse=True)
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "my_networks.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.setenv(registered.ARCHITECTURES, "")
    monkeypatch.delitem(sys.modules, "my_networks", raising=False)


def asked(folder: Path, name: str) -> Path:
    (folder / "subject.toml").write_text(f"{SAID.replace('small-resnet', name)}[recipe]\nepochs = 1\n")
    return folder


def test_a_subject_names_a_registered_network(tmp_path: Path) -> None:
    folder = asked(small(tmp_path / "mine"), "leaf")
    assert "got leaf" in own.check(folder)[0]
    assert main(["check", str(folder), "--architecture", "my_networks:leaf"]) == 0
    assert main(["prepare", str(folder), "--references", "a"]) == 0
    assert only(folder).original()(torch.zeros(1, 3, 8, 8)).shape == (1, 2) and len(only(folder).classes) == 2


def test_it_may_have_another_name_and_one_channel() -> None:
    registered.register(["tree=my_networks:leaf"])
    made = [models.build("tree", channels=1, classes=3, size=8, generator=torch.Generator().manual_seed(s))
            for s in (1, 1, 2)]
    first, again, other = (model(torch.ones(1, 1, 8, 8)) for model in made)
    assert torch.equal(first, again) and not torch.equal(first, other) and models.takes_any_channels("tree")


def test_a_folder_cannot_say_where_code_is(tmp_path: Path) -> None:
    folder = asked(small(tmp_path / "mine"), "my_networks:leaf")
    assert "got my_networks:leaf" in own.check(folder)[0] and "my_networks" not in sys.modules


def test_an_installed_package_registers_one(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("oak", "my_networks:leaf", registered.ENTRY_POINTS)
    monkeypatch.setattr(registered, "entry_points", lambda group: [point] if group == registered.ENTRY_POINTS else [])
    assert registered.registered() == {"oak": "my_networks:leaf"}
    assert models.build("oak", channels=3, classes=2, size=8, generator=torch.Generator()).training


@pytest.mark.parametrize(("place", "said"), [
    ("nowhere:leaf", "cannot be imported"), ("my_networks:elm", "cannot be imported"),
    ("my_networks:nothing", "should return a torch.nn.Module"), ("my_networks", "pkg.mod:build"),
    ("../x:leaf", "pkg.mod:build"),
])
def test_what_cannot_be_used_is_told(tmp_path: Path, place: str, said: str,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    folder = asked(small(tmp_path / "mine"), place.rpartition(":")[2])
    assert main(["check", str(folder), "--architecture", place]) in (1, 2)
    assert said in "".join(capsys.readouterr())
