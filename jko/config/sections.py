"""The sections of a run's settings but for the data's: blocks, training, target, measures, runtime."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator

from jko.core.step_sizes import step_sizes

#: of the bracket on KL, standard deviations
RESOLUTIONS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
#: a smaller step moves float32 particles by less than their rounding
SMALLEST_STEP = 1e-6
#: beyond, the transport term is nothing beside rounding: that is a free block
LARGEST_STEP = 1e9


def switch(value: object) -> object:
    """YAML 1.1 readers turn a bare on/off into a boolean; turn it back."""
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


Switch = Annotated[Literal["on", "off"], BeforeValidator(switch)]
Count = Annotated[int, Strict(), Field(ge=0, le=100_000_000)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Width = Annotated[int, Strict(), Field(ge=1, le=8192)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=0.5)]


class Section(BaseModel):
    """Base of all sections: frozen, strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Steps(Section):
    """Step sizes γ_k = min(first · ratio^(k-1), max), k = 1..count, or the list ``sizes``.

    ``free: on`` adds a last block without transport term: it goes on to the reference as far as its field
    can. A longer chain drops it and trains another.
    """

    count: Annotated[int, Strict(), Field(ge=1, le=1000)] | None = None
    first: Positive = 0.5
    ratio: Positive = 1.2
    max: Positive = 5.0
    sizes: Annotated[tuple[Positive, ...], Field(max_length=1000)] | None = None
    free: Switch = "off"

    @model_validator(mode="after")
    def _consistent(self) -> Steps:
        if self.count is None and not self.sizes:
            raise ValueError("give steps.count or a list steps.sizes with at least one step size")
        sizes = self.resolve()
        given = [size for size in sizes if not math.isinf(size)]
        bad = [size for size in given if not SMALLEST_STEP <= size <= LARGEST_STEP]
        if bad:
            raise ValueError(
                f"{self._source_of(bad[0])} a step size of {bad[0]:.3g}; every step size must be at least "
                f"{SMALLEST_STEP:g} and at most {LARGEST_STEP:g}; steps.free=on adds a block without "
                "transport term"
            )
        return self

    def _source_of(self, size: float) -> str:
        """The settings that a step size comes from, with a verb."""
        if self.sizes is not None:
            return "steps.sizes holds"
        if size == self.max:
            return f"steps.max = {self.max:g} gives"
        if size == self.first:
            return f"steps.first = {self.first:g} gives"
        return f"steps.first = {self.first:g} and steps.ratio = {self.ratio:g} give"

    def resolve(self) -> tuple[float, ...]:
        """The N step sizes, and infinity for a free block."""
        sizes = step_sizes(self.count, first=self.first, ratio=self.ratio, maximum=self.max, sizes=self.sizes)
        return (*sizes, math.inf) if self.free == "on" else sizes


Scales = Positive | Annotated[tuple[Positive, ...], Field(min_length=1, max_length=4096)]


class Network(Section):
    """What a block computes its map with.

    ``kind``: ``ode`` solves dx/dt = v(x, t) on [0, 1]; ``residual`` is T(x) = x + f(x) with Lip f ≤
    ``lipschitz`` < 1 whatever the weights (:class:`jko.maps.residual_block.ResidualBlock`): invertible and
    monotone by construction, one evaluation forward, but no block stretches or shrinks by more than a
    factor 1 ± ``lipschitz``, and an inverse takes about log eps / log ``lipschitz`` evaluations.
    ``lipschitz`` is for residual blocks; ``fourier``, ``solver.method`` and ``solver.steps`` for ODEs.

    ``fourier_scale`` is the standard deviation of the random frequencies, radians per standardised
    unit: one number, or several that the frequencies take in turn, for structure of several widths.
    """

    hidden: Annotated[tuple[Width, ...], Field(min_length=1, max_length=100)] = (128, 128)
    activation: Literal["silu", "softplus", "tanh"] = "silu"
    fourier: Annotated[int, Strict(), Field(ge=0, le=4096)] = 0
    fourier_scale: Scales = 3.0
    kind: Literal["ode", "residual"] = "ode"
    lipschitz: Annotated[float, Field(gt=0, lt=1)] = 0.9

    @model_validator(mode="after")
    def _consistent(self) -> Network:
        if self.kind == "residual" and self.fourier:
            raise ValueError(
                f"network.fourier = {self.fourier} is for network.kind = ode; residual blocks take 0, since "
                "high frequencies leave no room under the Lipschitz bound"
            )
        return self


