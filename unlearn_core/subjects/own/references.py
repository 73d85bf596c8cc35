"""Networks that never saw what is to be forgotten: those that a folder brings, and those that are retrained for it.

All of one request are in one derived file, under their numbers: first those that were brought, then those that were
trained here. It is written anew whenever one more is trained, so that a stopped run loses no more than the last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from unlearn_core.nets.images import ImageSet
from unlearn_core.nets.request import Request, read
from unlearn_core.nets.train import seed_of, train
from unlearn_core.progress import Progress, stage
from unlearn_core.subjects.own.derived import about_networks, digest, key_of, network_key, written
from unlearn_core.subjects.own.description import DESCRIPTION
from unlearn_core.subjects.own.study import DERIVED, Study, requested

BEGIN, END = "networks-without-", ".safetensors"
MOST_SEEDS = 20


def named(study: Study, texts: Sequence[str], seeds: int) -> dict[Request, int]:
    """How many networks are to be trained for each request that is named; see `study.requested`.

    Raises:
        ValueError: if a text names nothing, nobody knows how the network was trained, or there are to be too many.
    """
    if not 1 <= seeds <= MOST_SEEDS:
        raise ValueError(f"seeds: 1 to {MOST_SEEDS} networks for each request expected, got {seeds}.")
    found = {requested(text, study.outline): seeds for text in texts}
    if found and study.given and study.description.given_recipe is None:
        raise ValueError(f"{DESCRIPTION}: a [recipe] expected, which says how the network was trained; without it none "
                         "can be retrained.")
    return found


def missing(study: Study, key: str | None, wanted: Mapping[Request, int]) -> dict[Request, int]:
    """How many networks of each request are still to be trained.

    Args:
        study: the folder.
        key: of the decoded pictures; None if they are not decoded, so that nothing that was trained is of use.
        wanted: how many there should be.
    """
    return {request: number - (0 if key is None else _trained(study, key, request))
            for request, number in wanted.items()}


def made(study: Study, key: str, images: ImageSet, wanted: Mapping[Request, int],
         progress: Progress) -> dict[str, str]:
    """Retrain what is missing, and put together the files of all requests that have any network.

    Args:
        study: the folder.
        key: of the decoded pictures.
        images: those to train on.
        wanted: from `named`.
        progress: told after every step; may cancel.

    Returns:
        The SHA-256 of each file by its name.

    Raises:
        ValueError: if a training came to nothing.
    """
    kept = {request: _trained(study, key, request) for request in _there(study)}
    everything = dict.fromkeys(study.retrained.values(), 0) | kept
    everything |= {request: max(number, kept.get(request, 0)) for request, number in wanted.items()}
    steps = sum(missing(study, key, everything).values())
    done, found = 0, {}
    for request, number in everything.items():
        given = [name for name, what in study.retrained.items() if what == request]
        file = study.folder / DERIVED / f"{BEGIN}{request.slug}{END}"
        about = {"key": _key(study, key, request), "request": str(request),
                 "given": json.dumps([digest(study.folder / name) for name in given])}
        trained = kept.get(request, 0)
        if not len(given) + number:
            file.unlink(missing_ok=True)
            continue
        if trained < number or about_networks(file) != about | {"trained": str(trained)}:
            first = [load_file(study.folder / name) for name in given]
            networks = _networks(study, request)[-trained:] if trained else []
            _write(study, request, first + networks, about | {"trained": str(trained)})
            for seed in range(trained, number):
                name = f"without {request.words(study.outline)}, network {seed + 1} of {number}"
                networks.append(trained_anew(study, images, ("without", request.slug, seed), ~request.mask(images),
                                             stage(progress, done / steps, (done + 1) / steps, name)))
                _write(study, request, first + networks, about | {"trained": str(seed + 1)})
                done += 1
        found[file.name] = digest(file)
    return found


def trained_anew(study: Study, images: ImageSet, what: tuple[object, ...], chosen: Tensor | None,
                 progress: Progress) -> dict[str, Tensor]:
    """The weights of a network trained from a fresh start, in half precision, to which `train` has rounded them.

    Args:
        study: says how.
        images: the training images.
        what: decides the seed.
        chosen: (N,) bool, which of the images it sees; None for all.
        progress: told after every step; may cancel.

    Raises:
        ValueError: if the numbers grew without limit.
    """
    architecture, recipe = study.description.architecture, study.description.recipe
    model = train(architecture, images, seed=seed_of("own", architecture, *what), recipe=recipe, progress=progress,
                  rows=None if chosen is None else torch.nonzero(chosen).flatten())
    weights = {name: (value.half() if value.is_floating_point() else value).contiguous()
               for name, value in model.state_dict().items()}
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        raise ValueError(f"The training came to nothing: its numbers grew without limit. Try a lower peak_lr in the "
                         f"[recipe] of {DESCRIPTION} than {recipe.peak_lr:g}.")
    return weights


def _there(study: Study) -> list[Request]:
    """Requests that derived files are of; other files are removed."""
    found = []
    for file in sorted((study.folder / DERIVED).glob(f"{BEGIN}*{END}")):
        try:
            found.append(read(about_networks(file).get("request", ""), study.outline))
        except ValueError:
            file.unlink()  # of what is not known any more
    return found


def _key(study: Study, key: str, request: Request) -> str:
    """Of networks trained on the decoded pictures of that key without what is to be forgotten."""
    return key_of(network_key(study, key), request.mask(study.outline).numpy().tobytes())


def _trained(study: Study, key: str, request: Request) -> int:
    """How many networks were trained here for a request, on the pictures of that key."""
    about = about_networks(study.folder / DERIVED / f"{BEGIN}{request.slug}{END}")
    said = about.get("trained", "")
    return int(said) if said.isdecimal() and about.get("key") == _key(study, key, request) else 0


def _networks(study: Study, request: Request) -> list[dict[str, Tensor]]:
    """The networks of a derived file, in the order of their numbers."""
    found: dict[int, dict[str, Tensor]] = {}
    for key, value in load_file(study.folder / DERIVED / f"{BEGIN}{request.slug}{END}").items():
        number, _, name = key.partition("/")
        found.setdefault(int(number), {})[name] = value
    return [found[number] for number in sorted(found)]


def _write(study: Study, request: Request, networks: Sequence[Mapping[str, Tensor]], about: dict[str, str]) -> None:
    with written(study.folder / DERIVED / f"{BEGIN}{request.slug}{END}") as stream:
        stream.write(save({f"{number}/{name}": value for number, network in enumerate(networks)
                           for name, value in network.items()}, about))
