r"""The constant of an unnormalised target between two ends. Loads nothing heavy.

For draws of p with a known density, and a target :math:`q = e^{-V}/Z` with λ-convex V,

.. math:: \mathrm{ELBO} = E_p[-V - \log p] \le \log Z = \mathrm{ELBO} + KL(p\|q)
          \le \mathrm{ELBO} + \frac{1}{2\lambda} E_p|\nabla V + \nabla\log p|^2,

since log Z drops out of the gradient: neither end needs it. Z is the evidence where q is a posterior.

Source: the lower end is the variational bound; the upper one is the log-Sobolev inequality of a λ-convex
potential (Bakry and Émery); derived, see theory.md, section 3 (C).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from jko.certify.certificates import Bound, Guarantee
from jko.certify.status import Status
from jko.core.display import figure, with_error
from jko.core.records import Count, Figure, Record

if TYPE_CHECKING:
    from jko.laws.densities import Estimate

#: standard errors by which the ends are moved outwards
OUTWARDS = 2.0


class EvidenceInterval(Record):
    """log Z of a chain's target between two ends, nats.

    Args:
        elbo: E[−V − log p_N] over fresh draws: log Z is at least that.
        elbo_se: its standard error.
        gap: I/(2λ): log Z is above ELBO by no more; null where (C) does not hold.
        gap_se: its standard error.
        upper: ELBO + I/(2λ).
        upper_se: its standard error; the two are of different rows.
        lower_end: ELBO less two standard errors.
        upper_end: ELBO + I/(2λ), each two standard errors up.
        status: how the upper end is known; that it fails, where there is none.
        reason: why there is no upper end; empty where there is.
        log_z: log of the mean importance weight of the same draws, which is no bound.
        log_z_se: its standard error.
        known: log Z where it is known.
        draws: number of draws.
    """

    elbo: Figure
    elbo_se: Figure
    gap: Figure = None
    gap_se: Figure = None
    upper: Figure = None
    upper_se: Figure = None
    lower_end: Figure
    upper_end: Figure = None
    status: Status
    reason: str = ""
    log_z: Figure = None
    log_z_se: Figure = None
    known: Figure = None
    draws: Count

    @property
    def says(self) -> str:
        """The interval in one sentence."""
        ends = f"at least {figure(self.lower_end, '.3f')} nats"
        how = "the ELBO less two standard errors"
        if self.upper_end is not None:
            ends = f"between {figure(self.lower_end, '.3f')} and {figure(self.upper_end, '.3f')} nats"
            how = f"ELBO to ELBO + I/(2λ), two standard errors outwards, {self.status}"
        weights = with_error(self.log_z, self.log_z_se, ".3f", ".2g")
        return f"log Z of the target is {ends} ({how}); by importance weights it is {weights}."


def evidence_interval(
    elbo: Estimate, whole: Guarantee, *, log_z: Estimate, draws: int, known: float | None = None
) -> EvidenceInterval:
    """Put the two ends together.

    Args:
        elbo: mean of −V − log p_N over draws of p_N, with its standard error.
        whole: what the chain guarantees; its (C) is the gap.
        log_z: by the importance weights of the same draws.
        draws: how many.
        known: log Z, where it is.

    >>> from jko.laws.densities import Estimate
    >>> whole = Guarantee(certificate_c=0.26, certificate_c_estimate=0.2, certificate_c_se=0.03,
    ...                   statuses={"certificate_c": "measured"})
    >>> found = evidence_interval(Estimate(-2.0, 0.04), whole, log_z=Estimate(-1.9, 0.01), draws=1000)
    >>> found.says
    'log Z of the target is between -2.080 and -1.660 nats (ELBO to ELBO + I/(2λ), two standard errors \
outwards, measured); by importance weights it is -1.900 ± 0.01.'
    """
    slope = whole.bound("certificate_c")
    given = {
        "elbo": elbo.value, "elbo_se": elbo.se, "lower_end": elbo.value - OUTWARDS * elbo.se,
        "log_z": log_z.value, "log_z_se": log_z.se, "known": known, "draws": draws,
    }  # fmt: skip
    gap, se = whole.certificate_c_estimate, whole.certificate_c_se
    if not isinstance(slope, Bound) or gap is None or se is None:
        why = "" if isinstance(slope, Bound) else slope.reason
        return EvidenceInterval.model_validate({**given, "status": slope.status, "reason": why})
    return EvidenceInterval.model_validate({
        **given, "gap": gap, "gap_se": se,
        "upper": elbo.value + gap, "upper_se": math.hypot(elbo.se, se),
        "upper_end": elbo.value + OUTWARDS * elbo.se + slope.value, "status": slope.status,
    })  # fmt: skip
