"""Whether the first line of a table of text holds names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.preparation.names import shown
from tasks.datasets.fields import Reader
from tasks.datasets.formats import is_number
from tasks.datasets.numerals import INTEGER

#: what an empty cell is written as (pandas knows more)
EMPTY = frozenset(("", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "<na>"))
#: a table whose columns are all integers needs so many for 0, 1, 2, … above them to be names
SURE_RANGE = 5


def named_in(comments: Sequence[str], separator: str, first: list[str], read: Reader) -> list[str]:
    """Names in the last line of comment, as numpy writes them, above a row of numbers."""
    if not comments or not all(map(is_number, first)):
        return []
    records, _ = read.records(comments[-1].lstrip("# "), separator)
    names = records[0] if records else []
    return names if len(names) == len(first) and not any(map(is_number, names)) else []


def is_header(first: list[str], body: list[list[str]], settings: Data, path: Path) -> bool:
    """Whether the first line holds names: something else stands there than in the columns below.

    Raises:
        InputError: it may be names or a row.
    """
    if settings.header != "auto":
        return settings.header == "yes"
    context = settings.context if isinstance(settings.context, tuple) else ()
    wanted = {*(settings.columns or ()), *context}
    if wanted and wanted <= set(first):
        return True
    alike, other, numeric = 0, 0, 0
    whole = True  # whether all columns of numbers are of integers
    for i, cell in enumerate(first):
        below = [record[i] for record in body if i < len(record) and not _is_empty(record[i])]
        numbers = [one for one in below if is_number(one)]
        if 2 * len(numbers) <= len(below) or _is_empty(cell):
            continue
        numeric += 1
        integers = any(INTEGER.fullmatch(one.strip()) for one in numbers)
        whole = whole and integers
        other += not is_number(cell)
        alike += is_number(cell) and (integers or not INTEGER.fullmatch(cell.strip()))
    if numeric == 0 or (other and not alike):
        return True
    if _is_range(first) and (not alike or not first[0].strip() or (whole and len(first) >= SURE_RANGE)):
        return True
    raise InputError(
        f"{path}: the first line ({shown(', '.join(first))}) may be a header or a row of numbers; "
        "data.header=yes takes it for names, data.header=no for a row"
    )


def _is_empty(cell: str) -> bool:
    return cell.strip().lower() in EMPTY


def _is_range(first: list[str]) -> bool:
    """0, 1, 2, … as pandas names columns, with nothing above an index."""
    names = first[1:] if first and not first[0].strip() else first
    return bool(names) and [name.strip() for name in names] == [str(i) for i in range(len(names))]
