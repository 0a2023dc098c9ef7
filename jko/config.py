"""The one validated, frozen configuration of a run.

Every key has a default; ``params.yaml``, a preset and ``--set`` only override. Importing this
module loads pydantic and nothing heavier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, ValidationError, model_validator

from jko.errors import InputError
from jko.schedule import step_sizes

#: Raised by hand when a change alters what training computes; part of every fingerprint.
NUMERICS = 1
#: a smaller step moves float32 particles by less than their rounding
SMALLEST_STEP = 1e-6
#: the context that is a row's class, and the name of its column
CLASS = "class"
#: sources that can have a context, and those whose rows have a class
CONTEXT_SOURCES, CLASS_SOURCES = ("file", "digits", "breast_cancer"), ("digits", "breast_cancer")


def _switch(value: Any) -> Any:
    """YAML 1.1 readers turn a bare on/off into a boolean; turn it back."""
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


def _context(value: Any) -> Any:
    """One word that is not ``class`` is a mistake for a list of one column."""
    if isinstance(value, str) and value != CLASS:
        raise ValueError(f"data.context = {value!r}: give class, or columns in a list, as in [{value}]")
    return value


Switch = Annotated[Literal["on", "off"], BeforeValidator(_switch)]
Count = Annotated[int, Strict(), Field(ge=0, le=100_000_000)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Width = Annotated[int, Strict(), Field(ge=1, le=8192)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=0.5)]


class Section(BaseModel):
    """Base of all sections: frozen, strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Split(Section):
    """Fractions of the rows held out, chosen by seed; the rest is for training."""

    validation: Fraction = 0.1
    test: Fraction = 0.1


class Augment(Section):
    """Smoothed copies of the training rows (see :func:`jko.smoothing.manifold_parzen`).

    ``copies`` counts the rows themselves, so 1 means none; each copy gets its own dequantisation
    noise. ``width`` is relative to the offsets of the ``neighbours`` nearest rows. There are no more
    copies than fit into ``most_rows``: where rows are many, they speak for themselves.
    """

    copies: Annotated[int, Strict(), Field(ge=1, le=10_000)] = 1
    most_rows: Annotated[int, Strict(), Field(ge=1)] = 100_000_000
    width: Annotated[float, Field(ge=0, le=10)] = 0.0
    neighbours: Annotated[int, Strict(), Field(ge=1, le=1000)] = 10

    def copies_of(self, rows: int) -> int:
        """How often so many rows are there afterwards, themselves included."""
        return max(1, min(self.copies, self.most_rows // max(rows, 1)))


class Data(Section):
    """Where the rows come from and how they are prepared.

    ``smoothing`` is an Ornstein-Uhlenbeck time δ in standardised units: every row X becomes
    e^{-δ}X + √(1 − e^{-2δ}) Z, so that the chain models a law with a density where the data have
    none (see :func:`jko.smoothing.ornstein_uhlenbeck`); 0 leaves the rows as they are.

    ``context`` makes the flow conditional: names of columns of a table (covariates, standardised, never
    dequantised), or ``class`` for the class of the rows of digits or breast_cancer.
    """

    source: Literal[
        "digits", "breast_cancer", "moons", "eight_gaussians", "rose", "curve", "gaussian", "file"
    ] = "digits"
    file: str | None = None
    columns: tuple[str, ...] | None = None
    missing: Literal["refuse", "drop"] = "refuse"
    dequantise: Annotated[Literal["auto", "off"], BeforeValidator(_switch)] = "auto"
    standardise: Switch = "on"
    rows: Annotated[int, Strict(), Field(ge=2, le=100_000_000)] = 20_000
    mean: tuple[Finite, ...] = (3.0, 3.0)
    std: tuple[Positive, ...] = (1.0, 1.0)
    split: Split = Split()
    augment: Augment = Augment()
    smoothing: Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)] = 0.0
    context: Annotated[
        Annotated[tuple[str, ...], Field(min_length=1)] | Literal["class"] | None, BeforeValidator(_context)
    ] = None

    @model_validator(mode="after")
    def _conditional(self) -> Data:
        if self.context is None:
            return self
        if self.source not in CONTEXT_SOURCES:
            raise ValueError(f"data.context is for data.source = {', '.join(CONTEXT_SOURCES)}")
        if self.context == CLASS and self.source not in CLASS_SOURCES:
            raise ValueError(
                f"data.context = class is for data.source = {', '.join(CLASS_SOURCES)}; "
                "name the columns of a file in a list, as in [age, dose]"
            )
        if len(set(self.context)) < len(self.context) and self.context != CLASS:
            raise ValueError(f"data.context names a column twice: {', '.join(self.context)}")
        if self.columns and (twice := set(self.columns) & set(self.context)):
            raise ValueError(
                f"column {min(twice)!r} is in data.columns and in data.context; it can be one only"
            )
        if self.smoothing:
            raise ValueError("data.smoothing and data.context do not go together; set one of them only")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Data:
        if (self.source == "file") != (self.file is not None):
            raise ValueError("data.file names a file exactly when data.source is 'file'")
        if len(self.mean) != len(self.std) or not self.mean:
            raise ValueError("data.mean and data.std need the same number of entries, at least one")
        return self


