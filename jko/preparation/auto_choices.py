"""What ``auto`` stands for in the preparation of data: the start map and the copies of few rows.

Both are chosen on validation rows, by one block that is trained for seconds on some of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from jko.config import Config, parse_config
from jko.config.data_section import AUTO_COPIES, FEW_ROWS, STARTS
from jko.core.display import with_error
from jko.core.errors import NumericalError
from jko.core.rows import at_most
from jko.maps.conditionals import Conditionals
from jko.preparation.kinds import KindTable
from jko.preparation.prepare import Prepared, cell_lines, parts_of, prepare
from jko.preparation.table import Array, Table
from jko.statistics.robust import robust
from jko.training.trial import trial_log_density

#: parts of a trial's iterations in the rounds; who is behind by so many standard errors is out. Whether
#: copies help is seen late, when rows begin to be learned by heart, so there is one round of it
START_ROUNDS, COPIES_ROUNDS, SURE = (0.25, 1.0), (1.0,), 4.0
#: rows of a trial: as many training rows as a table has where copies are tried, and enough validation rows
#: for differences of some hundredths of a nat
TRAIN_ROWS, VALIDATION_ROWS = int(0.8 * FEW_ROWS), 1000
Key = TypeVar("Key", str, int)


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Args:
        config: the settings with nothing left open.
        notes: what was tried, and the validation NLL of each, in sentences.
    """

    config: Config
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Tried(Generic[Key]):
    """What the rounds of a choice found.

    Args:
        best: the key of what was chosen.
        values: log-densities of the validation rows under it, after its last round, nats.
        behind: of every other, how far it was behind in the last round that it was in, row by row, nats;
            not finite where it came to no density.
    """

    best: Key
    values: Array
    behind: Mapping[Key, Array]


def choose(table: Table, config: Config) -> Choice:
    """Settings with a start and a number of copies in the place of ``auto``.

    Args:
        table: all rows; test rows are not looked at.
        config: the settings.
    """
    usable = tuple(name for name in STARTS if name != Conditionals.kind or any(cell_lines(table)))
    starts = usable if config.data.standardise == "auto" else (config.data.standardise,)
    counts = _counts(len(table.rows), config)
    if len(starts) == len(counts) == 1:
        return Choice(_settled(config, starts[0], counts[0]))
    trials = _Trials(table, config)
    notes, start, copies = [], starts[0], counts[0]
    if len(starts) > 1:
        tried = _rounds(starts, START_ROUNDS, lambda name, part: trials(name, copies, part))
        start = tried.best
        said = _listed(tried, str)
        notes.append(f"start {start}, chosen by short trials on validation rows: {said}")
    if len(counts) > 1:
        counted = _rounds(counts, COPIES_ROUNDS, lambda count, part: trials(start, count, part))
        copies = counted.best
        said = _listed(counted, _words)
        how = "chosen in the same way" if notes else "chosen by short trials on validation rows"
        notes.append(f"training rows {_words(copies)}, {how}: {said}")
    return Choice(_settled(config, start, copies), tuple(notes))


class _Trials:
    """Trials of one table; each is done once.

    Args:
        table: all rows.
        config: the settings.
    """

    def __init__(self, table: Table, config: Config) -> None:
        self.table, self.config = table, config
        parts = parts_of(table, config)
        train, held = at_most(parts["train"], TRAIN_ROWS), at_most(parts["validation"], VALIDATION_ROWS)
        # the rows of the test stay closed
        self.parts: dict[str, NDArray[np.int64]] = {"train": train, "validation": held, "test": held}
        self._prepared: dict[tuple[str, int], Prepared] = {}
        self._found: dict[tuple[str, int, float], Array] = {}

    def __call__(self, start: str, copies: int, part: float) -> Array:
        """Log-densities of the validation rows, nats, data units; −∞ where the trial came to no end."""
        key = (start, copies, part)
        if key not in self._found:
            self._found[key] = self._run(_settled(self.config, start, copies), part)
        return self._found[key]

    def _run(self, config: Config, part: float) -> Array:
        key = (config.data.standardise, config.data.augment.copies_of(1))
        if key not in self._prepared:
            self._prepared[key] = prepare(self.table, config, self.parts)
        prepared = self._prepared[key]
        rows = {name: torch.from_numpy(prepared.arrays[name]) for name in ("train", "validation")}
        try:
            found = trial_log_density(config, rows, len(self.table.columns), part=part).numpy()
        except NumericalError:
            return np.full(len(rows["validation"]), -np.inf)
        found = found + prepared.log_det(prepared.arrays["validation"])
        if not isinstance(self.table, KindTable):
            return found
        return found + self.table.schema.log_det(self.table.rows[self.parts["validation"]])


def _rounds(keys: Sequence[Key], parts: Sequence[float], run: Callable[[Key, float], Array]) -> _Tried[Key]:
    """Rounds of trials, each of those that were not surely behind in the one before.

    Args:
        keys: what there is to choose from; the first of equal ones is taken.
        parts: of a trial's iterations, one for every round.
        run: log-densities of the validation rows by key and part.
    """
    left, behind = list(keys), dict[Key, Array]()
    for part in parts:
        found = {key: run(key, part) for key in left}
        best = _best(found)
        behind |= {key: found[best] - values for key, values in found.items()}
        left = [key for key in left if key == best or not _surely(behind[key])]
        if len(left) == 1:
            break
    return _Tried(best, found[best], {key: behind[key] for key in keys if key != best})


def _surely(behind: Array) -> bool:
    """Whether a trial is surely behind; means over rows that no single one decides."""
    if not np.isfinite(behind).all():
        return True
    apart = robust(behind)
    return apart.trimmed > SURE * apart.trimmed_se


def _words(copies: int) -> str:
    return f"with {copies} copies each" if copies > 1 else "without copies"


def _counts(rows: int, config: Config) -> tuple[int, ...]:
    copies = config.data.augment.copies
    if copies != "auto":
        return (copies,)
    return (1, AUTO_COPIES) if rows < FEW_ROWS else (1,)


def _settled(config: Config, start: str, copies: int) -> Config:
    values = config.model_dump(mode="json")
    values["data"]["standardise"] = start
    values["data"]["augment"]["copies"] = copies
    return parse_config(values)


def _best(found: Mapping[Key, Array]) -> Key:
    """The entry with the largest trimmed mean, which no single row decides; the first of equal ones."""
    return max(found, key=lambda name: _middle(found[name]))


def _middle(values: Array) -> float:
    return robust(values).trimmed if np.isfinite(values).all() else -math.inf


def _listed(tried: _Tried[Key], words: Callable[[Key], str]) -> str:
    """NLL of the best, and how much worse the others are on the same rows, each with its standard error."""
    said = [f"NLL {with_error(-tried.values.mean(), _error(tried.values), '.4g', '.2g')} nats"]
    for name, apart in tried.behind.items():
        if np.isfinite(apart).all():
            said.append(f"{words(name)} {with_error(apart.mean(), _error(apart), '+.2g', '.2g')}")
        else:
            said.append(f"{words(name)} came to no finite density")
    return ", ".join(said)


def _error(values: Array) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values)))