class SolverSettings(Section):
    """How a block's equation is solved; ``exact`` divergence below ``auto``'s limit.

    ``divergence`` and ``probes`` are for the log-determinant of a residual block, too.
    """

    method: Literal["euler", "midpoint", "rk4"] = "rk4"
    steps: Annotated[int, Strict(), Field(ge=1, le=1000)] = 4
    divergence: Literal["auto", "exact", "hutchinson"] = "auto"
    probes: Annotated[int, Strict(), Field(ge=1, le=1000)] = 2


class Training(Section):
    """How one block is trained; iterations are the budget, never time.

    ``jitter`` is the standard deviation, in standardised units, of Gaussian noise added to every
    training batch. Particles that earlier blocks were trained on are spread less than held-out
    ones; jitter makes up for that where rows are few. ``validation_rows`` of the held-out rows
    choose the weights that are kept. ``solver_steps`` lets the iterations of the JKO objective solve with
    fewer steps than ``solver.steps``, which validation always takes: cheaper, as long as the objective of
    the coarse solution still lowers the one of the fine.

    Residual blocks have no velocity for flow matching to regress, and the conditional mean of the noised
    copy, e^{-t}x, has not its law: their ``flow_matching_iterations`` are set aside (taken as 0, in the
    fingerprints too), and the JKO objective, cheap there, trains from the start.
    """

    warm_start: bool = True
    flow_matching_iterations: Count = 1000
    flow_matching_learning_rate: Positive = 1e-3
    iterations: Count = 300
    learning_rate: Positive = 1e-3
    batch_size: Annotated[int, Strict(), Field(ge=1, le=10_000_000)] = 256
    weight_decay: NonNegative = 0.0
    clip: Positive = 5.0
    jitter: NonNegative = 0.0
    validate_every: Annotated[int, Strict(), Field(ge=1, le=100_000_000)] = 100
    validation_rows: Annotated[int, Strict(), Field(ge=2, le=100_000_000)] = 4000
    solver_steps: Annotated[int, Strict(), Field(ge=1, le=1000)] | None = None


class BlockOverride(Section):
    """Settings of one block that differ from the others': step size, frequencies, training.

    Later blocks see smoother laws, so lower frequencies serve them better: after an Ornstein-Uhlenbeck
    time t about 1/√(1 − e^{-2t}). A block with other frequencies than the one before it has no warm start.
    """

    step_size: Annotated[float, Field(ge=SMALLEST_STEP, le=LARGEST_STEP, allow_inf_nan=False)] | None = None
    fourier_scale: Scales | None = None
    warm_start: bool | None = None
    flow_matching_iterations: Count | None = None
    flow_matching_learning_rate: Positive | None = None
    iterations: Count | None = None
    learning_rate: Positive | None = None
    batch_size: Annotated[int, Strict(), Field(ge=1, le=10_000_000)] | None = None
    weight_decay: NonNegative | None = None
    clip: Positive | None = None
    jitter: NonNegative | None = None
    validate_every: Annotated[int, Strict(), Field(ge=1, le=100_000_000)] | None = None
    validation_rows: Annotated[int, Strict(), Field(ge=2, le=100_000_000)] | None = None
    solver_steps: Annotated[int, Strict(), Field(ge=1, le=1000)] | None = None


#: what a block overrides beside its training
NOT_TRAINING = {"step_size", "fourier_scale"}


class Target(Section):
    """The functional that the steps descend, KL to N(0, I) by default.

    ``potential`` names V of a target exp(−V), ``none`` for none, ``options`` are its numbers (``components``,
    ``std``, …; see :mod:`jko.laws.targets`); ``interaction`` is the strength of an interaction |x − y|²/2
    and ``entropy: off`` leaves log ρ out; ``power`` adds ∫ρ^m/(m − 1), m > 1, the energy of porous media (see
    :class:`jko.energies.functional.PowerEnergy`), which is trained by the JKO objective alone. Under another
    than the default the chain is used the other way round: it starts from a known law, ``data.source:
    gaussian`` as it is, and *forward* leads to the target.

    ``correction`` is the share of rows that are drawn again after a block, by their importance weights (see
    :mod:`jko.chain.correction`); 0 for none. It needs a target exp(−V) and nothing beside it.
    """

    potential: Literal[
        "standard_gaussian", "correlated_gaussian", "sphere_mixture", "uniform_mixture", "banana", "funnel",
        "logistic_regression", "breast_cancer_regression", "none",
    ] = "standard_gaussian"  # fmt: skip
    options: dict[str, Finite] = {}
    interaction: Finite = 0.0
    entropy: Switch = "on"
    power: Annotated[float, Field(gt=1, allow_inf_nan=False)] | None = None
    correction: Annotated[float, Field(ge=0, le=0.9)] = 0.0

    @property
    def standard(self) -> bool:
        """Whether it is KL to N(0, I)."""
        return self.model_copy(update={"correction": 0.0}) == Target()

    @property
    def alone(self) -> bool:
        """Whether the functional is KL to a law by its potential, up to a constant."""
        others = self.interaction or self.power is not None
        return self.potential != "none" and not others and self.entropy == "on"

    @property
    def normalised(self) -> bool:
        """Whether KL to the chain's end is known with its constant: for a posterior log Z is unknown."""
        return self.standard or (self.alone and not self.potential.endswith("_regression"))

    @model_validator(mode="after")
    def _weighed(self) -> Target:
        if self.correction and (self.standard or not self.alone):
            raise ValueError(
                f"target.correction = {self.correction:g} is for a chain from noise to a target exp(−V): "
                "another target.potential than standard_gaussian and none, target.interaction 0, "
                "target.entropy on and no target.power; elsewhere it is 0"
            )
        return self


