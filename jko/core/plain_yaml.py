"""YAML that people write: values only, no tags, and nothing that grows while it is read."""

from __future__ import annotations

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from jko.core.plain import DEEPEST, Json, check_plain

#: letters that no settings of ours have
LONGEST = 200_000


def plain_yaml(text: str, longest: int = LONGEST) -> Json:
    """The value of a YAML text.

    Args:
        text: of a file.
        longest: letters at most.

    Raises:
        ValueError: it is no YAML or holds more than plain values; says what, as the end of a sentence.
    """
    if len(text) > longest:
        raise ValueError(f"it is longer than {longest} letters")
    try:
        _check_events(text)
        value: Json = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise ValueError(_first_words(error)) from None
    except (ArithmeticError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(_first_words(error)) from None
    check_plain(value)
    return value


def _check_events(text: str) -> None:
    """Refuse tags and deep nesting before any value is made."""
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        if getattr(event, "tag", None) is not None:
            raise ValueError("it has a tag (!), and only plain values are taken")
        name = type(event).__name__
        depth += name.endswith("StartEvent") - name.endswith("EndEvent")
        if depth > DEEPEST + 2:  # the stream and the document count
            raise ValueError(f"it is nested more than {DEEPEST} levels deep")


def _first_words(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
