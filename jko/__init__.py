"""JKO flows: normalizing flows trained block by block as steps of a Wasserstein gradient flow.

>>> import jko
>>> import torch
>>> x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
>>> few = {"steps.sizes": [1.0], "training.flow_matching_iterations": 5, "training.iterations": 1}
>>> flow = jko.fit(x, settings={**few, "data.standardise": "on", "data.augment.copies": 1}, progress=False)
>>> flow
Flow(1 blocks, 2 columns, of rows)
>>> flow.sample(3).shape, flow.log_prob(x).shape
(torch.Size([3, 2]), torch.Size([300]))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jko.config import Config
    from jko.core.errors import ChainInUseError, InputError, JkoError, NumericalError
    from jko.face import fit, load
    from jko.flow import Flow
    from jko.judging import judge
    from jko.training.chain_trainer import TrainedBlock

__all__ = [
    "ChainInUseError",
    "Config",
    "Flow",
    "InputError",
    "JkoError",
    "NumericalError",
    "TrainedBlock",
    "fit",
    "judge",
    "load",
]
#: what is imported when it is asked for, so that ``import jko`` and the command line start at once
WHERE = {
    "Config": "jko.config",
    "__version__": "jko.version",
    "Flow": "jko.flow",
    "TrainedBlock": "jko.training.chain_trainer",
    "fit": "jko.face",
    "judge": "jko.judging",
    "load": "jko.face",
    **dict.fromkeys(("ChainInUseError", "InputError", "JkoError", "NumericalError"), "jko.core.errors"),
}


def __getattr__(name: str) -> Any:
    """A public name, imported now.

    Raises:
        AttributeError: there is none of that name.
    """
    if name not in WHERE:
        raise AttributeError(f"module 'jko' has no attribute {name!r}")
    return getattr(import_module(WHERE[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return __all__
