"""What a flow does with rows that have holes: they are filled by draws from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from operator import index
from typing import Any, SupportsIndex

import numpy as np
import torch
from numpy.typing import NDArray

from jko.columns.cells import Cells, cells_of, read_cells
from jko.columns.column import Values
from jko.columns.missing import Missing
from jko.conditional.beside import kinds_beside
from jko.conditional.imputing import STEPS, Filled, draw_missing
from jko.conditional.kinds import Kinds, kinds_of, raw_kinds
from jko.core.errors import InputError
from jko.core.plain import shortened
from jko.filled_rows import known_cells, refuse_broken, shaped, with_draws
from jko.flow_law import FlowLaw
from jko.given import Context, Form, Rows, frame_of, is_frame, taken
from jko.preparation.table import Array


class FlowHoles(FlowLaw):
    """Rows of a flow whose holes are filled, each row by itself."""

    form: Form

    def sample_complete(
        self,
        rows: int,
        *,
        context: Context | None = None,
        seed: SupportsIndex = 0,
        steps: int = STEPS,
    ) -> tuple[Rows, Filled]:
        """Rows of the model without holes, of a flow whose columns have some.

        Samples are drawn with their holes, and these are filled as :meth:`impute` fills those of other rows.
        That is the law of whole rows, if cells are missing at random: whether one is empty may depend on
        what else is there in the row, and not on the cell itself. Rows that happen to have no hole are
        another law, and are none that is looked for here.

        Args:
            rows: how many.
            context: what all or each of them are conditioned on, where the flow is.
            seed: of the draws.
            steps: of the Markov chains behind every draw.

        Returns:
            The rows in the form that samples have, and how holes were filled.

        Raises:
            InputError: a flow whose columns have no holes, or no context of a conditional one.
        """
        count, own_seed = whole_number(rows, "rows", 1), whole_number(seed, "seed", 0)
        kinds = self.facts.kinds
        if kinds is None or not any(isinstance(column, Missing) for column in kinds.kept):
            raise InputError("no column of the flow has empty cells; every sample is complete")
        given = self._context(context, count)
        with torch.no_grad():
            drawn = self.drawn(count, given, own_seed).double().cpu().numpy()
        cells = {name: read_cells(own) for name, own in kinds.decode(drawn).items()}
        beside = self._contexts(given, count)
        found, filled = self.impute_cells(
            cells, 1, context=beside, seed=own_seed, steps=whole_number(steps, "steps", 0)
        )
        whole: Rows = self.form.cells(found, self.facts.dtypes, kinds)
        return whole, filled

    def impute(
        self,
        x: Rows,
        draws: int = 1,
        *,
        context: Context | None = None,
        seed: SupportsIndex = 0,
        steps: int = STEPS,
    ) -> tuple[Rows, Filled]:
        """Rows with holes, filled by draws from the model given the cells that each row has.

        Where holes are part of the law (:mod:`jko.columns.missing`), that every cell is there is given, too.

        Args:
            x: rows in data units, NaN or empty where there is a hole; cells that are there stay as they are.
            draws: of every row.
            context: what all or each of the rows are conditioned on, where the flow is; a data frame may hold
                it, too. It has no holes.
            seed: of the draws.
            steps: of the Markov chains behind every draw.

        Returns:
            The rows in the form that they came in, without their context, and how they were filled. Of
            several draws, arrays and tensors have shape (draws, rows, d), and data frames all rows of the
            first draw, then those of the next, with a first column ``draw`` from 1 on.

        Raises:
            InputError: other columns than the flow's, a cell that is infinite, or a context with a hole.
        """
        many, own_seed = whole_number(draws, "draws", 1), whole_number(seed, "seed", 0)
        count = whole_number(steps, "steps", 0)
        context = self.context_in(x, context)
        if self.facts.kinds is not None and (is_frame(x) or isinstance(x, Mapping)):
            return self._impute_table(x, context, many, own_seed, count)
        x, shape = self._flat(x)
        rows, form = taken(x, self.raw_columns)
        form = replace(form, shape=shape)
        self._refuse(rows)
        beside = self._contexts(self._context(context, len(rows)), len(rows))
        values = rows.detach().double().cpu().numpy()
        if np.isinf(values).any():
            raise InputError("the rows hold a number that is infinite; a hole is NaN")
        cells = {name: Cells(values[:, at], ~np.isnan(values[:, at])) for at, name in enumerate(self.columns)}
        kinds = raw_kinds(self.facts)
        places, y, filled = self._filled(kinds, cells, beside, many, seed=own_seed, steps=count)
        whole = np.tile(values, (many, 1, 1))
        exact = [self.facts.on_grid(one) for one in y]
        for one, own in zip(whole, exact, strict=True):
            one[places] = np.where(np.isnan(values[places]), own, values[places])
        return shaped(whole, form, self.raw_columns, self.facts.whole_columns), filled

    def _impute_table(
        self, x: Rows, context: Context | None, draws: int, seed: int, steps: int
    ) -> tuple[Rows, Filled]:
        """The same for rows of a table whose columns have kinds."""
        assert self.facts.kinds is not None
        frame_or_columns: Any = frame_of(x) if is_frame(x) else x
        cells = cells_of(frame_or_columns, list(self.facts.names))
        rows_there = len(next(iter(cells.values())).present)
        beside = self._contexts(self._context(context, rows_there), rows_there)
        found, filled = self.impute_cells(cells, draws, context=beside, seed=seed, steps=steps)
        frame: Any = self.form.cells(found, self.facts.dtypes, self.facts.kinds)
        index = getattr(x, "index", None)
        if index is not None and self.form.make is None and hasattr(frame, "index"):
            frame.index = list(index) * draws
        rows: Rows = frame
        return rows, filled

    def impute_cells(
        self,
        cells: Mapping[str, Cells],
        draws: int,
        *,
        context: Array | None = None,
        seed: int = 0,
        steps: int = STEPS,
    ) -> tuple[dict[str, Values], Filled]:
        """Columns of a table by name with their holes filled, one draw below the other.

        Args:
            cells: of the columns that samples hold.
            draws: of every row; with several the first column, ``draw``, says which.
            context: of every row, as the chain takes it, shape (rows, c), where the flow is conditional.
            seed: of the draws.
            steps: of the Markov chains behind every draw.

        Raises:
            InputError: a flow whose columns have no kinds, or a cell that is none of its kind.
        """
        kinds = kinds_of(self.facts)
        if kinds.schema is None:
            raise InputError("cells are filled by flows whose columns have kinds alone")
        known = {
            name: known_cells(column, cells[name])
            for name, column in zip(kinds.names, kinds.columns, strict=True)
        }
        refuse_broken(kinds.schema, known)
        places, y, filled = self._filled(kinds, known, context, draws, seed=seed, steps=steps)
        decoded = [kinds.schema.decode(one) for one in y]
        found: dict[str, Values] = {}
        if draws > 1:
            found["draw"] = np.repeat(np.arange(1, draws + 1), filled.rows)
        for name, own in known.items():
            found[name] = np.concatenate([with_draws(own, places, one[name]) for one in decoded])
        return found, filled

    def _filled(
        self,
        kinds: Kinds,
        cells: Mapping[str, Cells],
        context: Array | None,
        draws: int,
        *,
        seed: int,
        steps: int,
    ) -> tuple[NDArray[np.int64], Array, Filled]:
        """Numbers of the rows with holes, their draws, and how they were filled."""
        present = np.stack([own.present for own in cells.values()], axis=1)
        places = np.flatnonzero(~present.all(1))
        told = {"rows": len(present), "with_holes": len(places), "holes": int((~present).sum())}
        if not len(places):
            return places, np.empty((draws, 0, self.dim)), Filled(**told, draws=draws)
        some = {name: Cells(own.values[places], own.present[places]) for name, own in cells.items()}
        if context is None:
            law = self.as_law(None)
        else:
            law = self.law_beside(context[places])
            kinds, some = kinds_beside(kinds, some, context[places])
        found = draw_missing(law, kinds, some, draws, seed=seed, steps=steps)
        filled = Filled(
            **told, draws=draws, weights=float(np.median(found.size)) / found.proposals,
            moved=found.chains, still=found.still,
            accepted=found.accepted / (found.chains * steps) if found.chains and steps else None,
        )  # fmt: skip
        return places, found.y[..., : self.dim], filled


def whole_number(value: SupportsIndex, name: str, least: int) -> int:
    """A setting as an integer.

    Raises:
        InputError: it is none, or too small.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or not least <= index(value) < 2**63:
        raise InputError(f"{name} = {shortened(value)} is not allowed; give an integer from {least} on")
    return index(value)
