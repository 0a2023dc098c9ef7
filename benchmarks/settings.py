"""Settings of every method, written down before the benchmark was run.

``default`` is what the method's own documentation shows. The three others are tried for a fifth of the
budget, and the best of them on validation rows is run in full.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Setting = Mapping[str, Any]

SETTINGS: Mapping[str, Mapping[str, Setting]] = {
    "gaussian": {"default": {}},
    "mixture": {
        "default": {
            "components": (1, 2, 5, 10, 20, 50, 100, 200),
            # few rows in many dimensions need more regularisation; a law of the plane needs none
            "ridges": {"plane": (1e-6,), "picture": (1e-6,), "table": (1e-6, 1e-2, 1e-1)},
            "rows": 50_000,
            "iterations": 100,
        }
    },
    "nsf": {
        # the example of zuko's page, which names no size of the batches
        "default": {"transforms": 3, "hidden": (128, 128, 128), "bins": 8, "rate": 1e-3, "batch": 256},
        # deeper, as the paper of the method does for tables
        "deep": {
            "transforms": 5,
            "hidden": (128, 128),
            "bins": 8,
            "rate": 1e-3,
            "batch": 512,
            "schedule": "cosine",
        },
        # more bins for fine structure, a smaller network so that there are more steps
        "fine": {
            "transforms": 3,
            "hidden": (64, 64),
            "bins": 32,
            "rate": 2e-3,
            "batch": 512,
            "schedule": "cosine",
        },
        # small and slow: for few rows
        "small": {
            "transforms": 3,
            "hidden": (64, 64),
            "bins": 8,
            "rate": 5e-4,
            "batch": 256,
            "schedule": "cosine",
        },
    },
    "cnf": {
        # zuko's defaults: two layers of 64, ELU, three frequencies of time, tolerance 1e-5
        "default": {"hidden": (64, 64), "rate": 1e-3, "batch": 256},
        # wider, with larger steps while the rate is high
        "wide": {"hidden": (128, 128), "rate": 2e-3, "batch": 512, "schedule": "cosine"},
        # deeper
        "deep": {"hidden": (64, 64, 64), "rate": 2e-3, "batch": 256, "schedule": "cosine"},
        # a loose solver while training: more iterations for the same time
        "loose": {
            "hidden": (64, 64),
            "rate": 2e-3,
            "batch": 256,
            "schedule": "cosine",
            "atol": 1e-3,
            "rtol": 1e-3,
        },
    },
    "ot_cfm": {
        # the examples of torchcfm in the plane: sigma .1, three layers of 64, Adam's own rate, batches of 256
        "default": {"sigma": 0.1, "width": 64, "rate": 1e-3, "batch": 256},
        # hardly any smoothing of the data, and a wider network
        "sharp": {"sigma": 0.01, "width": 128, "rate": 1e-3, "batch": 256, "schedule": "cosine"},
        # wider still, larger batches, which pair better
        "wide": {"sigma": 0.01, "width": 256, "rate": 1e-3, "batch": 512, "schedule": "cosine"},
        # a larger rate, for short budgets
        "fast": {"sigma": 0.02, "width": 128, "rate": 3e-3, "batch": 256, "schedule": "cosine"},
    },
    # One block of ours without steps or transport term. It has no documentation of its own: the network is
    # that of a block of the presets, trained as long as the budget lasts.
    "end_to_end": {
        "default": {"hidden": (128, 128), "steps": 8, "rate": 1e-3, "batch": 512, "schedule": "cosine"},
    },
    # the variants that benchmarks.methods.ours knows; one default per kind of data, none per set
    "ours": {"default": {"variant": "default"}},
    "ours_plain_jko": {"default": {"variant": "plain_jko"}},
}


def tried(method: str) -> tuple[str, ...]:
    """Names of the settings beside the default."""
    return tuple(name for name in SETTINGS[method] if name != "default")
