"""What was drawn from a conditional law, by which method, and what it is worth."""

from __future__ import annotations

from typing import Literal

from jko.core.records import Record

Method = Literal["rejection", "importance", "markov chains", "held"]


class Worth(Record):
    """How rows of a conditional law were drawn, and what they are worth.

    Args:
        method: ``rejection``: independent rows of the law, of which those were kept that fulfil the
            conditions. ``importance``: rows of a mixture, drawn again by their weights. ``markov chains``:
            the same, moved by Metropolis steps. ``held``: nothing is left to draw.
        rows: how many were drawn.
        effective: how many independent rows they are worth, the smallest over columns.
        tries: rows of the law that were drawn, or whose density was computed.
        share: of rows of the law that fulfil the conditions, where these are no single real numbers.
        share_se: its standard error.
        accepted: share of Metropolis steps that were accepted.
        r_hat: the largest split-R̂ over columns.
        notes: sentences on what to beware of.
    """

    method: Method
    rows: int
    effective: float
    tries: int
    share: float | None = None
    share_se: float | None = None
    accepted: float | None = None
    r_hat: float | None = None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line."""
        parts = [f"{self.rows} rows by {self.method}", f"worth {self.effective:.0f} independent ones"]
        if self.share is not None:
            error = 100 * (self.share_se or 0)
            parts.append(f"the conditions hold for {100 * self.share:.3g} ± {error:.2g} % of samples")
        if self.accepted is not None:
            parts.append(f"{100 * self.accepted:.0f} % of steps accepted")
        if self.r_hat is not None:
            parts.append(f"split-R̂ {self.r_hat:.3f}")
        return ", ".join([*parts, f"{self.tries} tries"])
