"""The kinds of start maps by the words of the settings."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from jko.core.errors import InputError
from jko.maps.conditionals import Conditionals
from jko.maps.start_map import Marginals, StartMap, Whiten
from jko.maps.triangular import MixtureMap

START_MAPS: dict[str, type[StartMap]] = {
    cls.kind: cls for cls in (Whiten, Marginals, Conditionals, MixtureMap)
}


def start_map(kind: str, tensors: Mapping[str, Tensor]) -> StartMap:
    """A map from its kind and its numbers.

    Raises:
        InputError: an unknown kind, or other numbers than it needs.
    """
    made = START_MAPS.get(kind)
    if made is None:
        raise InputError(f"start map {kind!r} is unknown; known: {', '.join(START_MAPS)}")
    try:
        return made(**dict(tensors))
    except TypeError:
        raise InputError(f"the start map {kind} cannot be made of {', '.join(sorted(tensors))}") from None
