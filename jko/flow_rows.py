"""The rows that a flow is given, in units of the data, as its chain takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from jko.chain.chain import Chain
from jko.chain.kinds import one_draw
from jko.columns.cells import cells_of
from jko.columns.column import Values
from jko.columns.known import as_known
from jko.config import Config
from jko.core.errors import InputError
from jko.given import Context, Form, Rows, frame_of, is_frame, numbers, taken
from jko.preparation.context import asked_columns, by_class, one_hot
from jko.preparation.facts import DataFacts


class FlowRows(nn.Module):
    """What a flow knows of its columns: rows and their context, whatever they come as, become tensors."""

    chain: Chain
    facts: DataFacts
    config: Config

    @property
    def dim(self) -> int:
        """Dimension d of a row."""
        return self.facts.dim

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the data."""
        return self.facts.names

    @property
    def raw_columns(self) -> tuple[str, ...]:
        """Names of the real columns that the chain models: where columns have kinds, what they became."""
        return self.facts.columns

    def cells_of(self, x: object) -> dict[str, Values] | None:
        """Cells of a data frame in the table's own columns; ``None`` for plain numbers.

        Raises:
            InputError: a column is missing, a cell is empty or none of its kind.
        """
        schema = self.facts.kinds
        if schema is None or not (is_frame(x) or isinstance(x, Mapping)):
            return None
        frame = frame_of(x) if is_frame(x) else x
        return {
            column.name: as_known(column, cells)
            for column, cells in zip(
                schema.kept, schema.complete(cells_of(frame, list(schema.names))).values(), strict=True
            )
        }

    @property
    def context_columns(self) -> tuple[str, ...]:
        """Columns that the flow is conditioned on; empty for none."""
        return asked_columns(self.facts.context_columns)

    def joined(self, x: Rows, context: Context | None = None) -> tuple[Tensor, Form]:
        """Rows with their context behind them, on the flow's device, and the form that they came in.

        Args:
            x: rows in data units.
            context: as of :meth:`forward`; a data frame may hold it, too.

        Returns:
            Shape (rows, d + c); classes are zeros with a one.

        Raises:
            InputError: other columns than the flow's, or a context that does not fit.
        """
        cells = self.cells_of(x)
        if cells is not None:
            return self._encoded(x, cells, context)
        both = (*self.raw_columns, *self.context_columns) if context is None else self.raw_columns
        x, shape = self._flat(x)
        rows, form = taken(x, both)
        form = replace(form, shape=shape)
        if context is None and self.facts.context and rows.shape[1] == self.dim + len(self.context_columns):
            rows, context = rows[:, : self.dim], rows[:, self.dim :]
        self._refuse(rows)
        rows = rows.to(self.chain.shift.device)
        return self._with_context(rows, self._context(context, len(rows))), form

    def _encoded(self, x: Rows, cells: dict[str, Values], context: Context | None) -> tuple[Tensor, Form]:
        """Rows of a data frame whose columns have kinds as real numbers, by the first draw of their noise."""
        assert self.facts.kinds is not None
        rows = torch.from_numpy(one_draw(self.facts.kinds, cells, seed=self.config.seed))
        given = self.context_in(x, context)
        device = self.chain.shift.device
        form = Form("frame", index=getattr(x, "index", None))
        return self._with_context(rows.to(device), self._context(given, len(rows))), form

    def context_in(self, x: Rows, context: Context | None) -> Context | None:
        """The context that stands beside rows of a data frame, where it is not given apart."""
        if context is not None or not self.facts.context or not is_frame(x):
            return context
        return taken(x, self.context_columns)[0]

    def _flat(self, x: Rows) -> tuple[Rows, tuple[int, int] | None]:
        """Pictures as rows, with their height and width; rows as they are."""
        shape = self.facts.image_shape
        if shape is None or is_frame(x) or tuple(getattr(x, "shape", ()))[1:] != shape:
            return x, None
        return x.reshape(len(x), -1), shape

    def _refuse(self, rows: Tensor) -> None:
        if rows.shape[1] != self.dim:
            raise InputError(
                f"{rows.shape[1]} columns; the flow has {self.dim} ({', '.join(self.raw_columns[:10])})"
            )

    def _context(self, context: Context | None, rows: int | None) -> Tensor | None:
        """A context in data units as the chain takes it, shape (c,) or (rows, c).

        Raises:
            InputError: none where one is needed, one where none is, or another shape.
        """
        names = self.facts.context_columns
        if context is None and names:
            raise InputError(f"the flow is conditional: give context ({', '.join(self.context_columns)})")
        if context is None:
            return None
        if not names:
            raise InputError("the flow is not conditional: leave context out")
        if is_frame(context):
            columns = self.context_columns if getattr(context, "ndim", 2) == 2 else ()
            given = taken(context, columns)[0]
        else:
            given = _numbers(context)
        if by_class(names):
            given = _one_hot(given, names)
        elif len(names) == 1 and given.ndim < 2 and given.shape != (1,):
            given = given.reshape(-1, 1) if given.ndim else given[None]
        fits = given.shape[-1:] == (len(names),) and given.ndim in (1, 2)
        if not fits:
            raise InputError(
                f"a context of shape {tuple(given.shape)}; allowed: ({len(names)},), or one row for each row"
            )
        if rows is not None and given.ndim == 2 and len(given) != rows:
            raise InputError(f"a context of {len(given)} rows beside {rows} rows; give one for all or each")
        if not given.isfinite().all():
            raise InputError("the context holds a number that is not finite")
        return given.to(self.chain.shift)

    def _with_context(self, rows: Tensor, context: Tensor | None) -> Tensor:
        if context is None:
            return rows
        given = context.expand(len(rows), -1) if context.ndim == 1 else context
        return torch.cat([rows, given.to(rows)], dim=1)

    def _beside(self, z: Tensor, context: Tensor | None) -> Tensor:
        """Noise beside its context in standardised units."""
        if context is None:
            return z
        shift, scale = self.chain.shift[self.dim :], self.chain.scale[self.dim :]
        return self._with_context(z, (context - shift) / scale)


def _numbers(context: Context) -> Tensor:
    """A context as a tensor.

    Raises:
        InputError: it is no numbers.
    """
    try:
        return numbers(context)
    except InputError as error:
        raise InputError(f"context: {error}") from None


def _one_hot(given: Tensor, names: tuple[str, ...]) -> Tensor:
    """Classes as zeros with a one, shape (c,) for one class and (rows, c) for many.

    Args:
        given: a class, classes of shape (rows,) or (rows, 1), or zeros with a one of shape (rows, c).
        names: of the c classes.

    Raises:
        InputError: a class that is unknown.
    """
    if given.ndim > 1 and given.shape[-1] == len(names):
        if ((given == 0) | (given == 1)).all() and (given.sum(-1) == 1).all():
            return given
        if len(names) > 1:
            raise InputError("the context of a class is zeros with a one, or the number of the class")
    found = torch.from_numpy(one_hot(given.detach().cpu().reshape(-1).numpy(), names))
    return found if given.ndim else found[0]
