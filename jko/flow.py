"""A trained flow: samples, log-densities and the map itself, in the units of the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import index
from pathlib import Path
from typing import Any, Literal, SupportsIndex, overload

import torch
from torch import Tensor

from jko.build import start_law
from jko.chain.chain import Chain
from jko.chain.kinds import log_probabilities
from jko.chain.noise import log_densities, noisy, row_seeds
from jko.chain.sampling import draw, log_density
from jko.config import Config
from jko.core.errors import InputError
from jko.core.plain import shortened
from jko.core.threads import torch_threads
from jko.disk.flows import save_flow
from jko.distribution import FlowDistribution
from jko.flow_given import FlowGiven
from jko.given import Array, Context, Form, Frame, Rows, Series, Values, is_frame, path_of, taken
from jko.maps.start_map import Marginals, Whiten
from jko.preparation.facts import DataFacts
from jko.training.block_trainer import FitResult


class Flow(FlowGiven):
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
        rows: Mapping[str, Array] | None = None,
        results: Sequence[FitResult | None] = (),
    ) -> None:
        super().__init__()
        self.chain, self.data_digest = chain.requires_grad_(False), data_digest
        self.facts, self.config, self.folder = facts, config, folder
        self.form = form or Form("tensor" if facts.kinds is None else "frame")
        self.rows, self.results = rows, tuple(results)

    def __len__(self) -> int:
        """Number N of blocks."""
        return len(self.chain.blocks)

    def __repr__(self) -> str:
        """One line."""
        given = f", given {', '.join(self.context_columns)}" if self.facts.context else ""
        return f"Flow({len(self)} blocks, {len(self.columns)} columns{given}, of {self.facts.name})"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Flow:
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

    @overload
    def forward(self, x: Tensor, context: Context | None = None) -> Tensor: ...
    @overload
    def forward(self, x: Frame | Series, context: Context | None = None) -> Frame: ...
    @overload
    def forward(self, x: Array, context: Context | None = None) -> Array: ...
    def forward(self, x: Rows, context: Context | None = None) -> Rows:
        """Data → noise: z = T(x), start coordinates of N(0, I), shapes (rows, d).

        Args:
            x: rows in data units.
            context: what they are conditioned on, where the flow is: numbers of shape (c,) for all rows, or
                (rows, c); of classes the number of one for all rows, or integers of shape (rows,).
        """
        rows, form = self.joined(x, context)
        with torch_threads(self.config.runtime.threads):
            pushed = self.chain.push(rows) if self._gradient(rows) else self.chain(rows)
        return form.rows(pushed.x[:, : self.dim], self.raw_columns)

    @overload
    def inverse(self, z: Tensor, context: Context | None = None) -> Tensor: ...
    @overload
    def inverse(self, z: Frame | Series, context: Context | None = None) -> Frame: ...
    @overload
    def inverse(self, z: Array, context: Context | None = None) -> Array: ...
    def inverse(self, z: Rows, context: Context | None = None) -> Rows:
        """Noise → data: x = T⁻¹(z) in data units, shapes (rows, d).

        Args:
            z: rows of noise.
            context: as of :meth:`forward`.

        Raises:
            NumericalError: some rows get values that are not finite.
        """
        z, shape = self._flat(z)
        rows, form = taken(z, self.raw_columns)
        form = replace(form, shape=shape)
        self._refuse(rows)
        if not rows.isfinite().all():
            raise InputError("the noise holds a number that is not finite")
        standard = self._beside(rows.to(self.chain.shift.device), self._context(context, len(rows)))
        with torch_threads(self.config.runtime.threads):
            pull = self.chain.pull if self._gradient(standard) else self.chain.inverse
            x = pull(standard)[:, : self.dim]
        return self._decoded(x, form) if form.kind == "frame" else form.rows(x, self.raw_columns)

    def trajectory(self, x: Rows, context: Context | None = None) -> Tensor:
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

    @overload
    def log_prob(self, x: Tensor, context: Context | None = None) -> Tensor: ...
    @overload
    def log_prob(self, x: Frame | Series, context: Context | None = None) -> Series: ...
    @overload
    def log_prob(self, x: Array, context: Context | None = None) -> Array: ...
    def log_prob(self, x: Rows, context: Context | None = None) -> Values:
        """Log-density of rows, nats, data units, shape (rows,); differentiable in a tensor of rows.

        It is the density at the very numbers given, and NaN where one of them is not finite. What
        :meth:`log_prob_with_error` says of columns of integers is a mean over the noise that made them
        continuous.

        Where columns have kinds, a data frame holds the table's own columns. The result is then the
        log-probability of its rows: a mass, a density, or the product of both
        (:func:`jko.chain.kinds.log_probabilities`). Tensors and arrays hold the real columns of the chain.

        Args:
            x: rows in data units.
            context: as of :meth:`forward`.

        Raises:
            InputError: other columns than the flow's.
        """
        cells = self.cells_of(x)
        if cells is not None:
            return self._of_cells(x, cells, context)[0]
        rows, form = self.joined(x, context)
        with torch_threads(self.config.runtime.threads):
            return form.values(self._log_prob(rows))

    def _of_cells(
        self, x: Rows, cells: Mapping[str, Array], context: Context | None
    ) -> tuple[Values, Values]:
        """Log-probabilities of rows whose columns have kinds, and their standard errors over draws."""
        assert self.facts.kinds is not None
        form = Form("frame" if is_frame(x) else "array", index=getattr(x, "index", None))
        count = len(next(iter(cells.values())))
        given = self._context(self.context_in(x, context), count)
        beside = self._with_context(torch.empty((count, 0), dtype=torch.float64), given).cpu().numpy()
        with torch_threads(self.config.runtime.threads):
            found = log_probabilities(self.chain, self.facts.kinds, cells, beside, seed=self.config.seed)
        values, errors = torch.from_numpy(found).unbind(1)
        return form.values(values), form.values(errors)

    @overload
    def log_prob_with_error(self, x: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]: ...
    @overload
    def log_prob_with_error(
        self, x: Frame | Series, context: Context | None = None
    ) -> tuple[Series, Series]: ...
    @overload
    def log_prob_with_error(self, x: Array, context: Context | None = None) -> tuple[Array, Array]: ...
    def log_prob_with_error(self, x: Rows, context: Context | None = None) -> tuple[Values, Values]:
        """Log-density of rows and its standard error over draws of noise, nats, both of shape (rows,).

        Noise is that of dequantised columns and of kinds, and of probes where log-determinants are estimated;
        without any the error is 0. These are the figures of ``jko score``.

        Args:
            x: rows in data units.
            context: as of :meth:`forward`.
        """
        cells = self.cells_of(x)
        if cells is not None:
            return self._of_cells(x, cells, context)
        rows, form = self.joined(x, context)
        given = rows.detach().double().cpu().numpy()
        with torch_threads(self.config.runtime.threads):
            found = log_densities(
                self.chain, start_law(self.config), given, self.facts, seed=self.config.seed
            )
        values, errors = torch.from_numpy(found).unbind(1)
        return form.values(values), form.values(errors)

    @overload
    def sample(
        self, rows: int = 1, *, context: Context | None = None, seed: int = 0,
        return_log_prob: Literal[False] = False, continuous: bool = False, raw: bool = False,
    ) -> Rows: ...  # fmt: skip
    @overload
    def sample(
        self, rows: int = 1, *, context: Context | None = None, seed: int = 0,
        return_log_prob: Literal[True], continuous: bool = False, raw: bool = False,
    ) -> tuple[Rows, Values]: ...  # fmt: skip
    def sample(
        self,
        rows: int = 1,
        *,
        context: Context | None = None,
        seed: int = 0,
        return_log_prob: bool = False,
        continuous: bool = False,
        raw: bool = False,
    ) -> Rows | tuple[Rows, Values]:
        """Independent rows of the model in data units, in the form that was given to :func:`jko.fit`.

        Dequantised columns, as counts, are led back to their grid: the noise that made them continuous is
        taken off. Where columns have kinds, rows are a data frame of the table's own columns, in its types;
        without pandas, its columns by name. The log-density is that of the continuous rows, which come where
        it is asked for.

        Args:
            rows: how many.
            context: what all or each of them are conditioned on, where the flow is.
            seed: of the draws: the same seed gives the same rows.
            return_log_prob: whether their log-densities in nats are given, too; the rows are continuous.
            continuous: whether dequantised columns stay as they are drawn.
            raw: the same; where columns have kinds, the chain's own real columns come back.

        Returns:
            Shape (rows, d), and log-densities of shape (rows,) beside them where asked for.
        """
        if isinstance(rows, bool) or not hasattr(rows, "__index__") or index(rows) < 0:
            raise InputError(f"{shortened(rows)} rows cannot be drawn; give 0 or more")
        rows, seed = index(rows), _seed(seed)
        given = self._context(context, rows)
        with torch.no_grad():
            x = self.drawn(rows, given, seed).double()
            if not (return_log_prob or continuous or raw):
                return self._on_grid(x)
            found = self.form.rows(x, self.raw_columns)
            if not return_log_prob:
                return found
            with torch_threads(self.config.runtime.threads):
                values = self._log_prob(self._with_context(x, given))
        # drawn rows are other rows than those of the index that was given
        return found, replace(self.form, index=None).values(values)

    def _on_grid(self, x: Tensor) -> Rows:
        """Drawn rows in the form of the flow, gridded columns on their grid."""
        if self.facts.kinds is not None:
            return self._decoded(x, self.form)
        if not self.facts.origins:
            return self.form.rows(x, self.columns)
        exact = torch.from_numpy(self.facts.on_grid(x.cpu().numpy()))
        return self.form.rows(exact.to(x.device), self.columns, whole=self.facts.whole_columns)

    def _decoded(self, x: Tensor, form: Form) -> Rows:
        """Real columns as the table's own, in its types."""
        kinds = self.facts.kinds
        if kinds is None:
            return form.rows(x, self.columns)
        found: Rows = form.cells(kinds.decode(x.detach().double().cpu().numpy()), self.facts.dtypes, kinds)
        return found

    def drawn(self, rows: int, context: Tensor | None, seed: int) -> Tensor:
        """Rows of the model in data units, with gradients where torch keeps them, shape (rows, d)."""
        law = start_law(self.config)
        with torch_threads(self.config.runtime.threads):
            if law is not None:
                return draw(self.chain, law, rows, seed=seed).y
            return self.chain.drawn(rows, context=context, seed=seed)

    def distribution(self, context: Context | None = None) -> FlowDistribution:
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

    def certify(self, held_out: Rows | None = None, context: Context | None = None) -> dict[str, Any]:
        """What the flow guarantees, measured on held-out rows: the figures of ``jko certify``.

        Args:
            held_out: rows in data units that no part of training saw; the test rows by default.
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


def _seed(seed: SupportsIndex) -> int:
    """A seed as an integer.

    Raises:
        InputError: it is none, or below 0.
    """
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or not 0 <= index(seed) < 2**63:
        raise InputError(f"seed = {shortened(seed)} is not allowed; give an integer from 0 to 2**63 - 1")
    return index(seed)
