"""Rows and flows for the tests of ``jko.fit`` and ``jko.load``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch

import jko

#: settings under which a training takes a second
FEW = {
    "steps.sizes": [0.5, 2.0], "network.hidden": [16, 16], "data.standardise": "on", "data.augment.copies": 1,
    "training": {"flow_matching_iterations": 40, "iterations": 4, "batch_size": 64, "validate_every": 20},
}  # fmt: skip


def rows(count: int = 300, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn(count, 3, generator=draw, dtype=torch.float64)
    return z @ torch.tensor([[2.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 0.5]], dtype=torch.float64) + 7


def options(settings: Mapping[str, object]) -> list[str]:
    """Settings as options of the command line."""
    return [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]


def weights(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in folder.glob("blocks/*/weights.safetensors")}


def fitted(x: object, **more: object) -> jko.Flow:
    return jko.fit(x, settings=FEW, progress=False, **more)  # type: ignore[arg-type]
