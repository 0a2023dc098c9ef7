"""A start map of each column given the cells of up to two others."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from jko.core.cell_line import HALVES
from jko.core.errors import InputError
from jko.maps.spline import Tables, check_increasing, spline, spline_inverse
from jko.maps.start_map import StartMap, log_normal_density

#: stands for no parent
NONE = -1
#: how sentences on tables that fit no map begin
DAMAGED = "the start map's conditionals are damaged"
#: normal scores beyond which the map goes on in a straight line
FAR = 5.0
#: names of its tables
NAMES = (
    "parents", "cells", "halves", "shift", "scale", "first", "masses", "knots", "values", "slopes",
)  # fmt: skip
#: masses of cells add up to 1 within this
ROUNDING = 1e-9


class Conditionals(StartMap):
    r"""The increasing map of each column to a standard normal one, given the cells of its parents.

    With c the cells of at most two other columns, the parents of column j, and F the distribution function
    given c,

    .. math:: z_j = \Phi^{-1}(F_j(u_j \mid c)), \quad
        \log\left|\det \frac{dz}{du}\right| = \sum_j \log \frac{\partial z_j}{\partial u_j}

    A column of cells has a mass for each of them, and in a cell the law of the noise that was added: uniform
    on the unit interval around the cell's number, or half-normal on a half of the line. So P(cell | parents'
    cells) is exact. A column of real numbers has a spline (:mod:`jko.maps.spline`). Where |z| > 5 the map
    goes on in a straight line. The map is triangular, and smooth but where a cell ends.

    Source: a map of each column given those before it is the Knothe–Rosenblatt map (Villani, Topics in
    Optimal Transportation, 2003); with one parent the masses are those of the tree of Chow, Liu, IEEE Trans.
    Inf. Theory 14 (1968) 462–467.

    Args:
        parents: numbers of each column's parents, columns of cells; −1 for none, shape (d, 2).
        cells: K ≥ 2 for a column of K cells, 0 for real numbers, shape (d,).
        halves: 1 where the two cells are the halves of the line, else 0, shape (d,).
        shift: of the cells' units x = shift + scale · u, shape (d,).
        scale: of the same, positive, shape (d,).
        first: where a column's tables begin: rows of ``masses`` for cells, else of ``knots``; one table for
            each pair of the parents' cells, the second parent's in turn, shape (d,).
        masses: of the cells, positive, each row adding up to 1, 0 behind the last cell, shape (R, K).
        knots: of the splines, shape (S, L), as those of :class:`jko.maps.start_map.Marginals`.
        values: of the same.
        slopes: of the same.

    Raises:
        InputError: numbers that make no such map.
    """

    kind = "conditionals"
    parents: Tensor
    cells: Tensor
    halves: Tensor
    shift: Tensor
    scale: Tensor
    first: Tensor
    masses: Tensor
    knots: Tensor
    values: Tensor
    slopes: Tensor
    # what follows from the masses
    _below: Tensor
    _above: Tensor

    def __init__(self, **tables: Tensor) -> None:
        super().__init__()
        if set(tables) != set(NAMES):
            raise InputError(f"a start map of conditionals needs {', '.join(NAMES)}")
        for name in NAMES:
            self.register_buffer(name, tables[name].double())
        self._check_shapes()
        #: of every column as plain numbers, which a device need not be asked for
        self._cells, self._halves, self._first = (
            [int(one) for one in tables[name]] for name in ("cells", "halves", "first")
        )
        self._parents = [tuple(int(one) for one in pair if one != NONE) for pair in tables["parents"]]
        self.order = self._order()
        for j in self.order:
            self._check_column(j)
        below = self.masses.cumsum(1)
        self._keep("_below", torch.cat([torch.zeros_like(below[:, :1]), below], dim=1))
        above = self.masses.flip(1).cumsum(1).flip(1)
        self._keep("_above", torch.cat([above, torch.zeros_like(above[:, :1])], dim=1))

    def _keep(self, name: str, value: Tensor) -> None:
        """A table that follows from the others."""
        self.register_buffer(name, value, persistent=False)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return len(self.parents)

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Images z and the log-determinant."""
        u = u.double()
        both = [self._column(j, u[:, j], self._groups(j, u)) for j in range(self.dim)]
        z, log_slopes = (torch.stack(part, dim=1) for part in zip(*both, strict=True))
        return z, log_slopes.sum(1)

    def inverse(self, z: Tensor) -> Tensor:
        """Rows u, a column's parents before the column."""
        z = z.double()
        u = torch.empty_like(z)
        for j in self.order:
            u[:, j] = self._inverse(j, z[:, j], self._groups(j, u))
        return u

    def parents_of(self, j: int) -> tuple[int, ...]:
        """Numbers of a column's parents."""
        return self._parents[j]

    def _groups(self, j: int, u: Tensor) -> Tensor:
        """The row of column j's tables for each row of u, shape (n,)."""
        group = u.new_zeros(len(u), dtype=torch.long)
        for parent in self._parents[j]:
            group = group * self._cells[parent] + self._cell(parent, u[:, parent])
        return group + self._first[j]

    def _cell(self, j: int, u: Tensor) -> Tensor:
        """The number of the cell that each number of column j lies in."""
        x = self._in_cells(j, u)
        if self._halves[j]:
            return (x >= 0).long()
        return (x + 0.5).floor().clamp(0, self._cells[j] - 1).long()

    def _in_cells(self, j: int, u: Tensor) -> Tensor:
        return self.shift[j] + self.scale[j] * u

    def _column(self, j: int, u: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
        """Images of one column, and the logarithms of their slopes."""
        if not self._cells[j]:
            tables, layout = self._splines(j, group)
            z, log_slope = spline(tables, u.reshape(layout).contiguous())
            return z.flatten(), log_slope.flatten()
        low, high = (self._near(j, torch.full_like(u, end), group) for end in (-FAR, FAR))
        near = torch.minimum(torch.maximum(u, low), high)
        cell = self._cell(j, near)
        z, log_slope = self._score(j, near, cell, group)
        return z + log_slope.exp() * (u - near), log_slope

    def _inverse(self, j: int, z: Tensor, group: Tensor) -> Tensor:
        """What one column's images come from."""
        if not self._cells[j]:
            tables, layout = self._splines(j, group)
            return spline_inverse(tables, z.reshape(layout).contiguous()).flatten()
        near = z.clamp(-FAR, FAR)
        u = self._near(j, near, group)
        log_slope = self._score(j, u, self._cell(j, u), group)[1]
        return u + (z - near) * torch.exp(-log_slope)

    def _splines(self, j: int, group: Tensor) -> tuple[Tables, tuple[int, int]]:
        """The splines of rows, and the shape in which numbers go through them."""
        if not self._parents[j]:  # the same for all rows
            group, layout = group.new_tensor([self._first[j]]), (1, -1)
        else:
            layout = (-1, 1)
        return (self.knots[group], self.values[group], self.slopes[group]), layout

    def _score(self, j: int, u: Tensor, cell: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
        """Normal scores of numbers in given cells, and the logarithms of their slopes."""
        x, mass = self._in_cells(j, u), self.masses[group, cell]
        if self._halves[j]:
            away = 2 * torch.special.ndtr(-x.abs())
            part = torch.where(cell == 0, away, 1 - away)
            inside = math.log(2) + log_normal_density(x)
        else:
            part = (x - cell + 0.5).clamp(0, 1)
            inside = torch.zeros_like(x)
        below = self._below[group, cell] + mass * part
        above = self._above[group, cell + 1] + mass * (1 - part)
        lower = below < above  # from the nearer end, so that no digits are lost
        score = torch.special.ndtri(torch.where(lower, below, above).clamp(min=1e-12))
        z = torch.where(lower, score, -score)
        return z, mass.log() + inside + self.scale[j].log() - log_normal_density(z)

    def _near(self, j: int, z: Tensor, group: Tensor) -> Tensor:
        """Numbers whose normal scores are z, at most 5 from zero."""
        count = self._cells[j]
        below, above = torch.special.ndtr(z), torch.special.ndtr(-z)
        inner = slice(1, count)
        from_below = torch.searchsorted(
            self._below[group, inner].contiguous(), below[:, None], right=True
        ).squeeze(1)
        from_above = torch.searchsorted(
            self._above[group, inner].flip(1).contiguous(), above[:, None], right=True
        ).squeeze(1)
        lower = z < 0
        cell = torch.where(lower, from_below, count - 1 - from_above)
        mass = self.masses[group, cell]
        part = ((below - self._below[group, cell]) / mass).clamp(0, 1)
        rest = ((above - self._above[group, cell + 1]) / mass).clamp(0, 1)
        if self._halves[j]:
            tail = torch.where(
                cell == 0, torch.where(lower, part, 1 - rest), torch.where(lower, 1 - part, rest)
            )
            away = -torch.special.ndtri((tail / 2).clamp(min=1e-300))
            x = torch.where(cell == 0, -away, away)
        else:
            x = cell - 0.5 + torch.where(lower, part, 1 - rest)
        return (x - self.shift[j]) / self.scale[j]

    def _check_shapes(self) -> None:
        count = self.parents.shape[:1]
        right = all(getattr(self, name).shape == count for name in NAMES[1:6])
        right = right and self.parents.shape == (*count, 2) and self.masses.ndim == self.knots.ndim
        if not (right and all(bool(tensor.isfinite().all()) for tensor in self.buffers())):
            raise InputError(f"{DAMAGED}: they need finite tables of one length")
        whole = (self.parents, self.cells, self.halves, self.first)
        if not all(bool((one == one.round()).all()) for one in whole) or bool((self.scale <= 0).any()):
            raise InputError(f"{DAMAGED}: they need whole counts and positive scales")
        if len(self.knots):
            check_increasing(self.knots, self.values, self.slopes)

    def _order(self) -> tuple[int, ...]:
        """Columns, each behind its parents."""
        left, found = set(range(self.dim)), list[int]()
        while left:
            ready = [j for j in sorted(left) if set(self._parents[j]) <= set(found)]
            if not ready:
                raise InputError(f"{DAMAGED}: their columns have no order")
            found += ready
            left -= set(ready)
        return tuple(found)

    def _check_column(self, j: int) -> None:
        count, first = self._cells[j], self._first[j]
        of_parents = [self._cells[parent] for parent in self._parents[j]]
        groups = math.prod(of_parents)
        tables = self.masses if count else self.knots
        right = count >= 0 and count != 1 and all(one > 1 for one in of_parents)
        if not (right and 0 <= first <= len(tables) - groups):
            raise InputError(f"{DAMAGED}: column {j} has no tables of its own")
        if not count:
            return
        own = tables[first : first + groups]
        right = count <= own.shape[1] and bool((own[:, :count] > 0).all() and (own[:, count:] == 0).all())
        right = right and bool(((own.sum(1) - 1).abs() < ROUNDING).all())
        if not right or (self._halves[j] and count != HALVES.count):
            raise InputError(f"{DAMAGED}: column {j} has no masses that add up to 1")
