"""The command line, over the declarations the app is made from:
`python -m unlearn_core list | run | audit | evidence | verify | sweep | check | prepare | convert`.

Exit codes: 0 all went well; 1 a run failed, the method cannot serve the request, a checked folder has faults, or a
sheet is not what running it again gives; 2 bad input, or something is missing that a sentence names; 130 interrupted.
Results go to standard output, everything else to standard error. When nobody reads them any more, as in `... | head`, a
sweep goes on for the sake of its folder; the other commands end.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TextIO

import numpy as np
from tqdm import tqdm

from unlearn_core.assets import AssetError
from unlearn_core.audit.evidence import ORIGINAL
from unlearn_core.audit.gauges import KINDS
from unlearn_core.audit.report import TITLES, report
from unlearn_core.methods import METHODS, method
from unlearn_core.methods.base import Diverged, Hyperparameter, NotApplicable, Value
from unlearn_core.nets.registered import register
from unlearn_core.nets.request import Request, read
from unlearn_core.progress import Progress, silent
from unlearn_core.serving.choice import VERSION, Choice, choice
from unlearn_core.study.results import WHOLE, SweepError, load
from unlearn_core.study.run import Run, engine, run
from unlearn_core.study.sweep import Range, Space, Tally, connect, sweep
from unlearn_core.subjects import openings, own
from unlearn_core.subjects.subject import bundled, subject, subjects

LOG_SECONDS = 10.0
"""Between two lines of progress where there is no terminal to draw a bar on."""


FORGET = "class numbers, or a kind and numbers: 0,3 person:2 image:17,40 (default: 0)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the answer is the exit code."""
    arguments = _parser().parse_args(argv)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # to be ended is to be interrupted
    try:
        code: int = arguments.command(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        _say("Interrupted.", sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has seen enough, as in `... list | head`
        _drop_unread()
        return 0
    except (NotApplicable, Diverged) as reason:
        _say(f"{method(arguments.method).title}: {reason}", sys.stderr)
        return 1
    except (ValueError, AssetError, SweepError, OSError) as problem:
        _say(str(problem), sys.stderr)
        return 2
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m unlearn_core", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, function: object, about: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about, description=about)
        added.set_defaults(command=function)
        added.add_argument("--json", action="store_true", help="answer in JSON")
        return added

    command("list", list_all, "networks, methods and their hyper-parameters")
    for name, function, about in (("run", run_one, "unlearn once and read the gauges"),
                                  ("audit", audit, "unlearn once and try to tell the result from retraining"),
                                  ("evidence", make_sheet, "unlearn once and write the evidence sheet")):
        one = command(name, function, about)
        one.add_argument("method")
        one.add_argument("--network", default=next(iter(bundled())))
        one.add_argument("--forget", default="0", metavar="0,3", help=FORGET)
        one.add_argument("--seed", type=int, default=0)
        one.add_argument("--opening", action="store_true", help="start from what the app opens this request with "
                         "(if it has an opening) instead of the general defaults; --set overrides either")
        one.add_argument("--set", nargs="+", action="extend", default=[], metavar="name=value")
        one.add_argument("--quiet", action="store_true", help="no progress bar")
        if name == "run":
            one.add_argument("--save", type=Path, metavar="FILE", help="write the new weights as safetensors")
        if name == "evidence":
            one.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="of the sheet, new or empty")
            one.add_argument("--key", type=Path, metavar="FILE", help="key of the image hashes, made if it is not "
                             "there; it stays with you (default: FOLDER.key beside the folder)")
            one.add_argument("--retrain", action="store_true",
                             help="retrain networks to compare with where none is bundled: minutes")
    again = command("verify", verify_sheet, "run an evidence sheet again and compare every number")
    again.add_argument("file", type=Path, help="evidence.json of a sheet")
    again.add_argument("--key", type=Path, metavar="FILE", help="key of the image hashes (default: FOLDER.key beside "
                       "the file's folder, if it is there)")
    again.add_argument("--quiet", action="store_true", help="no progress bar")
    for name, function, about in (
            ("check", check_folder, "say everything that is wrong with a subject of your own"),
            ("prepare", prepare_folder, "make a subject of your own ready; start again to resume")):
        mine = command(name, function, about)
        mine.add_argument("folder", type=Path, help="with a subject.toml (see docs/your-own.md)")
        mine.add_argument("--quiet", action="store_true", help="no progress bar")
        mine.add_argument("--architecture", nargs="+", default=[], metavar="pkg.mod:build", help="functions of yours "
                          "that make a network, which a subject.toml may then call for by name (docs/your-own.md)")
        if name == "prepare":
            mine.add_argument("--references", nargs="+", default=[], metavar="REQUEST", help="retrain networks without "
                              "these to compare with: the name of a class, person:Anna, or numbers as for --forget")
            mine.add_argument("--seeds", type=int, default=own.SEEDS, help="networks for each (default: %(default)s; "
                              "some checks of the verdict need 3)")
    other = command("convert", convert_file, "write the weights of a .pt file as safetensors; nothing in it runs")
    other.add_argument("file", type=Path, help="made by torch.save of a network's state_dict()")
    other.add_argument("--out", type=Path, metavar="FILE", help="(default: model.safetensors beside it)")
    many = command("sweep", sweep_many, "run every combination, here or on a Dask cluster; start again to resume")
    many.add_argument("--methods", nargs="+", required=True, metavar="METHOD", help="names, or: all")
    many.add_argument("--networks", nargs="+", default=[next(iter(bundled()))], metavar="NETWORK")
    many.add_argument("--forget", nargs="+", default=["0"], metavar="0,3",
                      help=f"requests, each {FORGET}; or: each, for every class alone")
    many.add_argument("--seeds", type=int, default=1, help="runs of each setting of a method that has any randomness")
    many.add_argument("--grid", nargs="+", action="extend", default=[], metavar="name=values",
                      help="values as 1,2,3 or low:high:points, spread as the slider is")
    many.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="of the results")
    many.add_argument("--scheduler", default="", metavar="ADDRESS",
                      help="of a running Dask scheduler, such as tcp://10.0.0.1:8786 (default: this machine)")
    many.add_argument("--workers", type=int, default=2, help="processes on this machine (default: 2)")
    many.add_argument("--quiet", action="store_true", help="no progress")
    return parser