class Steps(Section):
    """Step sizes γ_k = min(first · ratio^(k-1), max), k = 1..count, or the list ``sizes``.

    ``free: on`` adds a last block without transport term: it goes on to the reference as far as its field
    can. A longer chain drops it and trains another.
    """

    count: Annotated[int, Strict(), Field(ge=1, le=1000)] | None = None
    first: Positive = 0.5
    ratio: Positive = 1.2
    max: Positive = 5.0
    sizes: tuple[Positive, ...] | None = None
    free: Switch = "off"

    @model_validator(mode="after")
    def _consistent(self) -> Steps:
        if self.count is None and not self.sizes:
            raise ValueError("give steps.count or a list steps.sizes with at least one step size")
        sizes = self.resolve()
        if min(sizes) < SMALLEST_STEP:
            raise ValueError(
                f"steps.first = {self.first:g} and steps.ratio = {self.ratio:g} give a step size of "
                f"{min(sizes):.3g}; every step size must be at least {SMALLEST_STEP:g}"
            )
        return self

    def resolve(self) -> tuple[float, ...]:
        """The N step sizes, and infinity for a free block."""
        sizes = step_sizes(self.count, first=self.first, ratio=self.ratio, maximum=self.max, sizes=self.sizes)
        return (*sizes, math.inf) if self.free == "on" else sizes


Scales = Positive | Annotated[tuple[Positive, ...], Field(min_length=1)]


class Network(Section):
    """What a block computes its map with.

    ``kind``: ``ode`` solves dx/dt = v(x, t) on [0, 1]; ``residual`` is T(x) = x + f(x) with Lip f ≤
    ``lipschitz`` < 1 whatever the weights (:class:`jko.residual_block.ResidualBlock`): invertible and
    monotone by construction, one evaluation forward, but no block stretches or shrinks by more than a
    factor 1 ± ``lipschitz``, and an inverse takes about log eps / log ``lipschitz`` evaluations.
    ``lipschitz`` is for residual blocks; ``fourier``, ``solver.method`` and ``solver.steps`` for ODEs.

    ``fourier_scale`` is the standard deviation of the random frequencies, radians per standardised
    unit: one number, or several that the frequencies take in turn, for structure of several widths.
    """

    hidden: Annotated[tuple[Width, ...], Field(min_length=1)] = (128, 128)
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
    validate_every: Annotated[int, Strict(), Field(ge=1)] = 100
    validation_rows: Annotated[int, Strict(), Field(ge=2)] = 4000
    solver_steps: Annotated[int, Strict(), Field(ge=1, le=1000)] | None = None


class BlockOverride(Section):
    """Settings of one block that differ from the others': step size, frequencies, training.

    Later blocks see smoother laws, so lower frequencies serve them better: after an Ornstein-Uhlenbeck
    time t about 1/√(1 − e^{-2t}). A block with other frequencies than the one before it has no warm start.
    """

    step_size: Annotated[float, Field(ge=SMALLEST_STEP, allow_inf_nan=False)] | None = None
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
    validate_every: Annotated[int, Strict(), Field(ge=1)] | None = None
    validation_rows: Annotated[int, Strict(), Field(ge=2)] | None = None
    solver_steps: Annotated[int, Strict(), Field(ge=1, le=1000)] | None = None


