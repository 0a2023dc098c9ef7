"""A flow as a law of numbers, for :mod:`jko.conditional`."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from torch import Tensor

from jko.conditional.beside import law_beside
from jko.conditional.law import Law
from jko.core.errors import InputError
from jko.core.threads import torch_threads
from jko.flow_rows import FlowRows
from jko.preparation.table import Array


class FlowLaw(FlowRows):
    """The law of a flow's rows, under one context or under that of each row."""

    @abstractmethod
    def drawn(self, rows: int, context: Tensor | None, seed: int) -> Tensor:
        """Rows of the model in data units, shape (rows, d)."""

    @abstractmethod
    def _log_prob(self, rows: Tensor) -> Tensor:
        """Log-densities of rows of d + c columns."""

    def as_law(self, context: Tensor | None = None) -> Law:
        """The model as a law of its d columns.

        Args:
            context: of all rows, shape (c,), where the flow is conditional.
        """
        if context is not None and context.ndim != 1:
            raise InputError("give one context for all rows")

        def density(y: Array) -> Array:
            beside = np.empty(0) if context is None else context.double().cpu().numpy()
            return self._density(np.concatenate([y, np.tile(beside, (len(y), 1))], axis=1))

        return Law(self.dim, lambda rows, seed: self._draw(rows, context, seed), density)

    def law_beside(self, contexts: Array) -> Law:
        """The model as a law of d + c columns, the last of which are held (:mod:`jko.conditional.beside`).

        Args:
            contexts: of some rows, as the chain takes them, shape (rows, c).
        """

        def draw(chosen: Array, seed: int) -> Array:
            return self._draw(len(chosen), torch.from_numpy(chosen).to(self.chain.shift), seed)

        scale = np.array(self.facts.context_scale)
        return law_beside(self.dim, contexts, scale, draw=draw, density=self._density)

    def _draw(self, rows: int, context: Tensor | None, seed: int) -> Array:
        with torch.no_grad():
            return np.asarray(self.drawn(rows, context, seed % 2**63).double().cpu().numpy())

    def _density(self, rows: Array) -> Array:
        """Log-densities of rows of d + c columns, nats, shape (n, d + c) to (n,)."""
        x = torch.from_numpy(rows).to(self.chain.shift.device)
        with torch.no_grad(), torch_threads(self.config.runtime.threads):
            return np.asarray(self._log_prob(x).double().cpu().numpy())

    def _contexts(self, context: Tensor | None, rows: int) -> Array | None:
        """The context of every row, shape (rows, c); ``None`` for a flow that is not conditional."""
        if context is None:
            return None
        return np.asarray(context.double().expand(rows, -1).cpu().numpy()).copy()
