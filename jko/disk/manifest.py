"""``chain.json``: the settings of a chain, its data and its blocks, checked against each other when read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jko.config import NUMERICS, Config, parse_config
from jko.core.errors import InputError
from jko.core.records import Record
from jko.disk.identity import fingerprints
from jko.disk.layout import Layout
from jko.disk.sealed import SEAL, read_json, read_sealed, write_sealed

FORMAT = 1
#: of chains that were made before there was a defence: their law stays what it was
WITHOUT_DEFENCE = {"share": 0.0}
#: what it holds, and held before it had a seal
HELD = {"format", "config", "data_digest", "fingerprints"}


def read_manifest(layout: Layout) -> dict[str, Any] | None:
    """``chain.json``, or ``None`` if there is no chain.

    Raises:
        InputError: it is a chain of another format, or is not what was written.
    """
    found = known_manifest(layout)
    if found is None and (layout.manifest.exists() or layout.manifest.is_symlink()):
        raise InputError(
            f"{layout.manifest}: this file is damaged or was changed by hand; jko resume {layout.chain} "
            "writes it again, or the command that made the chain does"
        )
    return found


def known_manifest(layout: Layout) -> dict[str, Any] | None:
    """``chain.json`` if it is whole, else ``None``.

    Raises:
        InputError: it is a chain of another format.
    """
    return _known(layout.manifest)


def _known(path: Path) -> dict[str, Any] | None:
    values = read_json(path)
    if not isinstance(values, dict):
        return None
    sealed = read_sealed(path, Record) if SEAL in values else None
    whole = (None if sealed is None else sealed.model_dump()) if SEAL in values else values
    other = (whole or {}).get("format", FORMAT)
    if other != FORMAT:
        raise InputError(f"{path}: this is a chain of format {other}; this version reads format {FORMAT}")
    if whole is None or (SEAL not in values and values.keys() != HELD):
        return None
    if not _follows(whole):
        return None
    whole["config"].setdefault("defence", dict(WITHOUT_DEFENCE))
    return whole


def _follows(values: dict[str, Any]) -> bool:
    """Whether the fingerprints are those of the settings and the data; a stop rule may end them early."""
    if not values.keys() >= HELD or not isinstance(values["config"], dict):
        return False
    numerics, found = values.get("numerics"), values["fingerprints"]
    try:
        expected = fingerprints(parse_config(values["config"]), values["data_digest"], numerics)
    except (InputError, TypeError, ValueError):
        return False
    return isinstance(found, list) and len(found) > 0 and list(expected[: len(found)]) == found


def stored_config(layout: Layout) -> Config:
    """The settings of an existing chain.

    Raises:
        InputError: there is no chain there, or its ``chain.json`` is damaged.
    """
    manifest = read_manifest(layout)
    if manifest is not None:
        return parse_config(manifest["config"], where=str(layout.manifest))
    if not _has_blocks(layout):
        raise InputError(f"{layout.chain}: no chain there (a chain folder holds a chain.json)")
    raise InputError(
        f"{layout.manifest}: this file is missing, and the chain's blocks are there; {_way_back(layout)}"
    )


def resumed_config(layout: Layout) -> Config:
    """The settings to go on with: those of ``chain.json``, else of its copy in the run folder.

    Raises:
        InputError: there is no chain there, or neither can be used.
    """
    if known_manifest(layout) is None:
        copy = _known(_copy(layout))
        if copy is not None and _has_blocks(layout):
            return parse_config(copy["config"], where=str(_copy(layout)))
        if layout.manifest.exists():
            raise InputError(f"{layout.manifest}: this file is damaged; {_way_back(layout)}")
    return stored_config(layout)


def restore_manifest(layout: Layout) -> None:
    """Write ``chain.json`` again where it is lost or damaged, and blocks and a copy of it are there."""
    if known_manifest(layout) is None and _has_blocks(layout):
        copy = _known(_copy(layout))
        if copy is not None:
            keep_manifest(
                layout, parse_config(copy["config"]), copy["data_digest"], tuple(copy["fingerprints"])
            )


def keep_manifest(layout: Layout, config: Config, data_digest: str, chain: tuple[str, ...]) -> None:
    """Write ``chain.json``, and a copy beside the chain for the day that it is lost."""
    values = {
        "format": FORMAT,
        "numerics": NUMERICS,
        "config": config.model_dump(mode="json"),
        "data_digest": data_digest,
        "fingerprints": list(chain),
    }
    for path in (layout.manifest, _copy(layout)):
        write_sealed(path, values, identity=chain[-1])


def _copy(layout: Layout) -> Path:
    return layout.run / "manifest.json"


def _has_blocks(layout: Layout) -> bool:
    return any((layout.chain / "blocks").glob("[0-9]*-*"))


def _way_back(layout: Layout) -> str:
    """The command that makes ``chain.json`` again."""
    if _known(_copy(layout)) is not None:
        return f"jko resume {layout.chain} writes it again"
    return "give the command that made the chain again (jko train … --chain), which keeps its blocks"
