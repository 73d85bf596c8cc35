"""Tests of unlearn_core.assets: nothing is read that is not exactly what was shipped."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from unlearn_core import assets
from unlearn_core.assets import AssetError, DataSource
from unlearn_core.subjects.subject import _described as cached

SOURCE = DataSource("Squares", ["a", "b"], "MIT", "made by a test")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An assets folder with two arrays and a network."""
    monkeypatch.setattr(assets, "ROOT", tmp_path)
    for name in ("one", "two"):
        np.savez_compressed(tmp_path / f"{name}.npz", squares=np.arange(4) ** 2, name=np.array(name))
    save_file({"weight": torch.arange(3.0)}, tmp_path / "net.safetensors")
    assets.write_manifest(
        {"squares": SOURCE}, dict.fromkeys(("one.npz", "two.npz", "net.safetensors"), "test")
    )
    yield tmp_path
    assets.manifest.cache_clear()


def list_again(root: Path, name: str) -> None:
    """Ship the file as it is now."""
    assets.write_manifest({"squares": SOURCE}, {name: "test"})


def test_intact_files_are_read(root: Path) -> None:
    assert assets.arrays("one.npz")["squares"].tolist() == [0, 1, 4, 9]
    assert assets.tensors("net.safetensors")["weight"].tolist() == [0, 1, 2]
    assert assets.path("two.npz") == root / "two.npz"
    assert assets.manifest().data["squares"] == SOURCE
    assert assets.manifest().files["one.npz"].bytes == (root / "one.npz").stat().st_size


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def extended(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")


def flipped(file: Path) -> None:
    """One bit: the size stays right."""
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def swapped(file: Path) -> None:
    other = file.with_name("two.npz") if file.name == "one.npz" else file.with_name("one.npz")
    file.write_bytes(other.read_bytes())


@pytest.mark.parametrize("damage", [truncated, extended, flipped, emptied, swapped])
@pytest.mark.parametrize("name", ["one.npz", "net.safetensors"])
def test_altered_files_are_named_and_not_loaded(
    damage: Callable[[Path], None], name: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[object] = []
    monkeypatch.setattr(assets.np, "load", loaded.append)
    monkeypatch.setattr(assets, "load", loaded.append)
    damage(root / name)
    read = assets.arrays if name.endswith("npz") else assets.tensors
    with pytest.raises(AssetError, match=f"^assets/{name} is not the file that was shipped .*make assets"):
        read(name)
    assert not loaded


@pytest.mark.parametrize("remove", [Path.unlink, lambda file: (file.unlink(), file.mkdir())])
def test_missing_files_are_named(remove: Callable[[Path], object], root: Path) -> None:
    remove(root / "one.npz")
    with pytest.raises(AssetError, match=r"^assets/one.npz is missing\. Restore it"):
        assets.arrays("one.npz")


@pytest.mark.parametrize("name", ["three.npz", "../one.npz", "./one.npz", "manifest.json", ""])
def test_files_that_are_not_listed_are_not_loaded(name: str, root: Path) -> None:
    np.savez(root / "three.npz", x=np.zeros(1))
    with pytest.raises(AssetError, match="is not listed in the manifest, so it is not loaded"):
        assets.arrays(name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"data": {}}',
        '{"data": [], "files": {}}',
        '{"data": {}, "files": {"one.npz": {}}}',
        '{"data": {}, "files": {"one.npz": 3}}',
        '{"data": {"squares": {"title": 1}}, "files": {}}',
        "\xff\xfe",
    ],
)
def test_a_corrupt_manifest_is_named(text: str, root: Path) -> None:
    (root / "manifest.json").write_bytes(text.encode("latin-1"))
    assets.manifest.cache_clear()
    with pytest.raises(AssetError, match=r"^assets/manifest.json cannot be read .*Restore it"):
        assets.arrays("one.npz")


def test_a_missing_manifest_is_named(root: Path) -> None:
    (root / "manifest.json").unlink()
    assets.manifest.cache_clear()
    with pytest.raises(AssetError, match=r"^assets/manifest.json cannot be read"):
        assets.path("one.npz")


class Bomb:
    """Reports to `exploded` when unpickled."""

    exploded = False

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return setattr, (Bomb, "exploded", True)


