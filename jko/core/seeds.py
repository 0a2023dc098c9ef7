"""Counter-based randomness: every draw is a function of (seed, block, purpose, step).

No state has to be saved to continue a run: the draws of iteration ``step`` can be made
again without making those before it, which is what makes a resumed chain equal to an
uninterrupted one bit for bit.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def counter_seed(seed: int, *counters: int | str) -> int:
    """A 63-bit seed from a user seed and counters, by SHA-256 over their text.

    Args:
        seed: the user's seed.
        counters: block, purpose, step: anything that names the draw.

    Returns:
        An integer in [0, 2^63).
    """
    text = "/".join(str(part) for part in (seed, *counters))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *counters: int | str) -> torch.Generator:
    """A fresh CPU generator for one named draw (see :func:`counter_seed`)."""
    import torch  # here, so that reading a table loads no torch

    return torch.Generator().manual_seed(counter_seed(seed, *counters))
