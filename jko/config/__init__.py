"""The one validated, frozen configuration of a run.

Every key has a default; ``params.yaml``, a preset and ``--set`` only override. Importing this
module loads pydantic and nothing heavier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, Strict, ValidationError, model_validator

from jko.config.data_section import Data
from jko.config.sections import (
    NOT_TRAINING,
    BlockOverride,
    Evaluation,
    Measure,
    Network,
    Runtime,
    Safety,
    Section,
    SolverSettings,
    Start,
    Steps,
    Stop,
    Target,
    Training,
)
from jko.core.errors import InputError
from jko.core.plain import SHOWN, check_plain, shortened
from jko.core.step_sizes import shown

#: Raised by hand when a change alters what training computes; part of every fingerprint.
NUMERICS = 1
#: η of a table's model
TABLE_SHARE = 1e-3


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
    defence: Safety = Safety()
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
    def _forward(self) -> Config:
        """Towards another potential V the limit is one over its smoothness, which is not known here."""
        longest = 1.0 if self.target.standard else math.inf
        long = next((k for k, size in enumerate(self.step_sizes, start=1) if size >= longest), None)
        if self.scheme != "backward_euler" and long:
            raise ValueError(
                f"scheme = {self.scheme} follows x − γ∇V, for N(0, I) with γ < 1 only and never without end; "
                f"block {long} has γ = {shown(self.step_sizes[long - 1])}: give smaller steps.sizes, "
                "or steps.sizes = null with steps.max below 1, and steps.free = off"
            )
        return self

    @model_validator(mode="after")
    def _corrected(self) -> Config:
        if self.target.correction and self.data.context is not None:
            raise ValueError(
                f"target.correction = {self.target.correction:g} is for chains from noise to a target, and "
                "these take no context; with data.context it is 0"
            )
        return self

    @model_validator(mode="after")
    def _defended(self) -> Config:
        if self.defence_share and not self.target.standard:
            raise ValueError(
                f"defence.share = {self.defence_share:g} is for chains from data to N(0, I); towards another "
                "target it is 0 or auto"
            )
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
        target = self.target
        some = target.interaction or target.entropy == "on" or target.power is not None
        if target.potential == "none" and not some:
            raise ValueError("target: potential none, interaction 0 and entropy off leave nothing to descend")
        return self

    @model_validator(mode="after")
    def _stops(self) -> Config:
        if self.stop.bracket is not None and not self.target.standard:
            raise ValueError("stop.bracket: a chain to another target than N(0, I) holds out no rows of it")
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

    @property
    def defence_share(self) -> float:
        """η, the share of the broad law in the model."""
        if self.defence.share != "auto":
            return self.defence.share
        return TABLE_SHARE if self.data.is_table and self.target.standard else 0.0

    def start_of(self, k: int) -> str | None:
        """SHA-256 of the weights file that block k (1..N) starts from, if it starts from one."""
        weights = self.start.weights or ()
        return weights[k - 1] if k <= len(weights) else None

    def training_of(self, k: int) -> Training:
        """The training settings of block k (1..N)."""
        override = self.blocks.get(k)
        own = {} if override is None else override.model_dump(exclude_none=True, exclude=NOT_TRAINING)
        # neither has what flow matching regresses: no velocity here, no process to simulate there
        if self.network.kind == "residual" or self.target.power is not None:
            own["flow_matching_iterations"] = 0
        return self.training.model_copy(update=own)

    def network_of(self, k: int) -> Network:
        """The network of block k (1..N)."""
        scale = self.blocks[k].fourier_scale if k in self.blocks else None
        return self.network if scale is None else self.network.model_copy(update={"fourier_scale": scale})

    def starts_warm(self, k: int) -> bool:
        """Whether block k starts from the weights of the one before; with other frequencies it does not."""
        return k > 1 and self.training_of(k).warm_start and self.network_of(k) == self.network_of(k - 1)


def parse_config(values: Mapping[str, object], *, where: str = "settings") -> Config:
    """Validate nested settings.

    Args:
        values: nested mapping, as read from YAML or JSON.
        where: named in the error, such as the file they came from.

    Raises:
        InputError: unknown key, wrong type or impossible value, in one sentence.
    """
    try:
        check_plain(values)
        return Config.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{where}: {_sentence(error)}") from None
    except (ValueError, OverflowError) as error:
        raise InputError(f"{where}: {error}") from None


def flattened(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested settings as ``a.b.c`` keys."""
    flat: dict[str, object] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= flattened(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def _sentence(error: ValidationError) -> str:
    """The first problem of a validation error as: key, value, what is allowed."""
    problem = error.errors()[0]
    key = _key(problem["loc"]) or "settings"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key}; allowed there: {', '.join(_siblings(problem['loc']))}"
    if problem["type"] == "value_error":
        return message
    # a value that may be of several kinds has a problem with each
    others = [
        one["msg"].removeprefix("Input should be ") for one in error.errors()[1:] if _key(one["loc"]) == key
    ]
    allowed = ", or ".join(dict.fromkeys([f"{message[:1].lower()}{message[1:]}", *others]))
    return f"{key} = {shortened(problem['input'])} is not allowed: {allowed}"


def _key(location: tuple[int | str, ...]) -> str:
    """The key of a setting; what pydantic says behind it of the kinds that its value may have is no part."""
    parts: list[str] = []
    for part, model in zip(location, _models(location), strict=True):
        if (model is None and isinstance(part, str)) or part == "[key]":
            break
        parts.append(str(part))
    return ".".join(parts)[:SHOWN]


def _siblings(location: tuple[int | str, ...]) -> list[str]:
    """Keys allowed beside the last part of a location."""
    return sorted(getattr(_models(location)[-1], "model_fields", {}))


def _models(location: tuple[int | str, ...]) -> list[type | None]:
    """The section that holds each part of a location; ``None`` within the value of a setting."""
    model: type | None = Config
    found = []
    for part in location:
        found.append(model)
        if model is Config and part == "blocks":
            model = Mapping
        elif model is Mapping:
            model = BlockOverride
        else:
            fields = getattr(model, "model_fields", {})
            inner = fields[part].annotation if part in fields else None
            model = inner if isinstance(inner, type) and issubclass(inner, Section) else None
    return found
