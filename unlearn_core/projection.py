"""One seeded map of the feature space, and fast placement of new points on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """A two-dimensional map fitted once on the original model's features.

    Attributes:
        features: (M, width) the fitted features.
        positions: (M, 2) where they lie, in [0, 1].
    """

    features: Float32
    positions: Float32

    def place(self, features: Float32, neighbours: int = 10) -> Float32:
        """Put new features at the weighted mean of their nearest fitted features' positions; (N, 2).

        Weights fall with squared distance, relative to the nearest neighbours' own scale, so a fitted point
        keeps its place. This is not UMAP's own transform: it is some hundred times faster, and a point
        far from everything fitted lands between its nearest neighbours.
        """
        distance, nearest = torch.cdist(torch.from_numpy(features), torch.from_numpy(self.features)).topk(
            neighbours, largest=False, sorted=False)  # (N, k)
        squared = distance.square_()
        weights = torch.exp(-8 * squared / (squared.mean(1, keepdim=True) + 1e-12)) + 1e-12
        weights /= weights.sum(1, keepdim=True)
        result: Float32 = (weights[:, :, None] * torch.from_numpy(self.positions)[nearest]).sum(1).numpy()
        return result


def fit_map(features: Float32, seed: int) -> FeatureMap:
    """Fit the map with UMAP (McInnes et al., arXiv 1802.03426); seconds to minutes, not for a serving process."""
    import umap

    positions = umap.UMAP(n_neighbors=15, min_dist=0.1, random_state=seed).fit_transform(features)
    low, high = positions.min(0), positions.max(0)
    margin = 0.03
    scaled = margin + (1 - 2 * margin) * (positions - low) / (high - low)
    return FeatureMap(features.astype(np.float32), scaled.astype(np.float32))