# -- what was typed -------------------------------------------------------------------------------------------


def _request(network: str, text: str) -> Request:
    return read(text, subject(network).images.train)


def _pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ValueError(f"{option}: name=value expected, got {text!r}")
        if name in found:
            raise ValueError(f"{option}: each name once expected, got {name} twice")
        found[name] = value
    return found


def _value(text: str) -> Value:
    """A number if it is one, else the word; the knob's declaration says whether it is allowed."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def _values(text: str) -> Range | tuple[Value, ...]:
    if ":" not in text:
        return tuple(map(_value, text.split(",")))
    try:
        low, high, points = text.split(":")
        return Range(float(low), float(high), int(points))
    except ValueError:
        raise ValueError(f"grid: values as 1,2,3 or low:high:points expected, got {text!r}") from None


def _choice(arguments: argparse.Namespace) -> Choice:
    settings = {name: _value(text) for name, text in _pairs("set", arguments.set).items()}
    forget = _request(arguments.network, arguments.forget)
    if arguments.opening:
        checked = choice(arguments.network, forget, arguments.method, settings)
        settings = openings.start(checked.network, checked.forget, checked.method) | settings
    return choice(arguments.network, forget, arguments.method, settings, arguments.seed)


# -- the commands ---------------------------------------------------------------------------------------------


def list_all(arguments: argparse.Namespace) -> int:
    """Networks, classes, methods and knobs."""
    if arguments.json:
        _print_json({
            "version": VERSION, "networks": {name: found.title for name, found in subjects().items()},
            "classes": {name: found.classes for name, found in subjects().items()},
            "methods": {name: {"title": found.title, "family": found.family, "about": found.about,
                               "paper": found.paper, "needs": sorted(found.needs), "seeded": found.seeded,
                               "hyperparameters": {knob.name: _declared(knob) for knob in found.hyperparameters}}
                        for name, found in METHODS.items()}})
        return 0
    print("Networks: " + ", ".join(f"{name} ({found.title})" for name, found in subjects().items()))
    for classes in dict.fromkeys(found.classes for found in subjects().values()):
        print("Classes: " + ", ".join(f"{i} {name}" for i, name in enumerate(classes)))
    for name, found in METHODS.items():
        print(f"\n{name}: {found.title}, {found.family}. {found.about}")
        _print_table([["", knob.name, f"{_short(knob.default)}{knob.unit}", _allowed(knob), knob.source]
                      for knob in found.hyperparameters])
    return 0


def run_one(arguments: argparse.Namespace) -> int:
    """One run: gauges with intervals beside the original's and the retrained networks', verdict, cost."""
    chosen = _choice(arguments)
    with _unfinished(arguments.save) if arguments.save else nullcontext() as file:
        with _bar(arguments) as progress:
            found = run(chosen, progress)
        if file is not None:
            from unlearn_core.sheet.weights import packed

            file.write_bytes(packed(chosen, found.outcome.state_dict(engine().base(chosen.network).model)))
    audited, original, references = found.audit, found.yardstick.original, found.yardstick.band
    if arguments.json:
        _print_json(_described(chosen) | {
            **_concluded(found), "warnings": found.outcome.warnings, "measures": found.measures,
            "gauges": {name: {"value": reading.value, "interval": reading.interval, "original": original[name].value,
                              "retrained": [seed[name].value for seed in references], "images": reading.images}
                       for name, reading in audited.readings.gauges.items()},
            "trace": found.outcome.trace, "saved": arguments.save and str(arguments.save)})
        return 0
    _print_heading(chosen)
    print(audited.verdict)
    _print_table([["", "Unlearned", "95 % interval", "Images", "Original", f"Retrained ({len(references)} seeds)"],
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


@contextmanager
def _unfinished(file: Path) -> Iterator[Path]:
    """A file to write, which gets that name when all went well; made at once, so that no work is done in vain.

    Raises:
        ValueError: if nothing can be written there.
    """
    named, wanted = file.resolve(), "save: a file in an existing folder, both open to writing, expected, got"
    if named.exists() and not (named.is_file() and os.access(named, os.W_OK)):  # a device must not be replaced either
        raise ValueError(f"{wanted} {file}")
    made = named.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        made.touch()
    except OSError as error:
        raise ValueError(f"{wanted} {file} ({(error.strerror or str(error)).lower()})") from error
    try:
        yield made
        made.replace(named)
    finally:
        made.unlink(missing_ok=True)


def audit(arguments: argparse.Namespace) -> int:
    """One run under membership attacks, and beside retrained networks."""
    chosen = _choice(arguments)
    with _bar(arguments) as progress:
        found = run(chosen, progress)
    beside = found.yardstick
    made = report(found.logits, beside.models[ORIGINAL].logits, np.stack([seed.logits for seed in beside.retrained])
                  if beside.retrained else None, beside.labels, beside.member, beside.forgotten)
    if arguments.json:
        told = made.told and {
            name: {"value": placement.value, "retrained": placement.null.tolist(), "place": placement.place}
            for name, placement in (("distance", made.told.distance.placement),
                                    ("privacy_score", made.told.score.placement))}
        _print_json(_described(chosen) | {
            **_concluded(found), "headline": made.headline, "told_by": told,
            "strongest": made.strongest, "seeds": made.seeds, "called_member": made.called_member,
            "attacks": {name: {"auc": attack.unlearned.auc, "auc_interval": attack.interval.auc,
                               "balanced_accuracy": attack.unlearned.balanced_accuracy,
                               "tpr": {str(low.rate): low.value for low in attack.unlearned.low},
                               "original_auc": attack.original.auc,
                               "retrained_auc": attack.null.auc.tolist() if attack.null else []}
                        for name, attack in made.attacks.items()}})
        return 0
    _print_heading(chosen)
    print(found.audit.verdict)
    _print_table([["Check", "", "What it says"], *([mark.title, mark.status, mark.said]
                                                   for mark in found.audit.verdict.marks)])
    _print_table([["Threshold on", "AUC", "95 % interval", "Original", f"Retrained ({made.seeds} seeds)",
                   "TPR at 1 % FPR"],
                  *([TITLES[name], f"{attack.unlearned.auc:.3f}", "{:.3f} to {:.3f}".format(*attack.interval.auc),
                     f"{attack.original.auc:.3f}",
                     f"{attack.null.auc.min():.3f} to {attack.null.auc.max():.3f}" if attack.null else "none",
                     f"{attack.unlearned.low[0].value:.1%}" if attack.unlearned.low[0].resolved else "not resolved"]
                    for name, attack in made.attacks.items())])
    print(made.headline)
    return 0


def make_sheet(arguments: argparse.Namespace) -> int:
    """One run, written down: page, data, model card, weights and keyed hashes of the images."""
    from unlearn_core.sheet import evidence, folder, keys

    chosen, place = _choice(arguments), arguments.out
    folder.check_empty(place)
    file = arguments.key or _key_beside(place)
    key = keys.keep_key(file)
    with _bar(arguments) as progress:
        found, weights = evidence.produce(chosen, key, progress, retrain=arguments.retrain)
    verdict = f"{found['reading']['finding']} {found['reading']['detail']}".rstrip()
    hashes = evidence.image_hashes(evidence.own_engine().prepare(chosen, silent), key)
    written = folder.write(place, found, weights, hashes)
    if arguments.json:
        _print_json(_described(chosen) | {"level": found["reading"]["level"], "verdict": verdict,
                                          "files": list(map(str, written)), "image_key": str(file)})
        return 0
    _print_heading(chosen)
    print(verdict)
    print("Written: " + ", ".join(map(str, written)))
    print(f"Key of the image hashes: {file}. It stays with you; do not hand it on with the folder.")
    return 0


def verify_sheet(arguments: argparse.Namespace) -> int:
    """Run a sheet again; what differs is named by its place."""
    from unlearn_core.sheet import keys, verify

    beside = _key_beside(arguments.file.parent)
    file = arguments.key or (beside if beside.is_file() else None)
    with _bar(arguments) as progress:
        found = verify.verify(arguments.file, keys.load_key(file) if file else None, progress)
    if arguments.json:
        _print_json({"same": not found.differences, "compared": found.compared, "differences": found.differences,
                     "remarks": found.remarks})
    else:
        print("\n".join(found.differences) or f"The same: run again, all {found.compared} values are as on the sheet.")
        for remark in found.remarks:
            print(f"Note: {remark}")
    return 1 if found.differences else 0


def _key_beside(folder: Path) -> Path:
    named = folder.resolve()
    return named.with_name(f"{named.name}.key")


def sweep_many(arguments: argparse.Namespace) -> int:
    """Every combination; with --json one object a line: progress, remarks, and at the end the tally.

    Whether anybody can read that, and whether there is room for it, changes neither the runs nor the exit code.
    """
    forget = arguments.forget
    if forget == ["each"]:
        forget = [str(label) for label in range(len(subject(arguments.networks[0]).classes))]
    space = Space(tuple(METHODS) if arguments.methods == ["all"] else tuple(arguments.methods),
                  tuple(arguments.networks), tuple(_request(arguments.networks[0], text) for text in forget),
                  arguments.seeds,
                  {name: _values(text) for name, text in _pairs("grid", arguments.grid).items()})

    def tell(said: str) -> None:
        if arguments.json:
            _say_json({"said": said})
        else:
            with suppress(OSError):
                tqdm.write(said, file=sys.stderr)

    try:
        with connect(arguments.scheduler, arguments.workers) as client, _bar(arguments) as progress:
            if arguments.json:
                progress = _lines()
            elif not (arguments.quiet or sys.stderr.isatty()):
                progress = _log()
            tally = sweep(space, arguments.out, client, progress, tell)
        _conclude(arguments, tally)
    except KeyboardInterrupt:
        tell(f"What has finished is in {arguments.out}; the same sweep goes on from there.")
        raise
    finally:
        _drop_unread()
    return 1 if tally.failed else 0


def _conclude(arguments: argparse.Namespace, tally: Tally) -> None:
    if arguments.json:
        _say_json({"total": tally.total, "kept": tally.kept, "ended": dict(tally.ended),
                   "folder": str(arguments.out)})
        return
    ended = "".join(f", {number:,} {status}" for status, number in tally.ended.items())
    _say(f"{tally.total:,} runs: {tally.kept:,} were there before{ended}. Results: {arguments.out / WHOLE}")
    if tally.failed:
        found = load(arguments.out)
        for reason, number in found["error"][found["status"] == "failed"].value_counts()[:5].items():
            _say(f"Failed {number:,} times: {reason}", sys.stderr)
        _say("The same command tries the failed runs again.", sys.stderr)


def check_folder(arguments: argparse.Namespace) -> int:
    """Everything that is wrong with a subject of one's own, a sentence a fault."""
    register(arguments.architecture)
    with _bar(arguments) as progress:
        faults = own.check(arguments.folder, progress)
    if arguments.json:
        _print_json({"faults": faults})
    else:
        print("\n".join(faults) or "Nothing is wrong; it can be prepared.")
    return 1 if faults else 0


