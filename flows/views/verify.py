"""The checks of a chain on disk, for people and for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jko.core.errors import InputError
from jko.disk.damage import well_formed
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest, stored_config
from tasks.adapters.store.lock import is_held

if TYPE_CHECKING:
    from tasks.verify import Check


def verified(layout: Layout) -> list[Check]:
    """Every check of :func:`tasks.verify.checks`.

    Raises:
        InputError: there is no chain, or a run is changing it just now.
    """
    config = stored_config(layout)
    if is_held(layout):
        raise InputError(f"{layout.chain}: a run works on this chain; verify it when it has ended")
    from tasks.verify import checks

    with well_formed(layout):
        return list(checks(config, layout, required_manifest(layout)))


def show_checks(layout: Layout, found: list[Check]) -> None:
    """Print the checks for people."""
    from tasks.adapters.system.screen import screen

    console = screen()
    for check in found:
        console.print(f"  {'✓' if check.holds else '✗'} {check.name}: {check.how}", soft_wrap=True)
    held = sum(check.holds for check in found)
    console.print(f"{layout.chain}: {held} of {len(found)} checks hold")
