"""The command line, over the declarations the app is made from:
`python -m unlearn_core list | run | audit | evidence | verify | picture | tables | gallery | sweep | queue | shards |
check | prepare | convert`.

Exit codes: 0 all went well; 1 a run failed, the method cannot serve the request, a checked folder has faults, or a
sheet is not what running it again gives; 2 bad input, or something is missing that a sentence names; 130 interrupted.
Results go to standard output, everything else to standard error. When nobody reads them any more, as in `... | head`, a
sweep goes on for the sake of its folder; the other commands end.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence

from unlearn_core.assets import AssetError
from unlearn_core.cli import audit, listing, own, picture, queue, run, shards, sheet, sweep
from unlearn_core.cli.output import drop_unread, say
from unlearn_core.methods import method
from unlearn_core.methods.base import Diverged, NotApplicable
from unlearn_core.study.results import SweepError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the answer is the exit code."""
    arguments = _parser().parse_args(argv)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # to be ended is to be interrupted
    try:
        code: int = arguments.command(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        say("Interrupted.", sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has seen enough, as in `... list | head`
        drop_unread()
        return 0
    except (NotApplicable, Diverged) as reason:
        say(f"{method(arguments.method).title}: {reason}", sys.stderr)
        return 1
    except (ValueError, AssetError, SweepError, OSError) as problem:
        say(str(problem), sys.stderr)
        return 2
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m unlearn_core", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, function: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about, description=about)
        added.set_defaults(command=function)
        added.add_argument("--json", action="store_true", help="answer in JSON")
        return added

    for family in (listing, run, audit, sheet, picture, own, sweep, queue, shards):
        family.declare(command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
