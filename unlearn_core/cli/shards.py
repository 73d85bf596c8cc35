"""`shards`: what a request costs networks that were trained in shards, and forgetting there."""

from __future__ import annotations

import argparse

from unlearn_core.cli.output import bar, print_json, print_table
from unlearn_core.cli.typed import FORGET, Declare, add_quiet
from unlearn_core.nets.request import read
from unlearn_core.serving.engine import Engine
from unlearn_core.serving.sharded import dealt, price, remake
from unlearn_core.subjects.subject import bundled, subject


def declare(command: Declare) -> None:
    """Add the command."""
    parser = command("shards", shards, "what a request costs networks that were trained in shards (SISA)")
    parser.add_argument("--network")
    parser.add_argument("--forget", metavar="0,3", help=FORGET)
    parser.add_argument("--run", action="store_true", help="train the shards again, and read the gauges")
    add_quiet(parser)


def shards(arguments: argparse.Namespace) -> int:
    """The price of a request, and with --run what comes out."""
    network = arguments.network or next(iter(bundled()))
    own = subject(network)
    request, found = read(arguments.forget or "0", own.images.train), dealt(own)
    if found is None:
        raise ValueError(f"network: one that was trained in shards expected, got {network}")
    cost = price(found, own, request)
    made = None
    if arguments.run:
        with bar(arguments) as progress:
            made = remake(Engine(), network, request, progress)
    readings = {} if made is None else {"one network": made.alone, "shards before": made.before,
                                        "shards after": made.after}
    if arguments.json:
        print_json({"network": network, "forget": str(request), "images": cost.hit.tolist(),
                    "again": cost.again.tolist(), "share": cost.share,
                    "gauges": {who: {name: reading.value for name, reading in read.items()}
                               for who, read in readings.items()},
                    "seconds": None if made is None else made.seconds})
        return 0
    print(f"{own.title} forgets {request.words(own)}: {cost.shards} of {len(cost.hit)} shards go back, "
          f"{cost.share:.1%} of the training is done again.")
    print_table([["", *(f"slice {i + 1}" for i in range(cost.hit.shape[1]))],
                 *([f"shard {i + 1}", *(f"{n:,}{' again' if again else ''}" for n, again in zip(*row, strict=True))]
                   for i, row in enumerate(zip(cost.hit, cost.again, strict=True)))])
    if made is not None:
        print_table([["", "forget", "retain", "membership"],
                     *([who, *(f"{read[name].value:.1%}" for name in ("forget", "retain", "membership"))]
                       for who, read in readings.items())])
        print(f"{made.seconds:.1f} processor seconds.")
    return 0
