"""The benchmark: `make bench`, or `python -m tools.bench [core] [methods] [large] [growth] [browser]` from the root.

Both sides of every ratio run in turns within one run; numbers are medians, ratios are ratios of those medians.
All samples go to build/bench.json together with a description of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch

from tools.bench.browser import browser
from tools.bench.core import core, methods
from tools.bench.large import growth, large, large_child
from tools.bench.table import ROOT, machine, rows


def describe_machine() -> None:
    """What the numbers were measured on."""
    cpu = [line.split(": ")[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine.update(
        date=time.strftime("%Y-%m-%d %H:%M:%S"), commit=commit.stdout.strip(), processor=", ".join(sorted(set(cpu))),
        cores=os.cpu_count(), threads=torch.get_num_threads(), memory_gib=round(memory, 1), system=platform.platform(),
        python=platform.python_version(), torch=torch.__version__, numpy=np.__version__,
        omp_wait_policy=os.environ.get("OMP_WAIT_POLICY", "not set"), load_at_start=os.getloadavg())


def main() -> None:
    """Run the chosen sections, print the table, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION",
                        help="core, methods, large, growth, browser; default: all")
    parser.add_argument("--repeats", type=int, default=15, help="of short measurements; long ones run a fifth as often")
    parser.add_argument("--huge", action="store_true", help="also 1e8 weights (8 GB of memory)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench.json")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    if arguments.child:
        print(json.dumps(large_child(arguments.child, arguments.repeats)))
        return
    known: dict[str, Callable[[int], None]] = {
        "core": core, "methods": methods, "large": partial(large, huge=arguments.huge),
        "growth": partial(growth, huge=arguments.huge), "browser": browser}
    if unknown := set(arguments.sections) - set(known):
        parser.error(f"sections are {', '.join(known)}, got {', '.join(sorted(unknown))}")
    describe_machine()
    for section in arguments.sections or known:
        print(section, flush=True)
        known[section](arguments.repeats)
    machine["load_at_end"] = os.getloadavg()
    table = [("what", "median", "target", "", "n", "ratio, remark"), *(one.cells() for one in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    for line in table:
        print("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip())
    print("\n" + "\n".join(f"{key}: {value}" for key, value in machine.items()))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    written = {"machine": machine, "rows": [asdict(one) for one in rows]}
    arguments.output.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
