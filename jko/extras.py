"""What the pipeline adds to the library where it is installed, found by name and never imported from here."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from jko.core.errors import InputError

GROUP = "jko.extras"
#: what users call that are no methods of a flow
CALLED = {"judged": "judgement.page"}


def extra(name: str) -> Callable[..., Any]:
    """A function that an installed package offers under this name.

    Raises:
        InputError: none does, or what it needs is missing.
    """
    missing = f"{CALLED.get(name, f'flow.{name}')} needs the pipeline: pip install 'jko-flow[pipeline]'"
    for point in entry_points(group=GROUP, name=name):
        try:
            found: Callable[..., Any] = point.load()
        except ModuleNotFoundError as error:
            raise InputError(f"{missing} ({error.name} is not installed)") from None
        return found
    raise InputError(missing)
