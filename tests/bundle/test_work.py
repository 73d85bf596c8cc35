"""Tests of unlearn_core.bundle.work: what is done in other processes comes back with what it was done for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from unlearn_core import assets
from unlearn_core.bundle.work import half, in_processes, save_arrays


def test_work_in_processes_comes_back_with_its_arguments_and_fails_aloud() -> None:
    found: dict[tuple[int, int], tuple[int, int]] = {}
    in_processes(divmod, [(7, 2), (9, 4)], 1, "divisions", found.__setitem__)
    assert found == {(7, 2): (3, 1), (9, 4): (2, 1)}
    with pytest.raises(ZeroDivisionError):
        in_processes(divmod, [(1, 0)], 1, "divisions", found.__setitem__)


def test_what_is_shipped_is_in_half_precision_and_in_its_folder(tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "ROOT", tmp_path)
    save_arrays("new/one.npz", {"squares": np.arange(4) ** 2})
    with np.load(tmp_path / "new/one.npz") as kept:
        assert kept["squares"].tolist() == [0, 1, 4, 9]
    assert half(torch.ones(2)).dtype == torch.float16 and half(torch.arange(2)).dtype == torch.int64
