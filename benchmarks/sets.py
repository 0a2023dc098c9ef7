"""The sets of the benchmark by name: those that are reported, and others on which settings are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jko.core.errors import InputError

#: CPU seconds of a cell, where a set does not say otherwise
SECONDS = 120
#: of the tables that joined the first four, so that the whole stays below nine hours
SHORT = 40
#: of a picture, twenty minutes of one core for every method
LONG = 1200
#: kinds for which settings are chosen apart from each other
GROUPS = ("picture", "plane", "table", "small table")


@dataclass(frozen=True)
class Set:
    """A set of rows, or a law that rows are drawn from.

    Args:
        name: of the set.
        kind: ``picture``, ``plane`` or ``table``.
        source: ``law``, ``bundled`` (with scikit-learn), ``generator`` or ``file``.
        reported: whether its test rows enter the tables; else settings are chosen on its validation rows.
        seconds: CPU seconds of a cell.
        small: whether a table has few rows; settings of such are chosen apart.
        file: its name in the folder of the user's data.
        columns: of the file that are taken; all by default.
        places: the same, of a file without names.
    """

    name: str
    kind: str
    source: str
    reported: bool = True
    seconds: int = SECONDS
    small: bool = False
    file: str | None = None
    columns: tuple[str, ...] | None = None
    places: tuple[int, ...] | None = None

    @property
    def group(self) -> str:
        """The kind for which settings are chosen, one of :data:`GROUPS`."""
        return "small table" if self.small else self.kind


HTRU2_COLUMNS = (
    "Mean_IP", "Standard_Dev_IP", "E_Kurtosis_IP", "Skewness_IP",
    "Mean_SNR", "Standard_Dev_SNR", "E_Kurtosis_SNR", "Skewness_SNR",
)  # fmt: skip
#: energy's last column is hardly more than the one before it, and its fourth is determined by two others
ENERGY_PLACES = (0, 1, 2, 4, 5, 6, 7, 8)


def _table(name: str, source: str, file: str | None = None, **more: object) -> Set:
    return Set(name, "table", source, file=file, **more)  # type: ignore[arg-type]


_ALL = (
    Set("rose", "picture", "file", seconds=LONG, file="rose.png"),
    *(
        Set(name, "plane", "law")
        for name in ("moons", "eight_gaussians", "checkerboard", "pinwheel", "swiss_roll")
    ),
    _table("htru2", "file", "htru2.csv", columns=HTRU2_COLUMNS),
    _table("california_housing", "file", "california_housing.csv"),
    _table("breast_cancer", "bundled", small=True),
    _table("digits", "bundled", small=True),
    *(
        _table(name, "generator", small=True, seconds=SHORT)
        for name in ("orders", "heavy_tailed", "capped", "wide")
    ),
    _table("power_plant", "file", "power_plant.txt", seconds=SHORT),
    _table("magic", "file", "22_magic.gamma.npz", seconds=SHORT),
    _table("satellite", "file", "30_satellite.npz", seconds=SHORT),
    # on these settings are chosen
    Set("built_in_rose", "picture", "law", reported=False, seconds=LONG),
    Set("two_spirals", "plane", "law", reported=False),
    Set("bars", "plane", "law", reported=False),
    _table("kin8nm", "file", "kin8nm.txt", reported=False),
    _table("readings", "generator", reported=False),
    _table("wine", "bundled", small=True, reported=False),
    _table("diabetes", "bundled", small=True, reported=False),
    _table("concrete", "file", "concrete.txt", small=True, reported=False),
    _table("energy", "file", "energy.txt", small=True, reported=False, places=ENERGY_PLACES),
    _table("wine_red", "file", "wine_red.txt", small=True, reported=False),
)
SETS: Mapping[str, Set] = {one.name: one for one in _ALL}


def names(kind: str, *, reported: bool = True) -> tuple[str, ...]:
    """Names of the sets of a kind that are reported, or of those on which settings are chosen."""
    return tuple(one.name for one in SETS.values() if one.kind == kind and one.reported is reported)


def tuning_sets(group: str) -> tuple[Set, ...]:
    """The sets on whose validation rows a group's settings are chosen."""
    return tuple(one for one in SETS.values() if one.group == group and not one.reported)


def file_of(name: str, data: Path | None) -> Path | None:
    """The file that a set is read from; ``None`` for a set that needs none.

    Args:
        name: of a set, or a path.
        data: folder of the files that do not come with the project.

    Raises:
        InputError: it needs one that is not there.
    """
    known = SETS.get(name)
    if known is not None and known.file is None:
        return None
    if known is None:
        if not (Path(name).suffix or Path(name).exists()):
            return None
        path = Path(name)
    elif data is None:
        raise InputError(f"{name} needs the file {known.file}: name its folder with --data FOLDER")
    else:
        path = data / str(known.file)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return path
