"""What a flow does with some of its columns given: rows that fulfil conditions, and holes that are filled."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import index
from typing import Any, SupportsIndex, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jko.columns.cells import Cells, Frame, cells_of
from jko.columns.column import Values
from jko.conditional.asked import Bounds, asked_of
from jko.conditional.found import Worth
from jko.conditional.imputing import STEPS, Filled, draw_missing
from jko.conditional.kinds import Kinds, constraints_of, kinds_of, loose
from jko.conditional.law import Law
from jko.conditional.sampling import draw_given
from jko.conditional.words import Given, conditions_of
from jko.config import Config
from jko.core.errors import InputError
from jko.core.plain import shortened
from jko.core.threads import torch_threads
from jko.flow_rows import FlowRows
from jko.given import Context, Form, Rows, is_frame, taken
from jko.preparation.table import Array


class FlowGiven(FlowRows):
    """Rows of a flow given any of its columns, though it was trained on none of them as a context."""

    config: Config
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
        return self._back(kinds, y, continuous), worth

    def impute(
        self, x: Rows, draws: int = 1, *, seed: SupportsIndex = 0, steps: int = STEPS
    ) -> tuple[Rows, Filled]:
        """Rows with holes, filled by draws from the model given the cells that each row has.

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
        kinds = kinds_of(self.facts)
        if kinds.schema is not None:
            return self._impute_table(kinds, x, many, own_seed, _whole(steps, "steps", 0))
        x, shape = self._flat(x)
        rows, form = taken(x, self.columns)
        form = replace(form, shape=shape)
        self._refuse(rows)
        values = rows.detach().double().cpu().numpy()
        if np.isinf(values).any():
            raise InputError("the rows hold a number that is infinite; a hole is NaN")
        cells = {name: Cells(values[:, at], ~np.isnan(values[:, at])) for at, name in enumerate(self.columns)}
        places, y, filled = self._filled(loose(kinds), cells, many, own_seed, _whole(steps, "steps", 0))
        whole = np.tile(values, (many, 1, 1))
        exact = [self.facts.on_grid(one) for one in y]
        for one, own in zip(whole, exact, strict=True):
            one[places] = np.where(np.isnan(values[places]), own, values[places])
        return _shaped(whole, form, self.columns, self.facts.whole_columns), filled

    def _impute_table(self, kinds: Kinds, x: Rows, draws: int, seed: int, steps: int) -> tuple[Rows, Filled]:
        """The same for rows of a table with a schema: columns by name, one below the other."""
        if not is_frame(x):
            raise InputError("the flow was trained on a table with a schema; give a data frame")
        cells = cells_of(cast("Frame", x), kinds.names)
        places, y, filled = self._filled(kinds, cells, draws, seed, steps)
        assert kinds.schema is not None
        found: dict[str, Values] = {"draw": np.repeat(np.arange(1, draws + 1), _length(cells))}
        decoded = [kinds.schema.decode(one) for one in y]
        for name, own in cells.items():
            parts = []
            for one in decoded:
                drawn = one[name]
                column = np.resize(drawn, len(own.present)) if len(drawn) else own.values.copy()
                column[places] = drawn
                column[own.present] = own.values[own.present]
                parts.append(column)
            found[name] = np.concatenate(parts)
        if draws == 1:
            del found["draw"]
        return _framed(found), filled

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

    def _back(self, kinds: Kinds, y: Array, continuous: bool) -> Rows:
        """Encoded rows as samples come."""
        x = torch.from_numpy(y)
        if kinds.schema is not None and not continuous:
            return _framed(kinds.schema.decode(y))
        return self.form.rows(x, self.columns) if continuous else self._on_grid(x)


def _framed(columns: Mapping[str, Values]) -> Rows:
    """Columns by name as a data frame.

    Raises:
        InputError: pandas, which is not imported here, is not there.
    """
    pandas = sys.modules.get("pandas")
    if pandas is None:
        raise InputError("rows of a table come back as a data frame: import pandas first")
    frame: Rows = pandas.DataFrame(dict(columns))
    return frame


def _length(cells: Mapping[str, Cells]) -> int:
    return len(next(iter(cells.values())).present)


def _shaped(whole: Array, form: Form, columns: Sequence[str], whole_columns: Sequence[str]) -> Rows:
    """Draws of shape (draws, rows, d) in the form that the rows came in."""
    draws, rows, dim = whole.shape
    if form.kind != "frame":
        x = torch.from_numpy(whole[0] if draws == 1 else whole)
        flat = form.rows(x.reshape(-1, dim), columns)
        if draws == 1:
            return flat
        return flat.reshape(draws, rows, *flat.shape[1:])  # type: ignore[union-attr]
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
