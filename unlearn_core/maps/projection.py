"""Maps of a feature space: fitted once, new points placed fast; and how far such a picture can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Float32 = npt.NDArray[np.float32]

NEIGHBOURS = 10
_WINDOW = 0.08  # room around the fitted points of a linear map, relative to their extent


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """A two-dimensional map fitted once on the original model's features.

    Attributes:
        features: (M, width) the fitted features.
        positions: (M, 2) where they lie, in [0, 1].
    """

    features: Float32
    positions: Float32

    def place(self, features: Float32, neighbours: int = NEIGHBOURS) -> Float32:
        """Put new features at the weighted mean of their nearest fitted features' positions; (N, 2).

        Weights fall with squared distance, relative to the nearest neighbours' own scale, so a fitted point
        keeps its place. This is not UMAP's own transform: it is some hundred times faster, and a point
        far from everything fitted lands between its nearest neighbours.
        """
        distance, nearest = torch.cdist(torch.from_numpy(features), torch.from_numpy(self.features)).topk(
            min(neighbours, len(self.features)), largest=False, sorted=False)  # (N, k)
        squared = distance.square_()
        weights = torch.exp(-8 * squared / (squared.mean(1, keepdim=True) + 1e-12)) + 1e-12
        weights /= weights.sum(1, keepdim=True)
        result: Float32 = (weights[:, :, None] * torch.from_numpy(self.positions)[nearest]).sum(1).numpy()
        return result


@dataclass(frozen=True, eq=False)
class LinearMap:
    """The plane of the original's two principal components: every point's own projection, nothing fitted to it.

    Attributes:
        centre: (width,) the middle of the map.
        axes: (width, 2) orthogonal, scaled alike so that the fitted points lie well within [0, 1].
        explained: share of the fitted features' variance that the plane holds; NaN if they do not vary.
    """

    centre: Float32
    axes: Float32
    explained: float

    def place(self, features: Float32) -> Float32:
        """Project features onto the plane; (N, 2), below 0 or above 1 where the map does not reach."""
        result: Float32 = np.add(0.5, (features - self.centre) @ self.axes, dtype=np.float32)
        return result


def fit_linear(features: Float32) -> LinearMap:
    """The map of the two principal components of (M, width) features, width at least 2."""
    # In PyTorch: BLAS threads of NumPy's own would fight for the processors with those of PyTorch.
    centred, mean = _centred(features, np.ones(len(features), np.bool_))
    variance, vectors = torch.linalg.eigh(centred.T @ centred)
    axes = vectors[:, [-1, -2]]
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()  # a component's sign is arbitrary
    on_plane = centred @ axes
    low, high = on_plane.amin(0), on_plane.amax(0)
    scale = 1 / ((1 + 2 * _WINDOW) * max(float((high - low).max()), 1e-12))
    explained = float(variance[-2:].sum() / variance.sum()) if variance.sum() > 0 else float("nan")
    return LinearMap((mean + axes @ (low + high) / 2).float().numpy(), (scale * axes).float().numpy(), explained)


def _centred(features: Float32, rows: npt.NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """The features less their mean over some rows, and that mean, in double precision."""
    wide = torch.from_numpy(features).double()
    mean = wide[torch.from_numpy(rows)].mean(0)
    return wide - mean, mean


@dataclass(frozen=True, eq=False)
class Alignment:
    """One network's features in the basis of another's.

    Attributes:
        features: (N, width) shifted, rotated or reflected, and scaled.
        explained: share of the target's variance on the fitted rows that they explain, at most 1; NaN if the target
            does not vary there.
    """

    features: Float32
    explained: float


def align(source: Float32, target: Float32, fitted: npt.NDArray[np.bool_]) -> Alignment:
    """Bring features into another network's basis, which no training fixes: orthogonal Procrustes with one scale.

    Shift, rotation or reflection, and scale minimise the squared distance on the fitted rows (Schönemann 1966,
    Psychometrika 31), and all rows are moved alike. Distances between the source's rows keep their ratios.

    Args:
        source: (N, width).
        target: (N, width) of the same images.
        fitted: (N,) rows to fit on.

    Raises:
        ValueError: if the shapes differ.
    """
    if source.shape != target.shape:
        raise ValueError(f"source: features of the target's shape {target.shape} expected, got {source.shape}")
    rows = torch.from_numpy(fitted)
    (moving, _), (still, middle) = _centred(source, fitted), _centred(target, fitted)
    left, singular, right = torch.linalg.svd(moving[rows].T @ still[rows])
    size, spread = float(moving[rows].square().sum()), float(still[rows].square().sum())
    scale = float(singular.sum()) / size if size else 0.0
    explained = float(singular.sum()) * scale / spread if spread else float("nan")
    return Alignment((moving @ (scale * left @ right) + middle).float().numpy(), explained)


def nearest(features: Float32, count: int = NEIGHBOURS) -> npt.NDArray[np.int64]:
    """(N, count) rows of each point's nearest other points, in no order."""
    return _nearest(_distances(features), count)


def _distances(points: Float32) -> Tensor:
    found = torch.cdist(torch.from_numpy(points), torch.from_numpy(points))
    return found.fill_diagonal_(torch.inf)


def _nearest(distances: Tensor, count: int) -> npt.NDArray[np.int64]:
    result: npt.NDArray[np.int64] = distances.topk(count, largest=False, sorted=False).indices.numpy()
    return result


def trustworthiness(features: Float32, positions: Float32, count: int = NEIGHBOURS) -> Float32:
    """(N,) how far each point's neighbours on a map are its neighbours in truth: 1 if all are.

    The mean over all points is the trustworthiness of Venna and Kaski (2001), as scikit-learn's
    `manifold.trustworthiness`: a map neighbour that is the r-th nearest in feature space costs r - count if positive.

    Args:
        features: (N, width).
        positions: (N, 2) on the map.
        count: neighbours looked at, less than N / 2.
    """
    n, truth = len(features), _distances(features)
    theirs = truth.gather(1, torch.from_numpy(nearest(positions, count)))  # (N, count)
    ranks = torch.stack([1 + (truth < theirs[:, i:i + 1]).sum(1) for i in range(count)], 1)
    lost = (ranks - count).clamp(min=0).sum(1)
    result: Float32 = (1 - 2 * lost / (count * (2 * n - 3 * count - 1))).float().numpy()
    return result


def fit_map(features: Float32, seed: int) -> Float32:
    """Fit a map with UMAP (McInnes et al., arXiv 1802.03426); seconds to minutes, not for a serving process.

    Returns:
        (M, 2) positions in [0, 1].
    """
    import umap

    return fill(umap.UMAP(n_neighbors=15, min_dist=0.1, random_state=seed).fit_transform(features))


def fill(positions: Float32) -> Float32:
    """(M, 2) positions stretched to [0, 1], but for a margin."""
    low, high = positions.min(0), positions.max(0)
    margin = 0.03
    result: Float32 = (margin + (1 - 2 * margin) * (positions - low) / (high - low)).astype(np.float32)
    return result
