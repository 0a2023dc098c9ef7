"""Parameters of an estimator of scikit-learn as those of ``jko.fit``."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral

import numpy as np

from jko.config import Config
from jko.config.sections import Training
from jko.core.errors import InputError
from jko.core.plain import Json, shortened
from jko.face import TABLE, Setting, asked_settings
from jko.given import Array, Frame, frame_of, is_frame, types_of
from jko.preparation.names import listed
from jko.presets import merged, read_preset

#: cross-validation holds rows out by itself: as few as possible are held out within a fit; columns of numbers
#: are taken as they are, whatever a data frame's names say
OWN: Mapping[str, Json] = {"data": {"split": {"test": 1e-9}, "kinds": "off"}}
#: what may become of rows with empty cells
MISSING = ("refuse", "drop", "model")
#: settings that ``max_iter`` is the most of
ITERATIONS = ("flow_matching_iterations", "iterations")
#: an integer, a generator, or nothing for numpy's own
RandomState = int | np.random.RandomState | None


def missing_of(settings: Mapping[str, Json]) -> object:
    """What becomes of rows with empty cells by changes to a preset."""
    data = settings.get("data")
    return data.get("missing", MISSING[0]) if isinstance(data, Mapping) else MISSING[0]


def allows_holes(missing: object, x: Array | Frame) -> bool:
    """Whether rows to fit may have empty cells.

    Raises:
        InputError: an unknown word, or holes as part of the law of an array, whose columns have no kinds.
    """
    if missing not in MISSING:
        raise InputError(f"missing = {shortened(missing)} is not allowed; give {listed(MISSING)}")
    if missing == "model" and not is_frame(x):
        raise InputError(
            "missing = 'model' is for data frames, whose columns have kinds; give one, or missing = 'drop'"
        )
    return missing != MISSING[0]


def holds_words(x: Array | Frame) -> bool:
    """Whether rows are a data frame with other columns than numbers: text, dates, levels."""
    return is_frame(x) and any(
        getattr(kind, "kind", "O") not in "biuf" for kind in types_of(frame_of(x)).values()
    )


def settings_of(
    preset: str | None,
    settings: Mapping[str, Setting] | Config | None,
    max_iter: int | None,
    *,
    words: bool = False,
    missing: str | None = None,
) -> dict[str, Json]:
    """Changes to a preset, with as few rows held out as can be and at most so many iterations.

    Args:
        preset: named settings; those of tables by default.
        settings: what is asked for, as of :func:`jko.fit`.
        max_iter: the most iterations of a kind in every block; ``None`` leaves them as they are.
        words: whether columns have kinds where the settings do not say.
        missing: what becomes of rows with empty cells; ``None`` leaves it to the settings.

    Raises:
        InputError: ``max_iter`` is no number of iterations.
    """
    given = asked_settings(settings)
    if missing is not None:
        given = merged(given, {"data": {"missing": missing}})
    kinds = words or missing_of(given) == "model"
    asked = merged(merged(OWN, {"data": {"kinds": "auto"}} if kinds else {}), given)
    if max_iter is None:
        return asked
    if isinstance(max_iter, bool) or not isinstance(max_iter, Integral) or max_iter < 1:
        raise InputError(f"max_iter = {shortened(max_iter)} is not allowed; give 1 or more, or None")
    values, most = merged(read_preset(preset or TABLE), asked), int(max_iter)
    fallback = {name: getattr(Training(), name) for name in ITERATIONS}
    blocks = {k: _at_most(block, most) for k, block in (values.get("blocks") or {}).items()}
    training = _at_most({**fallback, **(values.get("training") or {})}, most)
    return merged(asked, {"training": training, "blocks": blocks})


def _at_most(section: Mapping[str, Json], most: int) -> dict[str, Json]:
    """The iterations that a section of the settings asks for, at most so many; none that it leaves out."""
    named = {name: section.get(name) for name in ITERATIONS}
    return {name: min(value, most) for name, value in named.items() if isinstance(value, int)}


def seed_of(random_state: RandomState) -> int:
    """A seed of jko for a random state of scikit-learn.

    Raises:
        ValueError: it is none.
    """
    from sklearn.utils import check_random_state

    if isinstance(random_state, Integral) and not isinstance(random_state, bool):
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
