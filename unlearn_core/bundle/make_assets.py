"""How every bundled asset was made; `make assets` runs it. Finished parts are kept, so it resumes.

python -m unlearn_core.bundle.make_assets            # everything
python -m unlearn_core.bundle.make_assets data       # one stage; --help lists them
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from unlearn_core.bundle import make_fashion, make_people, make_poison, make_references, make_shadows, make_sharded
from unlearn_core.bundle.make_openings import DAMPENING, make_openings
from unlearn_core.bundle.manifest import list_assets
from unlearn_core.nets.request import CLASS, POISONED


def main() -> None:
    """Run one stage, or all of them in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    stages = ["data", "networks", "shadows", "references", "others", "importances", "maps", "landscapes",
              "estimators", "grams", "histories", "comparisons", "remains", "openings", "people", "poison", "sharded"]
    parser.add_argument("stage", nargs="?", default="all", choices=["all", *stages])
    parser.add_argument("--architectures", nargs="+", default=list(make_fashion.SEEDS),
                        choices=list(make_fashion.SEEDS))
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, one thread each")
    parser.add_argument("--fashion-mnist", type=Path, default=make_fashion.FASHION_MNIST_FOLDER,
                        help="folder of the four original idx files")
    arguments = parser.parse_args()
    wanted = stages if arguments.stage == "all" else [arguments.stage]
    if "data" in wanted:
        make_fashion.make_data(arguments.fashion_mnist)
        make_people.make_data()
    list_assets()  # also what an interrupted run has made
    if "networks" in wanted:
        make_fashion.make_networks(arguments.architectures, arguments.jobs)
    if "shadows" in wanted:
        make_shadows.make_shadows("small-resnet", arguments.jobs)
        list_assets()
    for stage, make in (("networks", make_fashion.pack_networks), ("references", make_references.make_references),
                        ("others", make_references.make_others), ("importances", make_references.make_importances),
                        ("maps", make_references.make_maps), ("landscapes", make_references.make_landscapes),
                        ("estimators", make_references.make_estimators), ("grams", make_references.make_grams),
                        ("histories", make_references.make_histories),
                        ("comparisons", partial(make_references.make_comparisons, jobs=arguments.jobs)),
                        ("remains", partial(make_references.make_remains, jobs=arguments.jobs)),
                        ("openings", partial(make_openings, kind=CLASS))):
        if stage in wanted:
            for architecture in arguments.architectures:
                make(architecture)
            list_assets()
    if "poison" in wanted:
        make_poison.make_networks()
        list_assets()
        make_poison.make_references()
        list_assets()
        make_poison.measure()
        make_openings(make_poison.SUBJECT, POISONED)
        make_poison.make_landscape()
        make_poison.make_comparison()
        list_assets()
    if "people" in wanted:
        make_people.make_networks(arguments.jobs)
        list_assets()
        make_people.make_references()
        make_references.make_importances(make_people.SUBJECT)
        make_references.make_maps(make_people.SUBJECT)
        list_assets()
        make_people.measure()
        make_openings(make_people.SUBJECT, "person", DAMPENING)
        make_shadows.make_shadows(make_people.SUBJECT, arguments.jobs)
        make_people.make_landscapes(arguments.jobs)
        make_people.make_comparisons(arguments.jobs)
        list_assets()
    if "sharded" in wanted:
        make_sharded.make_sharded(arguments.jobs)
        list_assets()
        make_sharded.measure()


if __name__ == "__main__":
    main()
