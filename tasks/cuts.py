"""Log-densities of rows under a chain cut after each of its blocks, and the figures made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from jko.chain.chain import Chain, push_in_batches
from jko.chain.corrected import stages
from jko.chain.defence import price
from jko.core.errors import NumericalError
from jko.core.seeds import counter_seed, generator
from jko.laws.densities import Density
from jko.measure.measures import standard_error
from jko.preparation.facts import DataFacts
from jko.statistics.robust import heavy_rows, named, robust
from tasks.adapters.store.evaluated import DefenceFigures, MeanNll

Array = NDArray[np.float64]
Numbers = NDArray[np.integer]

#: rows of which the positions after every block are kept
PATH_ROWS = 512


@dataclass(frozen=True)
class Cuts:
    """Log-densities of rows under the chain cut after block 0..N, each a model with the chain's defence.

    Args:
        values: shape (N + 1, rows), nats, data units; cut 0 is the standardised normal.
        errors: their standard errors over Hutchinson probes.
        blocks: log-densities under the whole chain without its defence, shape (rows,).
        defence: what it did; ``None`` without one.
    """

    values: Array
    errors: Array
    blocks: Array
    defence: DefenceFigures | None = None


@torch.no_grad()
def log_prob_of_cuts(chain: Chain, x: torch.Tensor, seed: int) -> Cuts:
    """Log-densities of rows under every cut of a chain.

    Args:
        chain: the chain.
        x: rows in data units, shape (rows, d + c).
        seed: of the probes.
    """
    y = chain.standardise(x)
    total = chain.start_log_det(x).double()
    variance = torch.zeros(len(x), dtype=torch.float64)
    cuts = [(chain.reference_log_prob(y.double()) + total, variance.sqrt())]
    for k, block in enumerate(chain, start=1):
        pushed = push_in_batches(block, y, 4096, generator(seed, k, "probes"))
        y, total = pushed.x, total + pushed.log_det.double()
        variance = variance + pushed.log_det_se.double().cpu() ** 2
        cuts.append((chain.reference_log_prob(y.double()) + total, variance.sqrt()))
    last, broad = cuts[-1][0], chain.broad_log_prob(x)
    models = [chain.defended(values, errors.to(values), broad) for values, errors in cuts]
    values, errors = (np.stack([one.cpu().numpy() for one in part]) for part in zip(*models, strict=True))
    return Cuts(values, errors, last.cpu().numpy(), defence_figures(chain, last, broad))


def defence_figures(chain: Chain, blocks: torch.Tensor, broad: torch.Tensor | None) -> DefenceFigures | None:
    """What a defence costs and does; of log-densities under the blocks alone."""
    if chain.defence is None or broad is None:
        return None
    return DefenceFigures(
        share=chain.defence.share,
        price=price(chain.defence.share),
        nll_blocks=float(-blocks.mean()),
        carried=int(chain.defence.carried(blocks, broad).sum()),
    )


@torch.no_grad()
def followed_cuts(
    chain: Chain, law: Density, x: torch.Tensor, seed: int, *, entropy: float
) -> tuple[Array, dict[str, Array]]:
    r"""Test rows followed through a corrected chain, where some of them are drawn again.

    Such a chain gives no density at rows of its beginning. What takes the place of log q_0 of the chain cut
    after block k has the same mean, :math:`-H(p_0) - KL(p_k\|q)` (KL up to log Z where that is unknown):

    .. math:: \log q(y_k) - \log p_k(y_k) - H(p_0)

    Args:
        chain: the chain.
        law: p_0.
        x: test rows, which are draws of it, shape (rows, d), data units.
        seed: of the draws.
        entropy: H(p_0), nats.

    Returns:
        These values, shape (N + 1, rows), nats; and ``forward_path`` (N + 1, rows, d), standardised units,
        the positions of some rows, each the image of the one before unless it was drawn again.
    """
    cuts, path = [], []
    for rows in stages(chain, law, x, seed=counter_seed(seed, "test")):
        cuts.append((rows.log_weights(chain) - entropy).cpu().numpy())
        path.append(rows.y[:PATH_ROWS].cpu().numpy())
    return np.stack(cuts), {"forward_path": np.stack(path)}


def nll_figures(
    values: Array,
    errors: Array | None,
    facts: DataFacts,
    numbers: Numbers,
    *,
    mass_se: float = 0.0,
) -> MeanNll:
    """Mean negative log-density with its error, what is robust beside it, and the gap to a known entropy.

    ``log_density_se`` is the mean standard error of a row's value over Hutchinson probes; ``mass_se`` that of
    all values together (see :func:`jko.chain.sampling.mass_error`). ``numbers`` are those of the rows in
    their
    source: by them :func:`jko.statistics.robust.named` names the worst one, ``heavy_rows`` those that weigh
    too much in the mean, and ``dominating_rows`` those that are most of its error.
    """
    se = math.hypot(float(values.std(ddof=1) / math.sqrt(len(values))), mass_se)
    mean = float(-values.mean())
    if not math.isfinite(mean):  # a baseline that rows are too far from
        return MeanNll(nll=None, nll_se=None, gap_to_entropy=None, gap_to_entropy_se=None)
    found = robust(-values)
    more: dict[str, float] = {}
    if errors is not None:
        more["log_density_se"] = float(errors.mean())
    if facts.entropy is not None:
        more["gap_to_entropy"] = mean - facts.entropy["value"]
        more["gap_to_entropy_se"] = math.hypot(se, facts.entropy["se"])
    heavy, dominating = heavy_rows(-values, found, numbers), [int(numbers[i]) for i in found.dominating]
    return MeanNll.model_validate(
        {"nll": mean, "nll_se": se, **named(found, numbers), "heavy_rows": heavy,
         "dominating_rows": dominating, **more}
    )  # fmt: skip


def cut_figures(cuts: Array, mass_se: Sequence[float], numbers: Numbers) -> list[MeanNll]:
    """Test NLL after each block, with the paired change against the cut before.

    Args:
        cuts: log-densities, shape (N + 1, rows).
        mass_se: what the correction of each block adds to their common error, N values.
        numbers: of the rows in their source.
    """
    figures: list[MeanNll] = []
    for k, values in enumerate(cuts):
        change = None if k == 0 else torch.from_numpy(cuts[k - 1] - values)
        figures.append(
            MeanNll.model_validate(
                {
                    "nll": float(-values.mean()),
                    "nll_se": math.hypot(standard_error(torch.from_numpy(values)), *mass_se[:k]),
                    **named(robust(-values), numbers),
                    "change": None if change is None else float(change.mean()),
                    "change_se": None
                    if change is None
                    else math.hypot(standard_error(change), mass_se[k - 1]),
                }
            )
        )
    return figures


def check_finite(values: Array, block: int) -> None:
    """Refuse log-densities of test rows that are not finite.

    Raises:
        NumericalError: with their number.
    """
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise NumericalError(
            f"the log-densities of {bad} of {len(values)} test rows after it are not finite", block=block,
            remedy="train it again with a smaller step size, or look for extreme rows in the data",
        )  # fmt: skip
