"""What a flow does with some of its columns given: rows that fulfil conditions, and holes that are filled."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import index
from typing import Any, SupportsIndex

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jko.columns.cells import Cells, cells_of, read_cells
from jko.columns.column import Column, Values
from jko.columns.known import as_known
from jko.columns.missing import Missing
from jko.columns.schema import Schema
from jko.conditional.asked import Bounds, asked_of
from jko.conditional.found import Worth
from jko.conditional.imputing import STEPS, Filled, draw_missing
from jko.conditional.kinds import Kinds, constraints_of, kinds_of, raw_kinds
from jko.conditional.law import Law
from jko.conditional.sampling import draw_given
from jko.conditional.words import Given, conditions_of
from jko.core.errors import InputError
from jko.core.plain import shortened
from jko.core.threads import torch_threads
from jko.flow_rows import FlowRows
from jko.given import Context, Form, Rows, frame_of, is_frame, taken
from jko.preparation.table import Array


class FlowGiven(FlowRows):
    """Rows of a flow given any of its columns, though it was trained on none of them as a context."""

    form: Form

    @abstractmethod
    def drawn(self, rows: int, context: Tensor | None, seed: int) -> Tensor:
        """Rows of the model in data units, shape (rows, d)."""

    @abstractmethod
    def _log_prob(self, rows: Tensor) -> Tensor:
        """Log-densities of rows of d + c columns."""

    @abstractmethod
    def _on_grid(self, x: Tensor) -> Rows:
        """Drawn rows in the form of the flow, gridded columns on their grid."""

    def sample_given(
        self,
        rows: int,
        given: Given,
        *,
        context: Context | None = None,
        seed: SupportsIndex = 0,
        continuous: bool = False,
        raw: bool = False,
        tries: int = 100_000,
        steps: int = 300,
    ) -> tuple[Rows, Worth]:
        """Rows of the model of which some columns are given, in the form that samples have.

        Conditions of positive mass are fulfilled by independent samples, of which those are kept that fulfil
        them. A single real number has no mass; there a mixture proposes the other columns, and weights or
        Markov chains make the proposals rows of the model, exactly so in the limit. Cells of dequantised
        columns are intervals.

        Args:
            rows: how many.
            given: text such as ``"age = 40"``, ``"30 <= age < 40"`` or ``"city in [Rome, Paris]"``, a list
                of such, or a dict of cells by column, as in ``{"age": 40, "city": ["Rome", "Paris"]}``. All
                are to be fulfilled.
            context: what all of the rows are conditioned on, where the flow is.
            seed: of the draws: the same seed gives the same rows.
            continuous: whether dequantised columns stay as they are drawn.
            raw: the same; where columns have kinds, the chain's own real columns come back.
            tries: samples at most that are drawn to find some which fulfil the conditions.
            steps: of every Markov chain at most.

        Returns:
            The rows, and what they are worth: the method, the effective sample size, what was tried.

        Raises:
            InputError: an unknown column or level, conditions that no row fulfils, or none of the samples.
        """
        count, own_seed = _whole(rows, "rows", 1), _whole(seed, "seed", 0)
        kinds = kinds_of(self.facts)
        conditions = conditions_of(given, tuple(kinds.known))
        if not conditions:
            raise InputError("no condition is given; name one, or use sample")
        asked = asked_of(kinds, constraints_of(kinds, conditions), " and ".join(map(str, conditions)))
        law = self.as_law(self._context(context, None))
        y, worth = draw_given(law, asked, count, seed=own_seed, bounds=Bounds(tries, steps))
        x = torch.from_numpy(y)
        if continuous or raw:
            return self.form.rows(x, self.raw_columns), worth
        return self._on_grid(x), worth

    def sample_complete(
        self, rows: int, *, seed: SupportsIndex = 0, steps: int = STEPS
    ) -> tuple[Rows, Filled]:
        """Rows of the model without holes, of a flow whose columns have some.

        Samples are drawn with their holes, and these are filled as :meth:`impute` fills those of other rows.
        That is the law of whole rows, if cells are missing at random: whether one is empty may depend on
        what else is there in the row, and not on the cell itself. Rows that happen to have no hole are
        another law, and are none that is looked for here.

        Args:
            rows: how many.
            seed: of the draws.
            steps: of the Markov chains behind every draw.

        Returns:
            The rows in the form that samples have, and how holes were filled.

        Raises:
            InputError: a flow whose columns have no holes, or a conditional one.
        """
        count, own_seed = _whole(rows, "rows", 1), _whole(seed, "seed", 0)
        kinds = self.facts.kinds
        if kinds is None or not any(isinstance(column, Missing) for column in kinds.kept):
            raise InputError("no column of the flow has empty cells; every sample is complete")
        if self.facts.context:
            raise InputError("the flow is conditional; holes are filled by unconditional flows alone")
        with torch.no_grad():
            drawn = self.drawn(count, None, own_seed).double().cpu().numpy()
        cells = {name: read_cells(own) for name, own in kinds.decode(drawn).items()}
        found, filled = self.impute_cells(cells, 1, seed=own_seed, steps=_whole(steps, "steps", 0))
        whole: Rows = self.form.cells(found, self.facts.dtypes, kinds.ordered)
        return whole, filled

    def impute(
        self, x: Rows, draws: int = 1, *, seed: SupportsIndex = 0, steps: int = STEPS
    ) -> tuple[Rows, Filled]:
        """Rows with holes, filled by draws from the model given the cells that each row has.

        Where holes are part of the law (:mod:`jko.columns.missing`), that every cell is there is given, too.

        Args:
            x: rows in data units, NaN or empty where there is a hole; cells that are there stay as they are.
            draws: of every row.
            seed: of the draws.
            steps: of the Markov chains behind every draw.

        Returns:
            The rows in the form that they came in, and how they were filled. Of several draws, arrays and
            tensors have shape (draws, rows, d), and data frames all rows of the first draw, then those of
            the next, with a first column ``draw`` from 1 on.

        Raises:
            InputError: a conditional flow, other columns than the flow's, or a cell that is infinite.
        """
        many, own_seed = _whole(draws, "draws", 1), _whole(seed, "seed", 0)
        if self.facts.context:
            raise InputError("the flow is conditional; holes are filled by unconditional flows alone")
        count = _whole(steps, "steps", 0)
        if self.facts.kinds is not None and (is_frame(x) or isinstance(x, Mapping)):
            return self._impute_table(x, many, own_seed, count)
        x, shape = self._flat(x)
        rows, form = taken(x, self.raw_columns)
        form = replace(form, shape=shape)
        self._refuse(rows)
        values = rows.detach().double().cpu().numpy()
        if np.isinf(values).any():
            raise InputError("the rows hold a number that is infinite; a hole is NaN")
        cells = {name: Cells(values[:, at], ~np.isnan(values[:, at])) for at, name in enumerate(self.columns)}
        places, y, filled = self._filled(raw_kinds(self.facts), cells, many, own_seed, count)
        whole = np.tile(values, (many, 1, 1))
        exact = [self.facts.on_grid(one) for one in y]
        for one, own in zip(whole, exact, strict=True):
            one[places] = np.where(np.isnan(values[places]), own, values[places])
        return _shaped(whole, form, self.raw_columns, self.facts.whole_columns), filled

    def _impute_table(self, x: Rows, draws: int, seed: int, steps: int) -> tuple[Rows, Filled]:
        """The same for rows of a table whose columns have kinds."""
        assert self.facts.kinds is not None
        frame_or_columns: Any = frame_of(x) if is_frame(x) else x
        cells = cells_of(frame_or_columns, list(self.facts.names))
        found, filled = self.impute_cells(cells, draws, seed=seed, steps=steps)
        frame: Any = self.form.cells(found, self.facts.dtypes, self.facts.kinds.ordered)
        index = getattr(x, "index", None)
        if index is not None and self.form.make is None and hasattr(frame, "index"):
            frame.index = list(index) * draws
        rows: Rows = frame
        return rows, filled

    def impute_cells(
        self, cells: Mapping[str, Cells], draws: int, *, seed: int = 0, steps: int = STEPS
    ) -> tuple[dict[str, Values], Filled]:
        """Columns of a table by name with their holes filled, one draw below the other.

        Args:
            cells: of the columns that samples hold.
            draws: of every row; with several the first column, ``draw``, says which.
            seed: of the draws.
            steps: of the Markov chains behind every draw.

        Raises:
            InputError: a flow whose columns have no kinds, or a cell that is none of its kind.
        """
        kinds = kinds_of(self.facts)
        if kinds.schema is None or self.facts.context:
            raise InputError("cells are filled by unconditional flows whose columns have kinds alone")
        known = {
            name: known_cells(column, cells[name])
            for name, column in zip(kinds.names, kinds.columns, strict=True)
        }
        _refuse_broken(kinds.schema, known)
        places, y, filled = self._filled(kinds, known, draws, seed, steps)
        decoded = [kinds.schema.decode(one) for one in y]
        found: dict[str, Values] = {}
        if draws > 1:
            found["draw"] = np.repeat(np.arange(1, draws + 1), filled.rows)
        for name, own in known.items():
            found[name] = np.concatenate([_with_holes_filled(own, places, one[name]) for one in decoded])
        return found, filled

    def _filled(
        self, kinds: Kinds, cells: Mapping[str, Cells], draws: int, seed: int, steps: int
    ) -> tuple[NDArray[np.int64], Array, Filled]:
        """Numbers of the rows with holes, their draws, and how they were filled."""
        present = np.stack([own.present for own in cells.values()], axis=1)
        places = np.flatnonzero(~present.all(1))
        told = {"rows": len(present), "with_holes": len(places), "holes": int((~present).sum())}
        if not len(places):
            return places, np.empty((draws, 0, self.dim)), Filled(**told, draws=draws)
        some = {name: Cells(own.values[places], own.present[places]) for name, own in cells.items()}
        found = draw_missing(self.as_law(None), kinds, some, draws, seed=seed, steps=steps)
        filled = Filled(
            **told, draws=draws, weights=float(np.median(found.size)) / found.proposals,
            moved=found.chains, still=found.still,
            accepted=found.accepted / (found.chains * steps) if found.chains and steps else None,
        )  # fmt: skip
        return places, found.y, filled

    def as_law(self, context: Tensor | None = None) -> Law:
        """The model as a law of its d columns, for :mod:`jko.conditional`.

        Args:
            context: of all rows, shape (c,), where the flow is conditional.
        """
        if context is not None and context.ndim != 1:
            raise InputError("give one context for all rows")

        def draw(rows: int, seed: int) -> Array:
            with torch.no_grad():
                return np.asarray(self.drawn(rows, context, seed % 2**63).double().cpu().numpy())

        def density(y: Array) -> Array:
            x = torch.from_numpy(y).to(self.chain.shift.device)
            with torch.no_grad(), torch_threads(self.config.runtime.threads):
                return np.asarray(self._log_prob(self._with_context(x, context)).double().cpu().numpy())

        return Law(self.dim, draw, density)


def known_cells(column: Column, own: Cells) -> Cells:
    """Cells in the type that a kind knows them in; what stands for an empty one does not count.

    Raises:
        InputError: a cell is none of its kind.
    """
    there = as_known(column, own.there)
    if len(there):
        column.encode(there, np.full((len(there), column.noise_width), 0.5))
    values = np.empty(len(own.present), dtype=there.dtype)
    values[own.present] = there
    return Cells(values, own.present)


def _refuse_broken(schema: Schema, cells: Mapping[str, Cells]) -> None:
    """Refuse rows that break a rule by which one column tells another.

    Raises:
        InputError: names the first of them.
    """
    for told in schema.told:
        levels, own = cells[told.by], cells[told.name]
        both = levels.present & own.present
        if broken := told.broken(levels.values[both], own.values[both]):
            raise InputError(broken)


def _with_holes_filled(own: Cells, places: NDArray[np.int64], drawn: Values) -> Values:
    """A column of a table with drawn cells where it has holes.

    Args:
        own: its cells.
        places: numbers of rows with a hole in any column.
        drawn: decoded cells of these rows.
    """
    found = np.empty(len(own.present), dtype=drawn.dtype)
    found[places] = drawn
    found[own.present] = own.there
    return found


def _shaped(whole: Array, form: Form, columns: Sequence[str], whole_columns: Sequence[str]) -> Rows:
    """Draws of shape (draws, rows, d) in the form that the rows came in."""
    draws, rows, dim = whole.shape
    if form.kind != "frame":
        x = torch.from_numpy(whole[0] if draws == 1 else whole)
        flat = form.rows(x.reshape(-1, dim), columns)
        if draws == 1:
            return flat
        return flat.reshape(draws, rows, *flat.shape[1:])  # type: ignore[union-attr]
    if form.make is not None:
        raise InputError("holes of plain numbers are filled in arrays, tensors and data frames of pandas")
    found: Any = replace(form, shape=None).rows(
        torch.from_numpy(whole.reshape(-1, dim)), columns, whole_columns
    )
    found.index = list(range(rows) if form.index is None else form.index) * draws
    if draws > 1:
        found.insert(0, "draw", np.repeat(np.arange(1, draws + 1), rows))
    return found


def _whole(value: SupportsIndex, name: str, least: int) -> int:
    """A setting as an integer.

    Raises:
        InputError: it is none, or too small.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or not least <= index(value) < 2**63:
        raise InputError(f"{name} = {shortened(value)} is not allowed; give an integer from {least} on")
    return index(value)
