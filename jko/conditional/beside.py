r"""A conditional law as a law of rows and contexts side by side, of which the contexts are always held.

Of a law q(x | u) every row has its own u. Given the cells x_A that it has, and u, the others have the density

.. math:: q(x_B \mid x_A, u) \propto q(x_A, x_B \mid u),

and so it does not matter how likely u is. The numbers (x, u) are those of a law of d + c columns, with the
density q(x | u), for all that holds u. Only the mixture that proposes rows looks at how x and u lie together:
for that, rows are drawn under contexts of the rows to be filled. A context may be the same in all of them, or
one of a few classes, and a mixture of densities needs more than points. So it is shown contexts with noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from jko.columns.cells import Cells
from jko.columns.real import Continuous
from jko.conditional.kinds import Kinds
from jko.conditional.law import Law
from jko.core.seeds import counter_seed
from jko.preparation.table import Array

#: noise of the contexts that the mixture is fitted to, in units of their scale
SPREAD = 0.1


def law_beside(
    dim: int,
    contexts: Array,
    scale: Array,
    *,
    draw: Callable[[Array, int], Array],
    density: Callable[[Array], Array],
) -> Law:
    """A conditional law as one of d + c numbers.

    Args:
        dim: d.
        contexts: of the rows to be filled, shape (n, c).
        scale: of each number of a context, shape (c,).
        draw: a row under each of some contexts, by a seed, shape (m, c) to (m, d).
        density: log-densities log q(x | u) in nats of rows (x, u), shape (m, d + c) to (m,).
    """

    def drawn(rows: int, seed: int) -> Array:
        rng = np.random.default_rng(counter_seed(seed, "contexts"))
        chosen = contexts[rng.integers(len(contexts), size=rows)]
        noise = SPREAD * scale * rng.standard_normal(chosen.shape)
        return np.concatenate([draw(chosen, seed), chosen + noise], axis=1)

    return Law(dim + contexts.shape[1], drawn, density)


def kinds_beside(kinds: Kinds, cells: Mapping[str, Cells], contexts: Array) -> tuple[Kinds, dict[str, Cells]]:
    """The kinds and cells of rows with their contexts behind them, every one of which is there.

    Args:
        kinds: of the columns.
        cells: of the rows, by column.
        contexts: shape (n, c).
    """
    there = np.ones(len(contexts), dtype=bool)
    more = {_unused(f"context {i}", cells): Cells(own, there) for i, own in enumerate(contexts.T)}
    columns = tuple(Continuous(name=name) for name in more)
    return Kinds((*kinds.columns, *columns)), {**cells, **more}


def _unused(name: str, cells: Mapping[str, Cells]) -> str:
    """A name that no column has."""
    while name in cells:
        name += "'"
    return name
