"""One seeded map of the feature space, and fast placement of new points on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
        squared = ((features**2).sum(1)[:, None] - 2 * features @ self.features.T + (self.features**2).sum(1)).clip(0)
        nearest = np.argpartition(squared, neighbours, axis=1)[:, :neighbours]  # (N, k)
        distance = np.take_along_axis(squared, nearest, axis=1)
        scale = distance.mean(1, keepdims=True) + 1e-12
        weights = np.exp(-8 * distance / scale) + 1e-12
        weights /= weights.sum(1, keepdims=True)
        result: Float32 = np.einsum("nk,nkd->nd", weights, self.positions[nearest]).astype(np.float32)
        return result


def fit_map(features: Float32, seed: int) -> FeatureMap:
    """Fit the map with UMAP (McInnes et al., arXiv 1802.03426); seconds to minutes, not for a serving process."""
    import umap

    positions = umap.UMAP(n_neighbors=15, min_dist=0.1, random_state=seed).fit_transform(features)
    low, high = positions.min(0), positions.max(0)
    margin = 0.03
    scaled = margin + (1 - 2 * margin) * (positions - low) / (high - low)
    return FeatureMap(features.astype(np.float32), scaled.astype(np.float32))
