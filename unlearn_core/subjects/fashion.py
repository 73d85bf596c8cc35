"""The bundled images: Fashion-MNIST."""

from __future__ import annotations

from unlearn_core.nets.images import ImageSet, Split
from unlearn_core.subjects.data import bundled_images


def fashion_mnist(split: Split) -> ImageSet:
    """The bundled Fashion-MNIST: 20,000 class-balanced training images, all 10,000 test images, or for validation 1,000
    class-balanced images of the official training file that no bundled network was trained on.

    Source: Xiao, Rasul and Vollgraf, arXiv 1708.07747; MIT licence.

    Raises:
        assets.AssetError: if the bundled file is missing or was altered.
    """
    return bundled_images("fashion-mnist", split)