def prepare_folder(arguments: argparse.Namespace) -> int:
    """Decode the pictures of a subject of one's own and train its networks, after saying how long that takes."""
    register(arguments.architecture)
    expected = own.estimate(arguments.folder, arguments.references, arguments.seeds)
    if not (arguments.json or arguments.quiet):
        _say(str(expected), sys.stderr)
    with _bar(arguments) as progress:
        accuracy = own.prepare(arguments.folder, progress, expected, arguments.references, arguments.seeds)
    if arguments.json:
        _print_json({"pictures": expected.pictures, "accuracy": accuracy})
    else:
        print(f"Ready: the network names {accuracy:.1%} of the test pictures rightly.")
    return 0


def convert_file(arguments: argparse.Namespace) -> int:
    """The weights of a .pt file as safetensors."""
    target = arguments.out or arguments.file.with_name("model.safetensors")
    weights = own.convert(arguments.file, target)
    if arguments.json:
        _print_json({"weights": weights, "file": str(target)})
    else:
        print(f"{weights:,} tensors are in {target}.")
    return 0


# -- what is said ---------------------------------------------------------------------------------------------


@contextmanager
def _bar(arguments: argparse.Namespace) -> Iterator[Progress]:
    """A progress bar, if anybody can see it."""
    with tqdm(total=100, bar_format="{percentage:3.0f} %|{bar}| {elapsed}<{remaining} {postfix}", leave=False,
              disable=True if arguments.quiet or arguments.json else None) as bar:
        def progress(share: float, note: str) -> None:
            bar.set_postfix_str(note, refresh=False)
            bar.update(100 * share - bar.n)

        yield progress


