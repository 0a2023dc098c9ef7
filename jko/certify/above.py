"""What smoothed data prove of a chain's steps from above, and in words. Loads nothing heavy."""

from __future__ import annotations

from jko.core.display import figure, with_error
from jko.core.records import Count, Figure, Number, Record


class Above(Record):
    """ε² and the Fisher information from above, of the smoothed law; see :mod:`jko.measure.from_above`.

    Args:
        width: s, the standard deviation of the noise that smoothed the rows, standardised units.
        rows: test rows m.
        epsilon_squared: ε² ≤ of every block, block pairing.
        epsilon_squared_se: their standard errors.
        fisher: relative Fisher information ≤ after every block.
        fisher_se: their standard errors.
        kl_bound: KL(p_N‖N(0, I)) ≤, half the last of these two standard errors up; nats. It needs no critic.
        reason: why there is none of it; empty where there is.
    """

    width: Figure = None
    rows: Count = 0
    epsilon_squared: tuple[Number, ...] = ()
    epsilon_squared_se: tuple[Number, ...] = ()
    fisher: tuple[Number, ...] = ()
    fisher_se: tuple[Number, ...] = ()
    kl_bound: Figure = None
    reason: str = ""

    @property
    def known(self) -> bool:
        """Whether there are figures."""
        return self.kl_bound is not None

    def says(self, below: float | None) -> str:
        """The bracket on the last block's ε² in one sentence; empty where there is none.

        Args:
            below: the critic's ε² of that block.
        """
        if self.kl_bound is None:
            return ""
        least = figure(max(below, 0.0)) if below is not None else "0"
        most = with_error(self.epsilon_squared[-1], self.epsilon_squared_se[-1], ".3g", ".2g")
        return (
            f"Of the smoothed law, ε² of the last block is between {least} (a critic) and {most} "
            f"({self.rows} test rows, whatever the law), and by its Fisher information from above KL ≤ "
            f"{figure(self.kl_bound)} nats."
        )
