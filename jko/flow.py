"""A trained flow: samples, log-densities and the map itself, in the units of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import index
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from jko.build import start_law
from jko.chain.chain import Chain
from jko.chain.noise import log_densities, noisy, row_seeds
from jko.chain.sampling import draw, log_density
from jko.config import Config
from jko.core.errors import InputError
from jko.core.plain import shortened
from jko.core.threads import torch_threads
from jko.disk.flows import save_flow
from jko.distribution import FlowDistribution
from jko.given import Form, is_frame, numbers, path_of, taken
from jko.maps.start_map import Marginals, Whiten
from jko.preparation.context import asked_columns, by_class, one_hot
from jko.preparation.facts import DataFacts
from jko.training.block_trainer import FitResult


class Flow(nn.Module):
    r"""Blocks :math:`T_N \circ \dots \circ T_1` behind block 0, as a model of rows in data units.

    .. math:: \log q(x) = \log N(T(x); 0, I) + \log|\det\nabla T(x)|

    ``forward`` leads from data to noise, ``inverse`` from noise to data; both are deterministic. Rows may be
    given as tensors, arrays or data frames of pandas; results come back in the same form. Made by
    :func:`jko.fit` and :func:`jko.load`.

    Its weights are frozen. With ``flow.requires_grad_()`` log-densities have gradients with respect to them,
    too; with respect to rows they have them in any case.

    Args:
        chain: the blocks with block 0.
        facts: what is known of the data.
        config: the settings of the training.
        data_digest: identity of the prepared rows that it was trained on.
        form: in which samples come back.
        folder: the chain folder, if it is stored in one.
        rows: the prepared rows by part, where the flow was trained here.
        results: how the training of each block went, where it was trained here.
    """

    def __init__(
        self,
        chain: Chain,
        facts: DataFacts,
        config: Config,
        *,
        data_digest: str,
        form: Form | None = None,
        folder: Path | None = None,
        rows: Mapping[str, NDArray[Any]] | None = None,
        results: Sequence[FitResult | None] = (),
    ) -> None:
        super().__init__()
        self.chain, self.data_digest = chain.requires_grad_(False), data_digest
        self.facts, self.config, self.form, self.folder = facts, config, form or Form(), folder
        self.rows, self.results = rows, tuple(results)

    @property
    def dim(self) -> int:
        """Dimension d of a row."""
        return self.facts.dim

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self.facts.columns

    @property
    def context_columns(self) -> tuple[str, ...]:
        """Columns that the flow is conditioned on; empty for none."""
        return asked_columns(self.facts.context_columns)

    def __len__(self) -> int:
        """Number N of blocks."""
        return len(self.chain.blocks)

    def __repr__(self) -> str:
        """One line."""
        given = f", given {', '.join(self.context_columns)}" if self.facts.context else ""
        return f"Flow({len(self)} blocks, {self.dim} columns{given}, of {self.facts.name})"

    def _apply(self, fn: Any, recurse: bool = True) -> Flow:
        """Units, start map and broad law stay in float64 whatever the blocks are turned into."""
        exact = {
            name: value for name, value in self.named_buffers()
            if value.dtype == torch.float64 and not name.startswith("chain.blocks.")
        }  # fmt: skip
        super()._apply(fn, recurse)
        for name, value in exact.items():
            owner, _, own = name.rpartition(".")
            module = self.get_submodule(owner)
            setattr(module, own, value.to(module.get_buffer(own).device))
        return self

    def forward(self, x: Any, context: Any = None) -> Any:
        """Data → noise: z = T(x), start coordinates of N(0, I), shapes (rows, d).

        Args:
            x: rows in data units.
            context: what they are conditioned on, where the flow is: numbers of shape (c,) for all rows, or
                (rows, c); of classes the number of one for all rows, or integers of shape (rows,).
        """
        rows, form = self.joined(x, context)
        with torch_threads(self.config.runtime.threads):
            pushed = self.chain.push(rows) if self._gradient(rows) else self.chain(rows)
        return form.rows(pushed.x[:, : self.dim], self.columns)

    def inverse(self, z: Any, context: Any = None) -> Any:
        """Noise → data: x = T⁻¹(z) in data units, shapes (rows, d).

        Args:
            z: rows of noise.
            context: as of :meth:`forward`.

        Raises:
            NumericalError: some rows get values that are not finite.
        """
        z, shape = self._flat(z)
        rows, form = taken(z, self.columns)
        form = replace(form, shape=shape)
        self._refuse(rows)
        if not rows.isfinite().all():
            raise InputError("the noise holds a number that is not finite")
        standard = self._beside(rows.to(self.chain.shift.device), self._context(context, len(rows)))
        with torch_threads(self.config.runtime.threads):
            pull = self.chain.pull if self._gradient(standard) else self.chain.inverse
            return form.rows(pull(standard)[:, : self.dim], self.columns)

    def trajectory(self, x: Any, context: Any = None) -> Tensor:
        """Positions on the way to noise: before the first block, and behind every one.

        Args:
            x: rows in data units.
            context: as of :meth:`forward`.

        Returns:
            Start coordinates, shape (N + 1, rows, d): the first entry is block 0's image of the rows.
        """
        rows, _ = self.joined(x, context)
        with torch_threads(self.config.runtime.threads):
            return self.chain.trajectory(rows)[..., : self.dim]

    def log_prob(self, x: Any, context: Any = None) -> Any:
        """Log-density of rows, nats, data units, shape (rows,); differentiable in a tensor of rows.

        It is the density at the very numbers given, and NaN where one of them is not finite. What
        :meth:`log_prob_with_error` says of columns of integers is a mean over the noise that made them
        continuous.

        Args:
            x: rows in data units.
            context: as of :meth:`forward`.

        Raises:
            InputError: other columns than the flow's.
        """
        rows, form = self.joined(x, context)
        with torch_threads(self.config.runtime.threads):
            return form.values(self._log_prob(rows))

    def log_prob_with_error(self, x: Any, context: Any = None) -> tuple[Any, Any]:
        """Log-density of rows and its standard error over draws of noise, nats, both of shape (rows,).

        Noise is that of dequantised columns, and of probes where log-determinants are estimated; without
        either the error is 0. These are the figures of ``jko score``.

        Args:
            x: rows in data units.
            context: as of :meth:`forward`.
        """
        rows, form = self.joined(x, context)
        given = rows.detach().double().cpu().numpy()
        with torch_threads(self.config.runtime.threads):
            found = log_densities(
                self.chain, start_law(self.config), given, self.facts, seed=self.config.seed
            )
        values, errors = torch.from_numpy(found).unbind(1)
        return form.values(values), form.values(errors)

    def sample(
        self,
        rows: int = 1,
        *,
        context: Any = None,
        seed: int = 0,
        return_log_prob: bool = False,
        continuous: bool = False,
    ) -> Any:
        """Independent rows of the model in data units, in the form that was given to :func:`jko.fit`.

        Dequantised columns, as counts, are led back to their grid: the noise that made them continuous is
        taken off. The log-density is that of the continuous rows, which come where it is asked for.

        Args:
            rows: how many.
            context: what all or each of them are conditioned on, where the flow is.
            seed: of the draws: the same seed gives the same rows.
            return_log_prob: whether their log-densities in nats are given, too; the rows are continuous.
            continuous: whether dequantised columns stay as they are drawn.

        Returns:
            Shape (rows, d), and log-densities of shape (rows,) beside them where asked for.
        """
        if isinstance(rows, bool) or not hasattr(rows, "__index__") or index(rows) < 0:
            raise InputError(f"{shortened(rows)} rows cannot be drawn; give 0 or more")
        rows, seed = index(rows), _seed(seed)
        given = self._context(context, rows)
        with torch.no_grad():
            x = self.drawn(rows, given, seed).double()
            if not (return_log_prob or continuous):
                return self._on_grid(x)
            found = self.form.rows(x, self.columns)
            if not return_log_prob:
                return found
            with torch_threads(self.config.runtime.threads):
                values = self._log_prob(self._with_context(x, given))
        # drawn rows are other rows than those of the index that was given
        return found, replace(self.form, index=None).values(values)

    def _on_grid(self, x: Tensor) -> Any:
        """Drawn rows in the form of the flow, gridded columns on their grid."""
        if not self.facts.origins:
            return self.form.rows(x, self.columns)
        exact = torch.from_numpy(self.facts.on_grid(x.cpu().numpy()))
        return self.form.rows(exact.to(x.device), self.columns, whole=self.facts.whole_columns)

    def drawn(self, rows: int, context: Tensor | None, seed: int) -> Tensor:
        """Rows of the model in data units, with gradients where torch keeps them, shape (rows, d)."""
        law = start_law(self.config)
        with torch_threads(self.config.runtime.threads):
            if law is not None:
                return draw(self.chain, law, rows, seed=seed).y
            return self.chain.drawn(rows, context=context, seed=seed)

    def distribution(self, context: Any = None) -> FlowDistribution:
        """The model as a distribution of torch: ``log_prob``, ``rsample``, ``expand``, validation.

        Args:
            context: shape (c,) for one law, or (batch, c) for as many.
        """
        given = None if context is None else self._context(context, None)
        return FlowDistribution(self, given)

    def save(self, folder: str | Path) -> None:
        """Write the flow into a new folder that :func:`jko.load` and the ``jko`` command read.

        Raises:
            InputError: the folder holds something already.
        """
        save_flow(path_of(folder), self.config, self.data_digest, self.facts, self.chain)

    def certify(self, held_out: Any = None, context: Any = None) -> Any:
        """What the flow guarantees, measured on held-out rows: the figures of ``jko certify``.

        Args:
            held_out: rows in data units that no part of training saw; the validation rows by default.
            context: of these rows, as of :meth:`forward`.
        """
        from jko.extras import extra

        return extra("certify")(self, held_out, context)

    def report(self, folder: str | Path) -> Path:
        """Write the report page of the pipeline into a folder; returns the page."""
        from jko.extras import extra

        page: Path = extra("report")(self, path_of(folder))
        return page

    @property
    def has_rsample(self) -> bool:
        """Whether samples have gradients: not those of residual blocks, which are inverted by iteration."""
        plain = self.chain.start is None or isinstance(self.chain.start, Whiten | Marginals)
        return plain and start_law(self.config) is None and self.config.network.kind == "ode"

    def _log_prob(self, rows: Tensor) -> Tensor:
        """Log-densities of rows of d + c columns."""
        law = start_law(self.config)
        seeds = row_seeds(rows, self.config.seed) if noisy(self.chain, rows) else 0
        if law is not None:
            return log_density(self.chain, law, rows, seed=seeds)[0]
        return self.chain.log_prob(rows, seed=seeds, gradient=self._gradient(rows))[0]

    def _gradient(self, rows: Tensor) -> bool:
        trained = any(parameter.requires_grad for parameter in self.chain.parameters())
        return torch.is_grad_enabled() and (rows.requires_grad or trained)

    def joined(self, x: Any, context: Any = None) -> tuple[Tensor, Form]:
        """Rows with their context behind them, on the flow's device, and the form that they came in.

        Args:
            x: rows in data units.
            context: as of :meth:`forward`; a data frame may hold it, too.

        Returns:
            Shape (rows, d + c); classes are zeros with a one.

        Raises:
            InputError: other columns than the flow's, or a context that does not fit.
        """
        both = (*self.columns, *self.context_columns) if context is None else self.columns
        x, shape = self._flat(x)
        rows, form = taken(x, both)
        form = replace(form, shape=shape)
        if context is None and self.facts.context and rows.shape[1] == self.dim + len(self.context_columns):
            rows, context = rows[:, : self.dim], rows[:, self.dim :]
        self._refuse(rows)
        rows = rows.to(self.chain.shift.device)
        return self._with_context(rows, self._context(context, len(rows))), form

    def _flat(self, x: Any) -> tuple[Any, tuple[int, int] | None]:
        """Pictures as rows, with their height and width; rows as they are."""
        shape = self.facts.image_shape
        if shape is None or is_frame(x) or tuple(getattr(x, "shape", ()))[1:] != shape:
            return x, None
        return x.reshape(len(x), -1), shape

    def _refuse(self, rows: Tensor) -> None:
        if rows.shape[1] != self.dim:
            raise InputError(
                f"{rows.shape[1]} columns; the flow has {self.dim} ({', '.join(self.columns[:10])})"
            )

    def _context(self, context: Any, rows: int | None) -> Tensor | None:
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


def _numbers(context: Any) -> Tensor:
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


def _seed(seed: Any) -> int:
    """A seed as an integer.

    Raises:
        InputError: it is none, or below 0.
    """
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or not 0 <= index(seed) < 2**63:
        raise InputError(f"seed = {shortened(seed)} is not allowed; give an integer from 0 to 2**63 - 1")
    return index(seed)