def _lines() -> Progress:
    """Progress as one JSON object a line, when there is any."""
    said = ""

    def progress(share: float, note: str) -> None:
        nonlocal said
        if note != said:
            said = note
            _say_json({"share": share, "note": note})

    return progress


def _log() -> Progress:
    """Progress as a line now and then, for a file that is read later."""
    last = -math.inf

    def progress(share: float, note: str) -> None:
        nonlocal last
        if time.monotonic() >= last + LOG_SECONDS:
            last = time.monotonic()
            _say(f"{share:4.0%}, {note}", sys.stderr)

    return progress


def _concluded(found: Run) -> dict[str, object]:
    verdict = found.audit.verdict
    return {"level": str(verdict.level), "verdict": str(verdict),
            "checks": {mark.title: {"status": mark.status, "said": mark.said} for mark in verdict.marks}}


def _described(chosen: Choice) -> dict[str, object]:
    return {"key": chosen.key, "version": VERSION, "network": chosen.network, "forget": str(chosen.forget),
            "method": chosen.method, "settings": dict(chosen.settings), "seed": chosen.seed}


def _declared(knob: Hyperparameter) -> dict[str, object]:
    declared: dict[str, object] = {"default": knob.default, "scale": knob.scale, "unit": knob.unit,
                                   "meaning": knob.meaning, "source": knob.source}
    if knob.scale == "choice":
        return declared | {"choices": knob.choices}
    return declared | {"low": knob.low, "high": knob.high}