def test_pickled_objects_are_refused_even_if_listed(root: Path) -> None:
    np.savez(root / "one.npz", x=np.array([Bomb()], dtype=object))
    list_again(root, "one.npz")
    with pytest.raises(AssetError, match=r"^assets/one.npz cannot be read"):
        assets.arrays("one.npz")
    assert not Bomb.exploded
    with np.load(root / "one.npz", allow_pickle=True) as table:
        table["x"]
    assert Bomb.exploded  # the file was a danger
    Bomb.exploded = False


@pytest.mark.parametrize("content", [b"", b"PK\3\4 no zip", pickle.dumps([1]), b"\x93NUMPY\x01\x00"])
def test_files_of_another_format_are_refused_even_if_listed(content: bytes, root: Path) -> None:
    for name, read in (("one.npz", assets.arrays), ("net.safetensors", assets.tensors)):
        (root / name).write_bytes(content)
        list_again(root, name)
        with pytest.raises(AssetError, match=f"^assets/{name} cannot be read"):
            read(name)


def test_a_single_array_is_no_archive(root: Path) -> None:
    with (root / "one.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))
    list_again(root, "one.npz")
    with pytest.raises(AssetError, match=r"^assets/one.npz cannot be read"):
        assets.arrays("one.npz")


def test_the_shipped_manifest_lists_files_that_are_there() -> None:
    table = json.loads((assets.ROOT / "manifest.json").read_text("utf-8"))
    assert table["files"] and table["data"]
    for name, entry in table["files"].items():
        assert (assets.ROOT / name).stat().st_size == entry["bytes"], name
        assert entry["about"]
    for entry in table["data"].values():
        assert all(entry[key] for key in ("title", "classes", "licence", "provenance"))


@pytest.mark.parametrize("damage, said", [
    (Path.unlink, "is missing. "),
    (truncated, "is not the file that was shipped"), (flipped, "is not the file that was shipped")])
@pytest.mark.parametrize("name", ["one.npz", "net.safetensors"])
def test_a_file_that_breaks_while_the_app_runs_is_named_without_its_folder(
        root: Path, name: str, damage: Callable[[Path], None], said: str) -> None:
    read: Callable[[str], object] = assets.arrays if name.endswith("npz") else assets.tensors
    assert read(name)
    damage(root / name)
    with pytest.raises(AssetError) as raised:
        read(name)
    assert str(raised.value).startswith(f"assets/{name} {said}") and str(root) not in str(raised.value)


def test_a_file_that_may_not_be_read_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(file))

    assets.manifest()
    monkeypatch.setattr(Path, "open", refuse)  # whoever runs the tests may be one who may read everything
    with pytest.raises(AssetError, match=r"^assets/one.npz cannot be read \(permission denied\)\. Whoever runs"):
        assets.arrays("one.npz")


def test_what_was_read_stays_when_its_file_is_cut_short(root: Path) -> None:
    save_file({"a": torch.arange(100_000.0)}, root / "large.safetensors")
    list_again(root, "large.safetensors")
    read = assets.tensors("large.safetensors")["a"]
    os.truncate(root / "large.safetensors", 100)
    assert read[-1] == 99_999, "a file that is only mapped would have ended the process"


def test_no_reason_names_a_folder(root: Path) -> None:
    for read, file in ((assets.read_arrays, root / "none.npz"), (assets.read_tensors, root / "none.safetensors")):
        with pytest.raises(AssetError, match="no such file") as raised:
            read(file)
        assert str(root) not in str(raised.value)
    (root / "manifest.json").unlink()
    assets.manifest.cache_clear()
    with pytest.raises(AssetError, match="no such file") as raised:
        assets.manifest()
    assert str(root) not in str(raised.value)


def test_a_subject_whose_description_is_broken_is_left_out_and_named(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(assets.ROOT / "subjects", tmp_path / "subjects")
    (tmp_path / "subjects" / "small-vit" / "subject.toml").write_text("title = ")
    monkeypatch.setattr(assets, "ROOT", tmp_path)
    cached.cache_clear()
    try:
        found, (fault,) = cached()
        assert "small-resnet" in found and "small-vit" not in found
        assert fault.startswith("assets/subjects/small-vit/subject.toml cannot be used") and str(tmp_path) not in fault
        shutil.rmtree(tmp_path / "subjects")
        cached.cache_clear()
        with pytest.raises(assets.AssetError, match="at least one subject expected"):
            cached()
    finally:
        cached.cache_clear()
