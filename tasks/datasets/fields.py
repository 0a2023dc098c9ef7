"""How the fields of a line of text are told apart: separator and quotes."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from jko.config.data_section import Data
from jko.core.errors import InputError
from tasks.datasets.formats import is_number

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " "}
#: records that are looked at
RECORDS = 1000
#: lines in which quotes are looked for, and fields in apostrophes
QUOTED_LINES = 1000
APOSTROPHES = re.compile(r"(?:(?<=[,;\t|])|^)[ ]*'[^'\n]*'[ ]*(?=[,;\t|]|$)", re.MULTILINE)


@dataclass(frozen=True)
class Reader:
    """Reads fields.

    Args:
        path: of the file, for sentences.
        quote: the mark around fields.
    """

    path: Path
    quote: str

    def records(self, text: str, separator: str) -> tuple[list[list[str]], list[int]]:
        """The first records that are not blank, and the number of lines before each."""
        records, starts, before = [], [], 0
        if separator == " ":
            reader = ([*line.split()] for line in text.split("\n"))
            pairs = ((record, number) for number, record in enumerate(reader, start=1))
        else:
            lines = csv.reader(
                io.StringIO(text), delimiter=separator, quotechar=self.quote, skipinitialspace=True
            )
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
            raise InputError(f"{self.path}: not a readable CSV table ({error})") from None
        return records, starts


def quote_of(text: str) -> str:
    """The mark around fields: an apostrophe where all of them stand around fields and nothing else does."""
    lines = "\n".join(text.split("\n", QUOTED_LINES)[:QUOTED_LINES])
    if '"' in text or "'" not in lines:
        return '"'
    return "'" if lines.count("'") == 2 * len(APOSTROPHES.findall(lines)) else '"'


def separator_of(text: str, settings: Data, read: Reader, *, tabs: bool) -> str:
    """The separator by which every line has as many fields, and most fields are numbers.

    Args:
        text: the first lines.
        settings: data.separator.
        read: reads fields.
        tabs: whether the file's name says that there are tabs.
    """
    if settings.separator != "auto":
        return SEPARATORS[settings.separator]
    if tabs and "\t" in text.partition("\n")[0]:
        return "\t"
    found = []
    for mark in ",;\t|":
        try:
            records = read.records(text, mark)[0]
        except InputError:
            continue
        widths = [len(record) for record in records]
        usual = max(set(widths), key=widths.count, default=0)
        if usual > 1:
            cells = [cell for record in records[1:100] for cell in record]
            numbers = sum(map(is_number, cells)) / max(len(cells), 1)
            alike = widths.count(usual) / len(widths)
            found.append((alike == 1, numbers if alike == 1 else alike, mark))
    if not found and _in_spaces(text, read):
        return " "
    best = max(found, key=lambda one: one[:2], default=(True, 1.0, ","))
    return best[2] if best[0] or best[1] > 0.5 else ","


def _in_spaces(text: str, read: Reader) -> bool:
    """Whether spaces separate names and, below each, numbers: nothing else is as sure."""
    records = read.records(text, " ")[0]
    width = len(records[0]) if records else 0
    if width < 2 or len(records) < 2 or any(map(is_number, records[0])):
        return False
    cells = [cell for record in records[1:] for cell in record]
    return {len(record) for record in records} == {width} and 2 * sum(map(is_number, cells)) > len(cells)
