"""What makes a report the one of a chain; loads nothing that draws."""

from __future__ import annotations

import json

from jko.certify.records import Certificate
from jko.config import Config, parse_config
from jko.core.digest import digest_of
from jko.disk.commit import stored_commit
from jko.disk.damage import is_whole
from jko.disk.layout import Layout
from jko.disk.manifest import known_manifest
from jko.disk.sealed import read_sealed
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.plan import stored_figures
from tasks.report import REPORT


def report_fingerprint(store: ChainStore) -> str:
    """Identity of a report: what it reads, the settings it lists, and how it is drawn."""
    evaluation = stored_commit(store.layout.evaluation)
    measures = [stored_figures(store, k) for k in range(1, len(store.fingerprints))]
    digest = evaluation.digest if evaluation else ""
    certificate = read_sealed(store.layout.certificate, Certificate)
    return digest_of(
        {
            "evaluation": digest, "measures": [None if own is None else own.plain() for own in measures],
            "certificate": None if certificate is None else certificate.plain(),
            "settings": settings_of(store.config), "version": REPORT,
        }
    )  # fmt: skip


def settings_of(config: Config) -> str:
    """All settings as the page lists them."""
    return json.dumps(config.model_dump(mode="json"), indent=1)


def has_own_report(layout: Layout, chain: tuple[str, ...]) -> bool:
    """Whether the report is whole and shows this chain, with the settings that ``chain.json`` holds."""
    manifest = known_manifest(layout)
    if manifest is None:
        return False
    return is_whole(
        layout.report, report_fingerprint(ChainStore(parse_config(manifest.config), layout, chain))
    )
