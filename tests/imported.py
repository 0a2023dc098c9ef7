"""What a process has imported from which commands and trials are forked.

It must stay one thread: no import below may start another.
"""

from __future__ import annotations

import gc
from importlib import import_module
from pathlib import Path
from tempfile import gettempdir

from tasks.adapters.system.environment import platform_environment
from tasks.adapters.system.terminal import warn_on_stderr

# nothing that is imported is garbage
gc.disable()

# as every command does before Prefect and MLflow are imported: they keep what they find
platform_environment(Path(gettempdir()) / "jko-imported")
warn_on_stderr()

# the last is what the first step of an optimizer loads
for name in (
    "flows.cli.main", "flows.pipeline", "matplotlib.pyplot", "mlflow.store.tracking.sqlalchemy_store",
    "tests.campaign.small", "torch._dynamo",
):  # fmt: skip
    import_module(name)


def draw() -> None:
    """Draw a formula and powers of ten once, for which matplotlib reads fonts and makes parsers."""
    figure = import_module("matplotlib.figure").Figure()
    axes = figure.add_subplot(title=r"$\varepsilon_k$", xscale="log", yscale="log")
    axes.plot([1e-3, 1e3], [1e-3, 1e3])
    import_module("tasks.report.drawing").png(figure)


draw()
# a collection in a fork would look at all of this, and so copy it
gc.freeze()
gc.enable()
