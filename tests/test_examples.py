"""The examples run as they are, and what they print is what unlearning does."""

from __future__ import annotations

import pytest

from examples import own_network


def test_own_network(capsys: pytest.CaptureFixture[str]) -> None:
    own_network.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 + 2 * 3

    def share(line: str, gauge: str) -> float:
        return float(line.partition(f"{gauge} ")[2].strip().partition("%")[0])

    original, retrained, zeroed = lines[0], lines[1:4], lines[-2]
    assert share(original, "forget") > 95 and share(original, "retain") > 95
    assert all(share(line, "forget") == 0 and share(line, "retain") > 95 for line in retrained)
    assert zeroed.startswith("Head zeroing") and share(zeroed, "forget") == 0
    assert all("AUC" in line for line in lines[5::2])
