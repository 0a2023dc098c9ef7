"""The certificate of a chain on disk: read, or made where it is missing or of other blocks."""

from __future__ import annotations

from contextlib import nullcontext, suppress

from jko.certify.records import Certificate
from jko.config import Config
from jko.core.errors import ChainInUseError, InputError
from jko.disk.commit import SAMPLES
from jko.disk.damage import damaged_in
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest, stored_config
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.lock import chain_lock
from tasks.certify import certificate, keep_certificate
from tasks.headline import stored_certificate


def certificate_of(layout: Layout, pairing: str | None = None) -> Certificate:
    """What the committed blocks of a chain guarantee, also of an unfinished chain.

    It is stored beside the chain if the chain is complete and no other process works on it.

    Args:
        layout: the chain.
        pairing: of ε, other than the chain's own setting.

    Raises:
        InputError: no chain there, a block of it is damaged, or none is committed.
        ChainInUseError: samples were dropped, and another process works on the chain.
    """
    config = stored_config(layout)
    if pairing is not None:
        config = _with_pairing(config, pairing)
    planned = required_manifest(layout).fingerprints
    chain = committed(layout, planned)
    if len(chain) < 2:
        raise InputError(f"{layout.chain}: no block is committed yet; run jko resume {layout.chain}")
    known = stored_certificate(ChainStore(config, layout, chain))
    if known is not None:
        return known
    dropped = any(not (layout.block(k, own) / SAMPLES).exists() for k, own in enumerate(chain))
    # samples that were dropped are pushed again, which only one process may do at a time
    with chain_lock(layout, "jko certify") if dropped else nullcontext():
        found = certificate(ChainStore(config, layout, chain))
    if chain == planned and pairing is None:
        # a chain in use: whoever works on it writes it; one that may only be read is none the worse
        with suppress(ChainInUseError, OSError), chain_lock(layout, "jko certify"):
            keep_certificate(ChainStore(config, layout, chain), found)
    return found


def committed(layout: Layout, chain: tuple[str, ...]) -> tuple[str, ...]:
    """The leading blocks that are committed; of an unfinished chain these are not all.

    Raises:
        InputError: a block is damaged, or one is missing before others: no figure is made of the rest.
    """
    there = [layout.block(k, fingerprint).exists() for k, fingerprint in enumerate(chain)]
    count = there.index(False) if False in there else len(chain)
    for k, fingerprint in enumerate(chain):
        for path in damaged_in(layout.block(k, fingerprint), fingerprint):
            raise InputError(
                f"{path}: this file of block {k} is damaged or missing, so nothing is certified; "
                f"run jko resume {layout.chain}"
            )
    if any(there[count:]):
        raise InputError(
            f"{layout.block(count, chain[count])}: block {count} is missing, and later ones are there; "
            f"run jko resume {layout.chain}"
        )
    return chain[:count]


def _with_pairing(config: Config, pairing: str) -> Config:
    return config.model_copy(update={"measure": config.measure.model_copy(update={"pairing": pairing})})