class Measure(Section):
    """Limits and sizes of what is measured after a block; never part of its identity.

    ``pairing`` other than ``block`` adds ε in OT pairing: ``emd``, the exact pairing of at most 2000
    rows, or ``affine``, the optimal map between Gaussians. ``reference_rows`` are solved by the
    adaptive float64 solver. ``density: off`` does not use a known log p_0. ``resolutions`` are those of the
    bracket on KL, in standard deviations of the training rows, and ``samples`` what it draws of the model.
    """

    inversion_limit: Positive = 0.05
    rows: Annotated[int, Strict(), Field(ge=2, le=100_000_000)] = 5000
    critic_centres: Annotated[int, Strict(), Field(ge=0, le=1000)] = 30
    pairing: Literal["block", "emd", "affine"] = "block"
    reference_rows: Annotated[int, Strict(), Field(ge=2, le=100_000_000)] = 500
    density: Annotated[Literal["auto", "off"], BeforeValidator(switch)] = "auto"
    resolutions: Annotated[
        tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1, max_length=100)
    ] = RESOLUTIONS
    samples: Annotated[int, Strict(), Field(ge=2, le=10_000_000)] = 10_000


class Stop(Section):
    """When a chain ends before ``steps.count``; N is then chosen by the run, never part of a block.

    ``certificate``: after the first block with certificate (C), two standard errors up, at most
    this many nats. ``movement``: after the first block that moves the particles by less than this
    share of all movement so far. ``bracket``: after the first block with which data and model are at most
    this many nats apart at ``resolution`` (the upper level, see :mod:`jko.certify.bracket`), on validation
    rows; the certificate says whether the test rows confirm it. The rule looks after every block, so each
    look has the error 5 %/N, N = ``steps.count``: all levels hold together at 95 %.
    """

    certificate: Positive | None = None
    movement: Annotated[float, Field(gt=0, lt=1)] | None = None
    bracket: Positive | None = None
    resolution: Annotated[float, Field(gt=0, lt=1)] = 0.2


class Start(Section):
    """What the blocks start from; filled in by ``jko train --start-from``, not by hand.

    ``weights``: SHA-256 of the weights file that block 1, 2, … starts from. It belongs to a block's
    identity. Blocks beyond the list start as ``training.warm_start`` says.
    """

    weights: (
        Annotated[tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...], Field(max_length=1000)] | None
    ) = None


class Evaluation(Section):
    """What is drawn and compared once the chain is complete."""

    samples: Annotated[int, Strict(), Field(ge=10, le=10_000_000)] = 1000
    mixture_components: Annotated[
        tuple[Annotated[int, Strict(), Field(ge=1, le=1000)], ...], Field(max_length=100)
    ] = (1, 2, 5, 10, 20)


class Safety(Section):
    """The defensive component of the model: a share of a broad law (see :mod:`jko.chain.defence`).

    ``share`` is η; ``auto`` is .001 for tables and 0 for laws that are drawn from, pictures and chains to a
    target. No part of any block: it changes the density and the samples of the model, not the training.
    """

    share: Literal["auto"] | Annotated[float, Field(ge=0, le=0.5)] = "auto"


class Runtime(Section):
    """Where the numbers are computed, and how often a block in training is kept.

    ``checkpoint_seconds`` is the least time between two checkpoints of a block, and the most that a kill
    costs (plus an iteration); 0 keeps every iteration. Never part of a block's identity.
    """

    threads: Annotated[int, Strict(), Field(ge=1, le=1024)] = 1
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d{1,3})?)$")] = "cpu"
    dtype: Literal["float32", "float64"] = "float32"
    checkpoint_seconds: NonNegative = 30.0
