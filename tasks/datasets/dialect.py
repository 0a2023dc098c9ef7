"""How a CSV is written: encoding, separator, and whether its first line holds names."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.preparation.names import check_names, shown
from tasks.datasets.formats import is_number
from tasks.datasets.numerals import INTEGER

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " "}
#: bytes that are looked at, and records
HEAD, RECORDS = 1 << 20, 1000
#: bytes searched at a time
PIECE = 1 << 24
BEGINNINGS = {
    b"version https://git-lfs.github.com": "a Git LFS pointer in place of the data; run git lfs pull",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet; save it as CSV",
    b"\x1f\x8b": "compressed by gzip; unpack it",
    b"PAR1": "a Parquet file; save it as CSV",
    b"\x93NUMPY": "an NPY array; name it .npy",
    b"\x89HDF": "an HDF5 file; save its table as CSV or NPY",
}
#: what an empty cell is written as (pandas knows more)
EMPTY = frozenset(("", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "<na>"))
#: a table whose columns are all integers needs so many for 0, 1, 2, … above them to be names
SURE_RANGE = 5


@dataclass(frozen=True)
class Dialect:
    """How a CSV is written.

    Args:
        encoding: of its text.
        separator: of its fields; a space stands for any number of them.
        skip: lines before the first row.
        names: of the columns.
        notes: sentences for the user.
    """

    encoding: str
    separator: str
    skip: int
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def refuse_other_kinds(path: Path) -> None:
    """Refuse a file that is plainly something else than its name says.

    Raises:
        InputError: a Git LFS pointer, an archive, a spreadsheet.
    """
    with path.open("rb") as stream:
        start = stream.read(64)
    for beginning, kind in BEGINNINGS.items():
        if start.startswith(beginning) and not (path.suffix.lower() == ".npy" and beginning == b"\x93NUMPY"):
            raise InputError(f"{path}: this is {kind}")


def find_dialect(path: Path, settings: Data) -> Dialect:
    """Look at the beginning of a CSV.

    Raises:
        InputError: no text, names that are refused, or a first line that may be names or a row.
    """
    encoding = _encoding(path)
    text, notes = _head(path, encoding), []
    comments = _comments(text)
    separator = _declared(text) or _separator(_without(text, len(comments)), settings, path)
    records, starts = _records(_without(text, len(comments)), separator, path)
    if not records:
        raise InputError(f"{path}: the table has no rows")
    first, body = records[0], records[1:]
    commented = _named_in(comments, separator, first, path)
    if commented:
        names, skip = commented, len(comments)
    elif _is_header(first, body, settings, path):
        names, skip = first, len(comments) + starts[0] + 1
    else:
        names, skip = [f"x{i}" for i in range(len(first))], len(comments) + starts[0]
    if comments:
        notes.append(f"left out, lines of comment at the beginning: {len(comments)}")
    if separator == " ":
        names = [name for name in names if name]
    names = [name or f"Unnamed: {i}" for i, name in enumerate(names)]
    check_names(names, path)
    return Dialect(encoding, separator, skip, tuple(names), tuple(notes))


def _encoding(path: Path) -> str:
    """UTF-8, or what a byte order mark says; other bytes than text are refused."""
    with path.open("rb") as stream:
        start = stream.read(4)
        if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return "utf-16"
        stream.seek(0)
        while piece := stream.read(PIECE):
            if b"\0" in piece:
                raise InputError(f"{path}: not a readable CSV table (it holds NUL bytes; is it text?)")
    return "utf-8-sig" if start.startswith(b"\xef\xbb\xbf") else "utf-8"


def _head(path: Path, encoding: str) -> str:
    """The first lines, whole ones."""
    with path.open("rb") as stream:
        raw = stream.read(HEAD)
        more = bool(stream.read(1))
    try:
        text = raw.decode(encoding, errors="ignore" if more else "strict")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not a readable CSV table (byte {error.start} is no {encoding.upper()}); save it "
            "as UTF-8"
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not more:
        return text
    if "\n" not in text:
        raise InputError(f"{path}: the first line has more than {HEAD} bytes; is it a table of lines?")
    return text[: text.rindex("\n") + 1]


def _comments(text: str) -> list[str]:
    """Leading lines that begin with #."""
    found = []
    for line in text.split("\n"):
        if not line.startswith("#"):
            break
        found.append(line)
    return found


def _without(text: str, lines: int) -> str:
    return "".join(text.split("\n", lines)[lines:]) if lines else text


def _declared(text: str) -> str | None:
    """The separator that a first line ``sep=;`` names, as spreadsheets write it."""
    found = re.match(r"sep=([,;\t|])\n", text)
    return found[1] if found else None


def _records(text: str, separator: str, path: Path) -> tuple[list[list[str]], list[int]]:
    """The first records that are not blank, and the number of lines before each."""
    records, starts, before = [], [], 0
    if separator == " ":
        reader = ([*line.split()] for line in text.split("\n"))
        pairs = ((record, number) for number, record in enumerate(reader, start=1))
    else:
        lines = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
        pairs = ((record, lines.line_num) for record in lines)
    try:
        for record, number in pairs:
            if record and not re.fullmatch(r"sep=[,;\t|]?", separator.join(record).strip()):
                records.append(record)
                starts.append(before)
            before = number
            if len(records) > RECORDS:
                break
    except csv.Error as error:
        raise InputError(f"{path}: not a readable CSV table ({error})") from None
    return records, starts


def _separator(text: str, settings: Data, path: Path) -> str:
    """The separator by which every line has as many fields, and most fields are numbers."""
    if settings.separator != "auto":
        return SEPARATORS[settings.separator]
    found = []
    for mark in ",;\t|":
        try:
            records = _records(text, mark, path)[0]
        except InputError:
            continue
        widths = [len(record) for record in records]
        usual = max(set(widths), key=widths.count, default=0)
        if usual > 1:
            cells = [cell for record in records[1:100] for cell in record]
            numbers = sum(map(is_number, cells)) / max(len(cells), 1)
            alike = widths.count(usual) / len(widths)
            found.append((alike == 1, numbers if alike == 1 else alike, mark))
    best = max(found, key=lambda one: one[:2], default=(True, 1.0, ","))
    return best[2] if best[0] or best[1] > 0.5 else ","


def _named_in(comments: Sequence[str], separator: str, first: list[str], path: Path) -> list[str]:
    """Names in the last line of comment, as numpy writes them, above a row of numbers."""
    if not comments or not all(map(is_number, first)):
        return []
    records, _ = _records(comments[-1].lstrip("# "), separator, path)
    names = records[0] if records else []
    return names if len(names) == len(first) and not any(map(is_number, names)) else []


def _is_header(first: list[str], body: list[list[str]], settings: Data, path: Path) -> bool:
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
