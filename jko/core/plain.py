"""Values as YAML and JSON write them: plain, not deep, not many."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

#: what JSON and YAML can hold, to read; keys of YAML may be the numbers of blocks
Json: TypeAlias = (
    "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | Mapping[str | int, Json] | None"
)
#: levels and values that no settings of ours have
DEEPEST, MOST = 20, 100_000
#: letters of a value in a sentence
SHOWN = 120
#: characters that no name of a file or column can have: NUL and half characters
BROKEN = re.compile("[\x00\ud800-\udfff]")


def check_plain(value: object) -> None:
    """Refuse what is no tree of mappings, lists, texts and numbers of a reasonable size.

    An alias of YAML can make a short text an endless tree; it is followed here without recursion.

    Raises:
        ValueError: which says what is wrong, as the end of a sentence.
    """
    level: list[object] = [value]
    count = 0
    for _ in range(DEEPEST):
        count += len(level)
        if count > MOST:
            raise ValueError(f"it holds more than {MOST} values")
        level = [inner for own in level for inner in _inside(own)]
        if not level:
            return
    raise ValueError(f"it is nested more than {DEEPEST} levels deep")


def _inside(value: object) -> list[object]:
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str | int) or isinstance(key, bool):
                raise ValueError(f"the key {shortened(key)} is no word")
        return [*(key for key in value if isinstance(key, str)), *value.values()]
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, str) and BROKEN.search(value):
        raise ValueError(f"{shortened(value)} holds a character that no name can have")
    if value is not None and not isinstance(value, str | int | float | bool):
        raise ValueError(f"{shortened(value)} is no text and no number; a text has quotes round it")
    return []


def shortened(value: object) -> str:
    """A value as Python writes it, cut where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, a list that holds itself
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
