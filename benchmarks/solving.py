"""Sampling and log-density of one chain by our solver and by the peers' adaptive ones, at equal error."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchdiffeq import odeint

from benchmarks.adjoint import batched_trace
from benchmarks.compare import Ratio, compare_timed, cpu_seconds
from jko.chain.chain import Chain, reference_log_prob
from jko.config import Training
from jko.core.seeds import generator
from jko.laws.densities import moons
from jko.maps.ode_block import Block
from jko.maps.velocity import VelocityField
from jko.training.block_trainer import fit_block

#: largest root mean square error over the rows that counts as equal, x and log-density alike
ERROR = 1e-4
#: tolerances tried for the peers, the loosest first: powers of √10
TOLERANCES = tuple(10 ** (-half / 2) for half in range(2, 17))
ROWS = 2000
STEP_SIZES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


def trained_chain(iterations: int = 400) -> Chain:
    """Six blocks on two moons with the step sizes and the network of the preset, trained shortly."""
    rows = torch.from_numpy(moons().sample(12_000, np.random.default_rng(0))).float()
    shift, scale = rows.mean(0).double(), rows.std(0).double()
    x = ((rows - shift) / scale).float()
    settings = Training(
        flow_matching_iterations=iterations, iterations=20, batch_size=500, learning_rate=5e-4,
        flow_matching_learning_rate=3e-3, validate_every=iterations, validation_rows=1000,
    )  # fmt: skip
    chain = new_chain(shift, scale)
    blocks = list(chain)
    for k, block in enumerate(blocks, start=1):
        if k > 1:
            block.load_state_dict(blocks[k - 2].state_dict())
        fit_block(block, x[:10_000], x[10_000:11_000], settings, seed=0, index=k)
        with torch.no_grad():
            x = block.push_forward(x)
    return chain.eval()


def new_chain(shift: Tensor, scale: Tensor) -> Chain:
    """The same without training."""
    fields = [VelocityField(2, (128, 128), generator=generator(0, k, "init")) for k in range(1, 7)]
    blocks = [Block(field, size) for field, size in zip(fields, STEP_SIZES, strict=True)]
    return Chain(blocks, shift, scale)


def truth(chain: Chain, x: Tensor, *, backward: bool) -> tuple[Tensor, Tensor]:
    """Positions and Σ log|det| in float64 by dopri8 at tolerance 1e-10, standardised units."""
    times = torch.tensor([1.0, 0.0] if backward else [0.0, 1.0], dtype=torch.float64)
    fields = [copy.deepcopy(field).double().requires_grad_(False) for field in fields_of(chain)]
    y, total = x.double(), torch.zeros(len(x), dtype=torch.float64)
    for field in reversed(fields) if backward else fields:
        right = field.prepared()
        path = odeint(
            lambda t, state, right=right: right(state[0], t), (y, torch.zeros_like(total)), times,
            method="dopri8", rtol=1e-10, atol=1e-10, options={"step_t": times[1:]},
        )  # fmt: skip
        y, total = path[0][-1], total + path[1][-1]
    return y, total


def fields_of(chain: Chain) -> list[VelocityField]:
    """The velocity fields of the blocks, in order."""
    return [block.field for block in chain if isinstance(block, Block)]


Solve = Callable[[Tensor], tuple[Tensor, Tensor | None]]


def ours(chain: Chain, steps: int, *, density: bool) -> Solve:
    """Our blocks with so many RK4 steps each: log-densities forward, or samples backward."""
    blocks = [block.with_steps(steps) for block in chain]

    def solve(x: Tensor) -> tuple[Tensor, Tensor | None]:
        with torch.no_grad():
            if not density:
                for block in reversed(blocks):
                    x = block.pull_back(x)
                return x, None
            total = torch.zeros_like(x[:, 0])
            for block in blocks:
                pushed = block(x)
                x, total = pushed.x, total + pushed.log_det
            return x, total

    return solve


def zuko(chain: Chain, tolerance: float, *, density: bool) -> Solve:
    """The same fields in zuko's continuous flow, exact trace, its own adaptive solver."""
    from zuko.transforms import FreeFormJacobianTransform

    transforms = [
        FreeFormJacobianTransform(lambda t, x, f=field: f(x, t), atol=tolerance, rtol=tolerance, exact=True)
        for field in fields_of(chain)
    ]

    def solve(x: Tensor) -> tuple[Tensor, Tensor | None]:
        with torch.no_grad():
            if not density:
                for transform in reversed(transforms):
                    x = transform.inv(x)
                return x, None
            total = torch.zeros_like(x[:, 0])
            for transform in transforms:
                x, log_det = transform.call_and_ladj(x)
                total = total + log_det
            return x, total

    return solve