#: what a block overrides beside its training
NOT_TRAINING = {"step_size", "fourier_scale"}


class Target(Section):
    """The functional that the steps descend, KL to N(0, I) by default.

    ``potential`` names V of a target exp(−V), ``none`` for none, ``options`` are its numbers (``components``,
    ``std``, …; see :mod:`jko.targets`); ``interaction`` is the strength of an interaction |x − y|²/2
    and ``entropy: off`` leaves log ρ out. Under another than the default the chain is used the other way
    round: it starts from a known law, ``data.source: gaussian`` as it is, and *forward* leads to the target.
    """

    potential: Literal[
        "standard_gaussian", "correlated_gaussian", "sphere_mixture", "uniform_mixture", "banana", "funnel",
        "logistic_regression", "breast_cancer_regression", "none",
    ] = "standard_gaussian"  # fmt: skip
    options: dict[str, Finite] = {}
    interaction: Finite = 0.0
    entropy: Switch = "on"

    @property
    def standard(self) -> bool:
        """Whether it is KL to N(0, I)."""
        return self == Target()


class Measure(Section):
    """Limits and sizes of what is measured after a block; never part of its identity.

    ``pairing`` other than ``block`` adds ε in OT pairing: ``emd``, the exact pairing of at most 2000
    rows, or ``affine``, the optimal map between Gaussians. ``reference_rows`` are solved by the
    adaptive float64 solver. ``density: off`` does not use a known log p_0.
    """

    inversion_limit: Positive = 0.05
    rows: Annotated[int, Strict(), Field(ge=2)] = 5000
    critic_centres: Annotated[int, Strict(), Field(ge=0, le=1000)] = 30
    pairing: Literal["block", "emd", "affine"] = "block"
    reference_rows: Annotated[int, Strict(), Field(ge=2)] = 500
    density: Annotated[Literal["auto", "off"], BeforeValidator(_switch)] = "auto"


class Stop(Section):
    """When a chain ends before ``steps.count``; N is then chosen by the run, never part of a block.

    ``certificate``: after the first block with certificate (C), two standard errors up, at most
    this many nats. ``movement``: after the first block that moves the particles by less than this
    share of all movement so far.
    """

    certificate: Positive | None = None
    movement: Annotated[float, Field(gt=0, lt=1)] | None = None


class Start(Section):
    """What the blocks start from; filled in by ``jko train --start-from``, not by hand.

    ``weights``: SHA-256 of the weights file that block 1, 2, … starts from. It belongs to a block's
    identity. Blocks beyond the list start as ``training.warm_start`` says.
    """

    weights: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] | None = None


class Evaluation(Section):
    """What is drawn and compared once the chain is complete."""

    samples: Annotated[int, Strict(), Field(ge=10, le=10_000_000)] = 1000
    mixture_components: tuple[Annotated[int, Strict(), Field(ge=1)], ...] = (1, 2, 5, 10, 20)


class Runtime(Section):
    """Where the numbers are computed, and how often a block in training is kept.

    ``checkpoint_seconds`` is the least time between two checkpoints of a block, and the most that a kill
    costs (plus an iteration); 0 keeps every iteration. Never part of a block's identity.
    """

    threads: Annotated[int, Strict(), Field(ge=1, le=1024)] = 1
    device: Annotated[str, Field(pattern=r"^(cpu|mps|cuda(:\d+)?)$")] = "cpu"
    dtype: Literal["float32", "float64"] = "float32"
    checkpoint_seconds: NonNegative = 30.0


