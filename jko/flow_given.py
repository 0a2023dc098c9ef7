"""What a flow does with some of its columns given: rows that fulfil conditions."""

from __future__ import annotations

from abc import abstractmethod
from typing import SupportsIndex

import torch
from torch import Tensor

from jko.conditional.asked import Bounds, asked_of
from jko.conditional.found import Worth
from jko.conditional.kinds import constraints_of, kinds_of
from jko.conditional.sampling import draw_given
from jko.conditional.words import Given, conditions_of
from jko.core.errors import InputError
from jko.flow_holes import FlowHoles, whole_number
from jko.given import Context, Rows


class FlowGiven(FlowHoles):
    """Rows of a flow given any of its columns, though it was trained on none of them as a context."""

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
        count, own_seed = whole_number(rows, "rows", 1), whole_number(seed, "seed", 0)
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
