"""The certificates of a chain as they are kept: each a bound, or why it is withheld. Loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from jko.certify.status import Cause, Status
from jko.core.records import Count, Figure, Record

CERTIFICATES = (
    "certificate_a", "certificate_b", "certificate_c", "certificate_c_hwi", "certificate_c_propagated",
    "certificate_c_triangle",
)  # fmt: skip


@dataclass(frozen=True)
class Bound:
    """A bound that holds.

    Args:
        value: the bound.
        status: how it is known.
    """

    value: float
    status: Status


@dataclass(frozen=True)
class Withheld:
    """A bound that is not given.

    Args:
        reason: why, part of a sentence for people.
        cause: the same for scripts; ``None`` where only the reason is kept.
    """

    reason: str
    cause: Cause | None = None

    @property
    def status(self) -> Status:
        """Whether it fails or could not be found out."""
        return Status.FAILS if self.cause is None else self.cause.status


class Guarantee(Record):
    r"""Certificates after the last block given; ``None`` where one does not hold, with its reason.

    Args:
        certificate_a: KL ≤, the theorem (A), or (A′) with block pairing; nats.
        certificate_b: KL ≤, the sharp recursion (B), or (B′) with block pairing; nats.
        certificate_c: KL ≤ I/2, log-Sobolev, two standard errors up; nats.
        certificate_c_estimate: I/2 itself, unclipped.
        certificate_c_se: its standard error.
        certificate_c_hwi: KL ≤ w√I − w²/2 with the smaller of the known w and √I; nats.
        certificate_c_propagated: KL ≤ min_k [C_k − Σ_{j>k} ΔKL_j]; nats.
        certificate_c_triangle: KL ≤ (ε_N + M_N/γ_N)²/2; nats.
        kl_lower_bound: KL ≥, by a classifier or another model's NLL, whichever shows more; nats, an
            estimate that may be negative.
        kl_lower_bound_se: its standard error.
        kl_lower_bound_sure: what KL exceeds at the level of two standard errors, corrected for the better of
            two.
        kl_bound: the smallest of the certificates that only chance error stands behind, nats; all of them
            are kept at a margin at which they hold at once, so it is a little above the smallest given here.
            Where there is none, this version repeats ``kl_estimate``, and ``deprecated`` says so; the next
            says null.
        kl_estimate: the smallest of the certificates, where all of them rest on a critic or another search of
            limited reach, nats: the estimate of a bound, from below; null where there is ``kl_bound``.
        w2_bound: W2(p_N, q) ≤, standardised units; ``statuses`` says whether it is an estimate.
        tv: total variation ≤ √(KL/2), as well known as the KL.
        theorem_steps: N that (A) asks for at the largest ε and the smallest γ of the chain.
        sharp_steps: N that (B) asks for.
        epsilon_largest: that ε, two standard errors up.
        entropy_interval: bracket of the data's entropy, nats, data units.
        pairing: of ε and movement in (A) and (B): ``block`` or ``ot``.
        reasons: for every name that is ``None``, why.
        causes: the same for scripts.
        statuses: for every bound, how it is known; of one that is ``None`` whether it fails or is unknown.
        deprecated: for every name that means something else from the next version on, what to read instead.

    :meth:`bound` puts together what is said of one name, :attr:`best` of the smallest certificate.
    """

    certificate_a: Figure = None
    certificate_b: Figure = None
    certificate_c: Figure = None
    certificate_c_estimate: Figure = None
    certificate_c_se: Figure = None
    certificate_c_hwi: Figure = None
    certificate_c_propagated: Figure = None
    certificate_c_triangle: Figure = None
    kl_lower_bound: Figure = None
    kl_lower_bound_se: Figure = None
    kl_lower_bound_sure: Figure = None
    kl_bound: Figure = None
    kl_estimate: Figure = None
    w2_bound: Figure = None
    tv: Figure = None
    theorem_steps: Count | None = None
    sharp_steps: Count | None = None
    epsilon_largest: Figure = None
    entropy_interval: tuple[Figure, Figure] = (None, None)
    pairing: str = "block"
    reasons: dict[str, str] = {}
    causes: dict[str, Cause] = {}
    statuses: dict[str, Status] = {}
    deprecated: dict[str, str] = {}

    @property
    def best(self) -> Bound | Withheld:
        """The smallest certificate: a bound, or where none is known for sure an estimate of one."""
        if self.kl_estimate is not None:
            return Bound(self.kl_estimate, Status.ESTIMATED)
        return self.bound("kl_bound")  # an earlier version gave estimates, too, with their status

    @property
    def best_named(self) -> dict[str, float | None]:
        """The value of the smallest certificate under its own name, and nothing under the other."""
        best = self.best
        value, sure = (best.value, best.status.sure) if isinstance(best, Bound) else (None, True)
        return {"kl_bound": value if sure else None, "kl_estimate": None if sure else value}

    def bound(self, name: str) -> Bound | Withheld:
        """What is said of the bound of a name."""
        value = self.figure(name)
        if value is None or name in self.deprecated:
            return Withheld(self.reasons.get(name, ""), self.causes.get(name))
        return Bound(value, self.statuses.get(name, Status.UNKNOWN))
