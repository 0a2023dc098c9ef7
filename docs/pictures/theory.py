"""Draw docs/pictures/steps.png and paths.png: exact steps on the line, and paths of rows through a chain.

Usage: python docs/pictures/theory.py CHAIN, with the chain of the preset moons.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np

import jko
from jko.laws.densities import moons
from jko.laws.gaussian import Gaussian, jko_step, kl

HERE = Path(__file__).resolve().parent
SIZES = (0.25, 0.5, 1.0)


def laws(step_size: float, steps: int) -> list[Gaussian]:
    """N(4, ½²) and its exact JKO steps."""
    found = [Gaussian.of(4.0, 0.5)]
    for _ in range(steps):
        found.append(jko_step(found[-1], step_size))
    return found


def density(law: Gaussian, x: np.ndarray) -> np.ndarray:
    """The density of a law of the line."""
    z = (x - law.mean[0]) / law.std[0]
    return np.exp(-0.5 * z * z) / (law.std[0] * np.sqrt(2 * np.pi))


def draw_steps(path: Path) -> None:
    """The laws of six steps beside KL after each step of three sizes."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    x = np.linspace(-3, 6, 500)
    left.fill_between(x, density(Gaussian.of(0.0, 1.0), x), color="0.85", label="N(0, 1)")
    colours = plt.cm.viridis(np.linspace(0, 0.9, 7))
    for k, (law, colour) in enumerate(zip(laws(0.5, 6), colours, strict=True)):
        left.plot(x, density(law, x), color=colour, label={0: "start", 6: "after 6 steps"}.get(k))
    left.set(xlabel="x", yticks=[], title="the law after each step, γ = ½")
    left.legend(frameon=False, fontsize=8)
    for size in SIZES:
        right.semilogy([kl(law) for law in laws(size, 8)], "o-", markersize=4, label=f"γ = {size:g}")
    right.set(xlabel="steps", ylabel="KL, nats", title="distance to N(0, 1)")
    right.legend(frameon=False, fontsize=8)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


def upper_half(rows: np.ndarray) -> np.ndarray:
    """Whether rows are nearer to the upper half circle than to the lower one, shape (rows,)."""
    angle = np.linspace(0, np.pi, 200)
    arcs = (
        np.stack([np.cos(angle), np.sin(angle)], 1),
        np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], 1),
    )
    upper, lower = (np.linalg.norm(rows[:, None] - arc, axis=2).min(1) for arc in arcs)
    return upper < lower


def draw_paths(path: Path, positions: np.ndarray, half: np.ndarray) -> None:
    """Paths of rows, coloured by the half circle they come from.

    Args:
        path: the picture.
        positions: before the first block and after each, shape (N + 1, rows, 2).
        half: which of the two half circles, shape (rows,).
    """
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for colour, which in (("#3b6fb6", half), ("#d9822b", ~half)):
        rows = positions[:, which]
        axis.plot(rows[:, :, 0], rows[:, :, 1], color=colour, lw=0.5, alpha=0.45)
        axis.scatter(*rows[0].T, s=9, color=colour, zorder=3)
        axis.scatter(*rows[-1].T, s=9, facecolor="white", edgecolor=colour, lw=0.8, zorder=3)
    axis.scatter([], [], s=14, color="0.3", label="data")
    axis.scatter([], [], s=14, facecolor="white", edgecolor="0.3", label="after the last block")
    axis.legend(frameon=False, fontsize=8, loc="upper right")
    axis.set_aspect("equal")
    axis.axis("off")
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    flow = jko.load(sys.argv[1])
    rows = moons().sample(220, np.random.default_rng(1))
    draw_steps(HERE / "steps.png")
    draw_paths(HERE / "paths.png", flow.trajectory(rows).numpy(), upper_half(rows))
