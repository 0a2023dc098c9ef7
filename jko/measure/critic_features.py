"""The features that a linear critic is made of: 1, the coordinates, Gaussian bumps."""

from __future__ import annotations

import torch
from torch import Tensor


def varying(y: Tensor, dim: int) -> Tensor:
    """Rows without the columns of the context that are the same in all of them, such as an absent class."""
    if dim == y.shape[1]:
        return y
    return torch.cat([y[:, :dim], y[:, dim:][:, (y[:, dim:] != y[:1, dim:]).any(0)]], dim=1)


def features_of(y: Tensor, centres: int, relative: float) -> tuple[Tensor, Tensor]:
    """Features (rows, K) and their gradients (rows, K, columns): 1, y, Gaussian bumps.

    Args:
        y: rows, shape (rows, columns), float64.
        centres: number of bumps, centred at the first rows.
        relative: width of the bumps in standard deviations, 0 for one that fits the centres' distances.
    """
    count, dim = y.shape
    std = y.std(0)
    ones = torch.ones(count, 1, dtype=y.dtype)
    affine = torch.cat([ones, (y - y.mean(0)) / std], dim=1)
    slopes = torch.cat([torch.zeros(1, dim, dtype=y.dtype), torch.diag(1 / std)]).expand(count, -1, -1)
    if centres == 0:
        return affine, slopes
    middle = y[:centres]
    spread = std.mean()
    typical = torch.maximum(0.45 * torch.cdist(middle, middle).median(), 0.5 * spread)
    width = relative * spread if relative else typical
    bumps = torch.exp(-(torch.cdist(y, middle) ** 2) / (2 * width**2))
    offset = middle - y[:, None, :]
    return torch.cat([affine, bumps], 1), torch.cat([slopes, bumps[:, :, None] * offset / width**2], 1)
