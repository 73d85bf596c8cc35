"""`run`: unlearn once and read the gauges."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from unlearn_core.audit.gauges import KINDS
from unlearn_core.cli.output import bar, concluded, described, print_heading, print_json, print_table
from unlearn_core.cli.typed import Declare, add_choice, choice_of, unfinished
from unlearn_core.study.run import engine, run


def declare(command: Declare) -> None:
    """Add the command."""
    parser = command("run", run_one, "unlearn once and read the gauges")
    add_choice(parser)
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the new weights as safetensors")


def run_one(arguments: argparse.Namespace) -> int:
    """One run: gauges with intervals beside the original's and the retrained networks', verdict, cost."""
    chosen = choice_of(arguments)
    with unfinished(arguments.save, "save") if arguments.save else nullcontext() as file:
        with bar(arguments) as progress:
            found = run(chosen, progress)
        if file is not None:
            from unlearn_core.sheet.weights import packed

            file.write_bytes(packed(chosen, found.outcome.state_dict(engine().base(chosen.network).model)))
    audited, original, references = found.audit, found.yardstick.original, found.yardstick.band
    if arguments.json:
        print_json(described(chosen) | {
            **concluded(found), "warnings": found.outcome.warnings, "measures": found.measures,
            "gauges": {name: {"value": reading.value, "interval": reading.interval, "original": original[name].value,
                              "retrained": [seed[name].value for seed in references], "images": reading.images}
                       for name, reading in audited.readings.gauges.items()},
            "trace": found.outcome.trace, "saved": arguments.save and str(arguments.save)})
        return 0
    print_heading(chosen)
    print(audited.verdict)
    print_table([["", "Unlearned", "95 % interval", "Images", "Original", f"Retrained (seeds: {len(references)})"],
                  *([KINDS[name].title, f"{reading.value:.1%}", _span(reading.interval), f"{reading.images:,}",
                     f"{original[name].value:.1%}", _span([seed[name].value for seed in references])]
                    for name, reading in audited.readings.gauges.items())])
    for warning in found.outcome.warnings:
        print(f"Note: {warning}")
    print(f"{found.measures['seconds']:.2f} processor seconds; "
          f"{found.measures['stored_bytes'] / 1e6:.1f} MB kept from training.")
    if arguments.save:
        print(f"Weights: {arguments.save}")
    return 0


def _span(values: Sequence[float]) -> str:
    return f"{min(values):.1%} to {max(values):.1%}" if values else "none at hand"