def _allowed(knob: Hyperparameter) -> str:
    if knob.scale == "choice":
        return " | ".join(map(str, knob.choices))
    return f"{knob.low:g} to {knob.high:g}{' (log)' if knob.scale == 'log' else ''}"


def _short(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _span(values: Sequence[float]) -> str:
    return f"{min(values):.1%} to {max(values):.1%}" if values else "none at hand"


def _print_heading(chosen: Choice) -> None:
    print(f"{method(chosen.method).title} on {chosen.subject.title}, forgetting {chosen.words} ({chosen.forget}), "
          f"seed {chosen.seed}: "
          + ", ".join(f"{name}={_short(value)}" for name, value in chosen.settings))


def _print_table(rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_json(found: object) -> None:
    print(json.dumps(_plain(found), indent=1, allow_nan=False))


def _say_json(found: object) -> None:
    _say(json.dumps(_plain(found), allow_nan=False))


def _say(line: str, stream: TextIO | None = None) -> None:
    """Print a line if it can be heard: nobody may be there to read it, or its file be on a full disk."""
    with suppress(OSError):
        print(line, file=stream, flush=True)


def _drop_unread() -> None:
    """Forget what standard output would not take; Python would end with an error about it."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _plain(value: object) -> object:
    """JSON knows neither infinity nor NaN: they become null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    sys.exit(main())