def dopri5(chain: Chain, tolerance: float, *, density: bool) -> Solve:
    """The same fields in torchdiffeq's dopri5, trace by autograd."""
    fields = fields_of(chain)
    adaptive: dict[str, Any] = {"method": "dopri5", "rtol": tolerance, "atol": tolerance}

    def with_trace(field: VelocityField) -> Callable[..., tuple[Tensor, Tensor]]:
        def right(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                found = batched_trace(field, state[0].detach().requires_grad_(True), t, state[0])
            return found[0].detach(), found[1].detach()

        return right

    def solve(x: Tensor) -> tuple[Tensor, Tensor | None]:
        with torch.no_grad():
            if not density:
                for field in reversed(fields):
                    x = odeint(lambda t, y, f=field: f(y, t), x, torch.tensor([1.0, 0.0]), **adaptive)[-1]
                return x, None
            total = torch.zeros_like(x[:, 0])
            for field in fields:
                y, part = odeint(
                    with_trace(field), (x, torch.zeros_like(total)), torch.tensor([0.0, 1.0]), **adaptive
                )
                x, total = y[-1], total + part[-1]
            return x, total

    return solve


SOLVERS: Mapping[str, Callable[..., Solve]] = {"ours": ours, "zuko": zuko, "torchdiffeq": dopri5}


def cheapest(
    make: Callable[[Any], Solve], settings: Sequence[Any], x: Tensor, exact: Tensor, of: Callable[..., Tensor]
) -> tuple[Any, float, Solve]:
    """The first setting whose root mean square error is small enough, its error and its solver.

    Raises:
        ArithmeticError: none is.
    """
    for setting in settings:
        solve = make(setting)
        error = float(((of(*solve(x)).double() - exact) ** 2).reshape(len(x), -1).sum(-1).mean().sqrt())
        if error <= ERROR:
            return setting, error, solve
    raise ArithmeticError(f"no setting reaches an error of {ERROR:g}; the best is {error:.3g}")


@dataclass(frozen=True)
class Timed:
    """A solver by name, for a process of its own: what torch's memory costs depends on what ran before.

    Args:
        name: of :data:`SOLVERS`.
        setting: steps, or a tolerance.
        density: log-densities forward, or samples backward.
        chain: the chain, as ``torch.save`` writes its weights.
        rows: what goes in.
    """

    name: str
    setting: float
    density: bool
    chain: bytes
    rows: bytes

    def __call__(self) -> float:
        """CPU seconds of one solution."""
        solve, x = _prepared(self)
        return cpu_seconds(partial(solve, x))


@cache
def _prepared(timed: Timed) -> tuple[Solve, Tensor]:
    torch.set_num_threads(1)
    weights = torch.load(io.BytesIO(timed.chain), weights_only=True)
    chain = new_chain(weights["shift"], weights["scale"])
    chain.load_state_dict(weights)
    x = torch.load(io.BytesIO(timed.rows), weights_only=True)
    return SOLVERS[timed.name](chain.eval(), timed.setting, density=timed.density), x


def keep(value: Any) -> bytes:
    """A tensor or weights as bytes, for another process."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def in_processes(ours: Timed, peer: Timed, repetitions: int) -> Ratio:
    """Both in turn, each in a process that does nothing else."""
    context = get_context("spawn")
    with ProcessPoolExecutor(1, context) as mine, ProcessPoolExecutor(1, context) as theirs:
        return compare_timed(
            lambda: mine.submit(ours).result(), lambda: theirs.submit(peer).result(), repetitions
        )


def solving(chain: Chain, repetitions: int) -> dict[str, Any]:
    """Samples and log-densities a second at equal error, ours against both peers."""
    draws = torch.randn(ROWS, 2, generator=generator(0, "draws"))
    samples = truth(chain, draws, backward=True)[0].float()
    return {
        "sampling": _against_peers(chain, draws, repetitions, density=False),
        "log_prob": _against_peers(chain, samples, repetitions, density=True),
    }


def _against_peers(chain: Chain, x: Tensor, repetitions: int, *, density: bool) -> dict[str, Any]:
    def value(y: Tensor, total: Tensor | None) -> Tensor:
        return y if total is None else reference_log_prob(y) + total

    y, total = truth(chain, x, backward=not density)
    exact = value(y, total if density else None)
    weights, rows = keep(chain.state_dict()), keep(x)
    steps, error, _ = cheapest(partial(ours, chain, density=density), range(1, 65), x, exact, value)
    found: dict[str, Any] = {"ours": {"steps": steps, "error": error}}
    for name in ("zuko", "torchdiffeq"):
        peer = SOLVERS[name]
        tolerance, off, _ = cheapest(partial(peer, chain, density=density), TOLERANCES, x, exact, value)
        own, other = (
            Timed(of, setting, density, weights, rows) for of, setting in (("ours", steps), (name, tolerance))
        )
        timed = in_processes(own, other, repetitions)
        found[name] = {"tolerance": tolerance, "error": off, "ratio": asdict(timed)}
    return found
