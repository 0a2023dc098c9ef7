"""Numbers in formats that are not read: with a unit, an error, as fractions or ranges."""

from __future__ import annotations

import re

import pandas as pd

from jko.core.errors import InputError
from jko.preparation.names import shown
from tasks.datasets.numerals import NUMBER, TYPESET

#: a number with something before it or behind it: a currency, a unit, a bound
DRESSED = re.compile(
    r"(?P<before>\(|[^\w\s.,'+-]{1,2}|[+-]?[^\w\s.,'+-]|(?:EUR|USD|GBP|CHF|JPY|CNY)\b)?\s?"
    r"[+-]?(?:\d[\d.,' ]*|\.\d+)(?:[eE][+-]?\d+)?"
    r"\s?(?P<behind>[^\d\s.,'][^\d\s]{0,2})?"
)
ORDINAL = ("st", "nd", "rd", "th")
_NUMBER = r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?"
#: and numbers of other kinds
OTHER = re.compile(
    r"0[xX][0-9a-fA-F]+|[+-]?[\d.]+(?:[eE][+-]?\d+)?[+-][\d.]+(?:[eE][+-]?\d+)?[ij]|[+-]?[\d.]+[dD][+-]?\d+"
    r"|[+-]?\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d*)?"  # lakhs and crores
    r"|[+-]?\d{1,3}(?:_\d{3})+(?:\.\d*)?"  # as programs group them
    rf"|{_NUMBER}\s?(?:±|\+/-|\+-)\s?{_NUMBER}|{_NUMBER}\s?\(\d+\)"  # with an error
    rf"|(?:{_NUMBER}\s?[×*x]\s?)?10(?:\^|\*\*)[+-]?\d+"  # powers of ten
    r"|(?:\d+\s)?[+-]?\d+\s?[/⁄]\s?\d+"  # fractions
    rf"|(?!\d{{4}}-\d\d?$){_NUMBER}\s?(?:-|\.\.|to)\s?(?:\d+[.,]?\d*|[.,]\d+)"  # ranges, but no months
)
#: a number with a word behind it
WORDED = re.compile(rf"{_NUMBER}\s?(?P<word>[^\W\d_]{{4,}}(?:\s[^\W\d_]+)?)")
#: words that make a date of a number
MONTHS = re.compile(
    r"(?i:jan|feb|mar|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez|mär|fév|avr|aoû|déc|ene|abr|ago|dic)"
)
#: share of the cells that have a word behind their number, and different words at most
NEARLY_ALL, FEW_WORDS = 0.9, 4


def is_number(cell: str) -> bool:
    """Whether one cell is a number, however it is written.

    >>> [is_number(cell) for cell in ("1,234.5", "$5", "7 %", "x", "2025-01-31")]
    [True, True, True, False, False]
    """
    text = cell.translate(TYPESET).strip()
    return bool(NUMBER.fullmatch(text)) or bool(dress(text)) or bool(OTHER.fullmatch(text))


def dress(text: str) -> tuple[str, str] | None:
    """What stands before and behind a number; ``None`` for a bare number or other text."""
    found = DRESSED.fullmatch(text)
    if found is None:
        return None
    before, behind = found["before"] or "", found["behind"] or ""
    if behind.lower() in ORDINAL or not (before or behind):
        return None
    return before, behind


def refuse_dressed(cells: pd.Series, place: str) -> None:
    """Refuse a column of numbers in a format that is not read: with a unit, an error, as fractions or ranges.

    Args:
        cells: tidy, not empty ones.
        place: file and column, for the sentence.

    Raises:
        InputError: there are such numbers.
    """
    example = dressed(cells)
    if example:
        raise InputError(
            f"{place} holds numbers in a format that is not read, as {shown(example)}; write plain "
            "numbers, or "
            "leave the column out with data.columns"
        )


def dressed(cells: pd.Series) -> str:
    """A number in a format that is not read, if more than half of the cells are so, else an empty text.

    Args:
        cells: tidy, not empty ones; those that are plain numbers are counted with them.
    """
    words = cells.value_counts()
    plain, dresses = 0, dict[tuple[str, str], tuple[int, str]]()
    for word, count in words.items():
        text = str(word)
        own = ("", "number") if OTHER.fullmatch(text) else dress(text)
        if own is not None:
            known = dresses.get(own, (0, text))
            dresses[own] = (known[0] + int(count), known[1])
        elif NUMBER.fullmatch(text):
            plain += int(count)
    count, example = max(dresses.values(), default=(0, ""))
    if not (count and 2 * plain <= len(cells) < 2 * (count + plain)):  # of most numbers the others are named
        return _worded(words)
    return example


def _worded(words: pd.Series) -> str:
    """An example of numbers with a word behind them, if nearly all cells are so, of few words and no dates.

    Args:
        words: distinct cells to how often each occurs.
    """
    found = {str(word): WORDED.fullmatch(str(word)) for word in words.index}
    right = {word: one["word"] for word, one in found.items() if one and not MONTHS.match(one["word"])}
    many = int(words[list(right)].sum())
    if many < NEARLY_ALL * words.sum() or len(set(right.values())) > FEW_WORDS:
        return ""
    return next(iter(right), "")
