"""`evidence` and `verify`: a run written down as an evidence sheet, and a sheet run again."""

from __future__ import annotations

import argparse
from pathlib import Path

from unlearn_core.cli.output import bar, described, print_heading, print_json
from unlearn_core.cli.typed import Declare, add_choice, add_quiet, choice_of
from unlearn_core.progress import silent


def declare(command: Declare) -> None:
    """Add the commands."""
    one = command("evidence", make_sheet, "unlearn once and write the evidence sheet")
    add_choice(one)
    one.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="of the sheet, new or empty")
    one.add_argument("--key", type=Path, metavar="FILE", help="key of the image hashes, made if it is not there; it "
                     "stays with you (default: FOLDER.key beside the folder)")
    one.add_argument("--retrain", action="store_true",
                     help="retrain networks to compare with where none is bundled: minutes")
    again = command("verify", verify_sheet, "run an evidence sheet again and compare every number")
    again.add_argument("file", type=Path, help="evidence.json of a sheet")
    again.add_argument("--key", type=Path, metavar="FILE", help="key of the image hashes (default: FOLDER.key beside "
                       "the file's folder, if it is there)")
    add_quiet(again)


def make_sheet(arguments: argparse.Namespace) -> int:
    """One run, written down: page, data, model card, weights and keyed hashes of the images."""
    from unlearn_core.sheet import evidence, folder, keys

    chosen, place = choice_of(arguments), arguments.out
    folder.check_empty(place)
    file = arguments.key or _key_beside(place)
    key = keys.keep_key(file)
    with bar(arguments) as progress:
        found, weights = evidence.produce(chosen, key, progress, retrain=arguments.retrain)
    verdict = f"{found['reading']['finding']} {found['reading']['detail']}".rstrip()
    hashes = evidence.image_hashes(evidence.own_engine().prepare(chosen, silent), key)
    written = folder.write(place, found, weights, hashes)
    if arguments.json:
        print_json(described(chosen) | {"level": found["reading"]["level"], "verdict": verdict,
                                          "files": list(map(str, written)), "image_key": str(file)})
        return 0
    print_heading(chosen)
    print(verdict)
    print("Written: " + ", ".join(map(str, written)))
    print(f"Key of the image hashes: {file}. It stays with you; do not hand it on with the folder.")
    return 0


def verify_sheet(arguments: argparse.Namespace) -> int:
    """Run a sheet again; what differs is named by its place."""
    from unlearn_core.sheet import keys, verify

    beside = _key_beside(arguments.file.parent)
    file = arguments.key or (beside if beside.is_file() else None)
    with bar(arguments) as progress:
        found = verify.verify(arguments.file, keys.load_key(file) if file else None, progress)
    if arguments.json:
        print_json({"same": not found.differences, "compared": found.compared, "differences": found.differences,
                     "remarks": found.remarks})
    else:
        print("\n".join(found.differences) or f"The same: run again, all {found.compared} values are as on the sheet.")
        for remark in found.remarks:
            print(f"Note: {remark}")
    return 1 if found.differences else 0


def _key_beside(folder: Path) -> Path:
    named = folder.resolve()
    return named.with_name(f"{named.name}.key")
