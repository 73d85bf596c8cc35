"""The bundled images, of any set."""

from __future__ import annotations

import torch

from unlearn_core import assets
from unlearn_core.nets.images import Groups, ImageSet, Split


def bundled_images(data: str, split: Split) -> ImageSet:
    """One part of a bundled image set; the manifest knows its classes, its groups, its mean and its deviation.

    Args:
        data: the set's name, as in ``people``.
        split: which part of it.

    Raises:
        assets.AssetError: if the bundled file is missing or was altered.
    """
    table, source = assets.arrays(f"data/{data}-{split}.npz"), assets.manifest().data[data]
    images, labels = torch.from_numpy(table["images"]), torch.from_numpy(table["labels"]).long()
    groups = {kind: Groups(tuple(names), torch.from_numpy(table[kind]).long())
              for kind, names in source.groups.items()}
    return ImageSet(data, images if images.dim() == 4 else images.unsqueeze(1), labels, tuple(source.classes),
                    tuple(source.mean), tuple(source.std), groups)