class Config(Section):
    """All settings of a run."""

    seed: Annotated[int, Strict(), Field(ge=0, lt=2**53)] = 0
    data: Data = Data()
    steps: Steps = Steps(count=8)
    network: Network = Network()
    solver: SolverSettings = SolverSettings()
    training: Training = Training()
    scheme: Literal["backward_euler", "forward_euler", "forward_backward"] = "backward_euler"
    target: Target = Target()
    blocks: dict[Annotated[int, Field(ge=1, le=1000)], BlockOverride] = {}
    measure: Measure = Measure()
    stop: Stop = Stop()
    start: Start = Start()
    evaluation: Evaluation = Evaluation()
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        count = len(self.steps.resolve())
        beyond = [k for k in self.blocks if k > count]
        if beyond:
            raise ValueError(f"blocks.{beyond[0]} names a block that is not there; the chain has {count}")
        if self.steps.free == "on" and (last := self.blocks.get(count)) and last.step_size:
            raise ValueError(f"blocks.{count}.step_size: the last block is free and has no step size")
        return self

    @model_validator(mode="after")
    def _known_start(self) -> Config:
        data = self.data
        known = data.source == "gaussian" and data.standardise == "off" and not data.smoothing
        if not self.target.standard and not known:
            raise ValueError(
                "target: another functional than KL to N(0, I) starts from a known law; it needs "
                "data.source = gaussian, data.standardise = off and data.smoothing = 0"
            )
        if self.target.potential == "none" and not self.target.interaction and self.target.entropy == "off":
            raise ValueError("target: potential none, interaction 0 and entropy off leave nothing to descend")
        return self

    @model_validator(mode="after")
    def _conditional(self) -> Config:
        if self.data.context is None:
            return self
        if self.network.kind != "ode":
            raise ValueError("data.context: residual blocks take no context; set network.kind = ode")
        if not self.target.standard:
            raise ValueError("data.context: a chain to another target than N(0, I) takes no context")
        if self.measure.pairing != "block":
            raise ValueError(
                f"measure.pairing = {self.measure.pairing} pairs rows of different contexts; "
                "with data.context it is block"
            )
        return self

    @property
    def step_sizes(self) -> tuple[float, ...]:
        """γ_1 … γ_N with the blocks' own overrides; infinite for a free block."""
        override = {k: block.step_size for k, block in self.blocks.items() if block.step_size}
        return tuple(override.get(k, size) for k, size in enumerate(self.steps.resolve(), start=1))

    def start_of(self, k: int) -> str | None:
        """SHA-256 of the weights file that block k (1..N) starts from, if it starts from one."""
        weights = self.start.weights or ()
        return weights[k - 1] if k <= len(weights) else None

    def training_of(self, k: int) -> Training:
        """The training settings of block k (1..N)."""
        override = self.blocks.get(k)
        own = {} if override is None else override.model_dump(exclude_none=True, exclude=NOT_TRAINING)
        if self.network.kind == "residual":
            own["flow_matching_iterations"] = 0
        return self.training.model_copy(update=own)

    def network_of(self, k: int) -> Network:
        """The network of block k (1..N)."""
        scale = self.blocks[k].fourier_scale if k in self.blocks else None
        return self.network if scale is None else self.network.model_copy(update={"fourier_scale": scale})

    def starts_warm(self, k: int) -> bool:
        """Whether block k starts from the weights of the one before; with other frequencies it does not."""
        return k > 1 and self.training_of(k).warm_start and self.network_of(k) == self.network_of(k - 1)


def parse_config(values: Mapping[str, Any], *, where: str = "settings") -> Config:
    """Validate nested settings.

    Args:
        values: nested mapping, as read from YAML or JSON.
        where: named in the error, such as the file they came from.

    Raises:
        InputError: unknown key, wrong type or impossible value, in one sentence.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{where}: {_sentence(error)}") from None


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as ``a.b.c`` keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= flattened(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def _sentence(error: ValidationError) -> str:
    """The first problem of a validation error as: key, value, what is allowed."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"]) or "settings"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key}; allowed there: {', '.join(_siblings(problem['loc']))}"
    if problem["type"] == "value_error":
        return message
    return f"{key} = {problem['input']!r} is not allowed: {message[:1].lower()}{message[1:]}"


def _siblings(location: tuple[int | str, ...]) -> list[str]:
    """Keys allowed beside the last part of a location."""
    model: Any = Config
    for part in location[:-1]:
        if model is Config and part == "blocks":
            model = BlockOverride
        elif isinstance(part, str) and part in model.model_fields:
            model = model.model_fields[part].annotation
    return sorted(model.model_fields)
