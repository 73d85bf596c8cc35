"""The bundled images: Fashion-MNIST."""

from __future__ import annotations

import torch

from unlearn_core import assets
from unlearn_core.nets.images import ImageSet, Split


def fashion_mnist(split: Split) -> ImageSet:
    """The bundled Fashion-MNIST: 20,000 class-balanced training images, all 10,000 test images, or for validation 1,000
    class-balanced images of the official training file that no bundled network was trained on.

    Source: Xiao, Rasul and Vollgraf, arXiv 1708.07747; MIT licence.

    Raises:
        assets.AssetError: if the bundled file is missing or was altered.
    """
    table = assets.arrays(f"data/fashion-mnist-{split}.npz")
    return ImageSet(
        "fashion-mnist",
        torch.from_numpy(table["images"]).unsqueeze(1),
        torch.from_numpy(table["labels"]).long(),
        tuple(assets.manifest().data["fashion-mnist"].classes),
        mean=(0.2860,),
        std=(0.3530,),
    )
