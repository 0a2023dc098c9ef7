"""Settings of every method that is trained: a default and three others, tried on the tuning sets.

``default`` is what the method's own documentation shows, and of ours the preset. All four are tried for a
fifth of the budget on sets that are not reported (:mod:`benchmarks.tuning`); default and the best of the four
are then run in full.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.methods import method_of, settings_name
from jko.core.errors import InputError

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
        # small and slow, and without the smoothed copies of few rows
        "small": {
            "transforms": 3,
            "hidden": (64, 64),
            "bins": 8,
            "rate": 5e-4,
            "batch": 256,
            "schedule": "cosine",
            "copies": False,
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
    # that of a block of the presets.
    "end_to_end": {
        "default": {"hidden": (128, 128), "steps": 8, "rate": 1e-3, "batch": 512, "schedule": "cosine"},
    },
    # Presets by group of sets, and as many changes of them as a peer has settings. What wins is run.
    "ours": {
        "default": {"variant": "default"},
        # one more hidden layer
        "deep": {
            "groups": {
                "picture": {"network": {"hidden": [256, 128, 128, 128]}},
                "plane": {"network": {"hidden": [128, 128, 128, 128]}},
                "table": {"network": {"hidden": [256, 256, 256]}},
                "small table": {"network": {"hidden": [256, 256, 256]}},
            }
        },
        # more of the time for flow matching: a third of the iterations of the JKO objective; for few rows the
        # training of the preset digits, on the rows and behind the start that the preset for tables chose
        "other": {
            "groups": {
                "picture": {"training": {"iterations": 3}},
                "plane": {"training": {"iterations": 2}},
                "table": {"training": {"iterations": 7}},
                "small table": {"preset": "digits"},
            }
        },
        # smaller rates
        "slow": {
            "groups": {
                "picture": {"training": {"flow_matching_learning_rate": 0.0025}},
                "plane": {"training": {"flow_matching_learning_rate": 0.0025}},
                "table": {"training": {"flow_matching_learning_rate": 0.0015}},
                "small table": {"training": {"flow_matching_learning_rate": 0.0015}},
            }
        },
    },
    "ours_plain_jko": {"default": {"variant": "plain_jko"}},
}


def settings_of(method: str) -> Mapping[str, Setting]:
    """All settings of a method; a peer after the same start has those of the peer.

    Raises:
        InputError: there is no such method.
    """
    method_of(method)
    return SETTINGS[settings_name(method)]


def setting_of(method: str, name: str) -> Setting:
    """Values of a setting by its name.

    Raises:
        InputError: the method has none of that name.
    """
    known = settings_of(method)
    if name not in known:
        raise InputError(f"{name}: no setting of {method}; it has {', '.join(known)}")
    return known[name]


def tuned(method: str) -> bool:
    """Whether a method has settings to choose from."""
    return len(settings_of(method)) > 1
