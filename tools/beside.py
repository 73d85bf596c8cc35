"""Another checkout of the project beside this one: what a visitor waits for, in turns, in one run.

`python -m tools.beside ../other --rounds 5`, where `../other` has been made by `git worktree add`. Both run on this
environment's versions. A round measures each side once, and each round begins with the other side.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path
from statistics import median

import numpy as np
from playwright.sync_api import sync_playwright

from tests.conftest import CHROMIUM, FLAGS, start_server
from tools.bench.browser import at_rest, drags, new_page, releases, visit
from tools.bench.table import ROOT, rows

SIDES = ("other", "this")


def main() -> None:
    """Measure both sides and print their medians and the ratio of each round's pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--points", type=int, default=5, help="releases of one round, of each kind and network")
    given = parser.parse_args()
    found: dict[str, dict[str, list[list[float]]]] = {}
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        servers = {side: start_server({}, subprocess.DEVNULL, folder=folder)
                   for side, folder in zip(SIDES, (given.other.resolve(), ROOT), strict=True)}
        try:
            for side in SIDES:  # what all visitors share is at hand from now on
                for network in ("small-resnet", "small-vit"):
                    visit(new_page(chromium), f"{servers[side][1]}/?network={network}")
                at_rest(servers[side][0].pid)
            for turn in range(given.rounds):
                for side in SIDES if turn % 2 else SIDES[::-1]:
                    process, address = servers[side]
                    rows.clear()
                    new_visitor = visit(new_page(chromium), address)["exact"]
                    for network in ("small-resnet", "small-vit"):
                        releases(new_page(chromium), address, network, {"fresh": 0, "known": 0}, given.points)
                    drags(new_page(chromium), address, 1)
                    for what, samples in [("new visitor: gauges exact", [new_visitor]),
                                          *((row.what, row.samples) for row in rows)]:
                        found.setdefault(what, {name: [] for name in SIDES})[side].append(samples)
                    for context in chromium.contexts:
                        context.close()
                    at_rest(process.pid)
        finally:
            for process, _ in servers.values():
                process.kill()
                process.wait()
            chromium.close()
    print(f"\nload at the end {os.getloadavg()[0]:.1f}\n| what, milliseconds | n a side | other | this "
          "| this ÷ other, median of rounds |\n|---|---|---|---|---|")
    for what, sides in found.items():
        share = 95 if "p95" in what else 50
        each = {side: [float(np.percentile(samples, share)) for samples in rounds] for side, rounds in sides.items()}
        ratio = median(this / other for other, this in zip(each["other"], each["this"], strict=True))
        print(f"| {what} | {sum(map(len, sides['this']))} | {median(each['other']):.0f} | {median(each['this']):.0f} "
              f"| {ratio:.2f} |")


if __name__ == "__main__":
    main()
