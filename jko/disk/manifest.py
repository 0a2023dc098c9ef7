"""``chain.json``: the settings of a chain, its data and its blocks, checked against each other when read."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from jko.config import NUMERICS, Config, parse_config
from jko.core.errors import InputError
from jko.core.records import Count, Record
from jko.disk.damage import way_back
from jko.disk.identity import fingerprints
from jko.disk.layout import Layout
from jko.disk.sealed import SEAL, model_of, read_json, read_sealed, write_sealed

FORMAT = 1
#: of chains that were made before there was a defence: their law stays what it was
WITHOUT_DEFENCE: dict[str, JsonValue] = {"share": 0.0}
#: and of those that were made before columns had kinds
WITHOUT_KINDS: dict[str, JsonValue] = {"kinds": "off"}
#: what it holds, and held before it had a seal
HELD = {"format", "config", "data_digest", "fingerprints"}


class Manifest(Record):
    """``chain.json``.

    Args:
        format: of the chain's folder.
        numerics: version of what training computes; chains of early versions do not say it.
        config: the settings, nested.
        data_digest: identity of the prepared data.
        fingerprints: of blocks 0..N.
    """

    format: Count
    numerics: Count | None = None
    config: dict[str, JsonValue]
    data_digest: str
    fingerprints: tuple[str, ...]


def read_manifest(layout: Layout) -> Manifest | None:
    """``chain.json``, or ``None`` if there is no chain.

    Raises:
        InputError: it is a chain of another format, or is not what was written.
    """
    found = known_manifest(layout)
    if found is None and (layout.manifest.exists() or layout.manifest.is_symlink()):
        raise InputError(
            f"{layout.manifest}: this file is damaged or was changed by hand; {way_back(layout)}, "
            "which writes it again, or give the command that made the chain"
        )
    return found


def required_manifest(layout: Layout) -> Manifest:
    """``chain.json`` of an existing chain.

    Raises:
        InputError: there is no chain there, or its ``chain.json`` is damaged.
    """
    manifest = read_manifest(layout)
    if manifest is not None:
        return manifest
    if not _has_blocks(layout):
        raise InputError(f"{layout.chain}: no chain there (a chain folder holds a chain.json)")
    raise InputError(
        f"{layout.manifest}: this file is missing, and the chain's blocks are there; {_way_back(layout)}"
    )


def known_manifest(layout: Layout) -> Manifest | None:
    """``chain.json`` if it is whole, else ``None``.

    Raises:
        InputError: it is a chain of another format.
    """
    return _known(layout.manifest)


def known_fingerprints(layout: Layout) -> tuple[str, ...]:
    """Fingerprints of blocks 0..N, as far as ``chain.json`` is whole; else none."""
    found = known_manifest(layout)
    return () if found is None else found.fingerprints


def _known(path: Path) -> Manifest | None:
    values = read_json(path)
    if not isinstance(values, dict):
        return None
    sealed = SEAL in values
    whole = read_sealed(path, Record) if sealed else model_of(Record, values)
    other = FORMAT if whole is None else (whole.model_extra or {}).get("format", FORMAT)
    if other != FORMAT:
        raise InputError(f"{path}: this is a chain of format {other}; this version reads format {FORMAT}")
    if whole is None or (not sealed and values.keys() != HELD):
        return None
    found = model_of(Manifest, whole.plain())
    if found is None or not _follows(found):
        return None
    data = found.config.get("data")
    older: dict[str, JsonValue] = {"defence": dict(WITHOUT_DEFENCE), **found.config}
    if isinstance(data, dict):
        older["data"] = {**WITHOUT_KINDS, **data}
    return found.model_copy(update={"config": older})


def _follows(found: Manifest) -> bool:
    """Whether the fingerprints are those of the settings and the data; a stop rule may end them early."""
    try:
        expected = fingerprints(parse_config(found.config), found.data_digest, found.numerics)
    except (InputError, TypeError, ValueError):
        return False
    return len(found.fingerprints) > 0 and expected[: len(found.fingerprints)] == found.fingerprints


def stored_config(layout: Layout) -> Config:
    """The settings of an existing chain.

    Raises:
        InputError: there is no chain there, or its ``chain.json`` is damaged.
    """
    return parse_config(required_manifest(layout).config, where=str(layout.manifest))


def resumed_config(layout: Layout) -> Config:
    """The settings to go on with: those of ``chain.json``, else of its copy in the run folder.

    Raises:
        InputError: there is no chain there, or neither can be used.
    """
    if known_manifest(layout) is None:
        copy = _known(_copy(layout))
        if copy is not None and _has_blocks(layout):
            return parse_config(copy.config, where=str(_copy(layout)))
        if layout.manifest.exists():
            raise InputError(f"{layout.manifest}: this file is damaged; {_way_back(layout)}")
    return stored_config(layout)


def restore_manifest(layout: Layout) -> None:
    """Write ``chain.json`` again where it is lost or damaged, and blocks and a copy of it are there."""
    if known_manifest(layout) is None and _has_blocks(layout):
        copy = _known(_copy(layout))
        if copy is not None:
            keep_manifest(layout, parse_config(copy.config), copy.data_digest, copy.fingerprints)


def keep_manifest(layout: Layout, config: Config, data_digest: str, chain: tuple[str, ...]) -> None:
    """Write ``chain.json``, and a copy beside the chain for the day that it is lost."""
    values = Manifest(
        format=FORMAT,
        numerics=NUMERICS,
        config=config.model_dump(mode="json"),
        data_digest=data_digest,
        fingerprints=chain,
    )
    for path in (layout.manifest, _copy(layout)):
        write_sealed(path, values, identity=chain[-1])


def _copy(layout: Layout) -> Path:
    return layout.run / "manifest.json"


def _has_blocks(layout: Layout) -> bool:
    return any((layout.chain / "blocks").glob("[0-9]*-*"))


def _way_back(layout: Layout) -> str:
    """The command that makes ``chain.json`` again."""
    if _known(_copy(layout)) is not None:
        return f"{way_back(layout)}, which writes it again"
    return "give the command that made the chain again (jko train … --chain), which keeps its blocks"
