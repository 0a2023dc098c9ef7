"""What makes a chain's data, blocks, certificate and evaluation the ones they are."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from jko.config import NUMERICS, Config
from jko.config.sections import Section
from jko.core.digest import digest_of
from jko.core.errors import InputError
from jko.core.plain import Json
from jko.core.step_sizes import stored
from jko.disk.content import absent, content_digest, is_there

if TYPE_CHECKING:
    from jko.columns.schema import Schema

#: raised when a change alters what the evaluation computes
EVALUATION = 9
#: raised when a change alters what is measured of a block
MEASURES = 8
#: raised when a change alters what a certificate says
CERTIFICATE = 5
#: raised when a change alters the bracket, or what else is said of the whole chain at once
BRACKET = 6
#: raised when a change alters the broad law that is fitted
DEFENCE = 1
#: raised when a change alters what kinds are told from a table, or how columns are encoded
KINDS = 1
#: what is measured once, of the whole chain
OF_BRACKET = ("resolutions", "samples")
#: keys of the network that came after chains were trained (see :func:`without_defaults`)
LATER_NETWORK = ("kind", "lipschitz")
#: and those of the data
LATER_DATA = (
    "content", "context", "missing_values", "header", "separator", "decimal", "thousands", "encoding",
    "array",
)  # fmt: skip
#: and those of the target
LATER_TARGET = ("correction", "power")


def source_key(config: Config, content: str | None = None, *, kinds: Schema | None = None) -> str:
    """Identity of the data before they are loaded: settings, seed, and the bytes of the file or store.

    Args:
        config: the settings.
        content: SHA-256 of the file, where it is known already.
        kinds: what the file of the kinds holds, where it is known already.
    """
    data = without_defaults(config.data, LATER_DATA)
    data.pop("kinds", None)
    if config.data.kinds_used != "off":
        data["kinds"] = _kinds(config.data.kinds_used, kinds)
    if config.data.file is not None:
        path = Path(config.data.file)
        if not is_there(path):
            raise InputError(f"data.file = {str(path)!r}: {absent(path)}")
        data["file"] = content or content_digest(path)
    if config.data.source in ("digits", "breast_cancer"):
        data["version"] = importlib.metadata.version("scikit-learn")
    return digest_of({"data": data, "seed": config.seed, "numerics": NUMERICS})


def _kinds(kinds: str, known: Schema | None) -> JsonValue:
    """What the kinds of columns add to the identity of data: the content of their file, if there is one.

    Raises:
        InputError: there is no such file, or it holds no kinds.
    """
    if kinds == "auto":
        return {"auto": KINDS}
    from jko.columns.written import read_schema  # here, since few chains need it

    found = known or read_schema(Path(kinds))
    return {"content": found.content, "version": KINDS}


def data_fingerprint(data_digest: str) -> str:
    """Fingerprint of block 0."""
    return digest_of({"data": data_digest})


def without_defaults(section: Section, later: Collection[str]) -> dict[str, JsonValue]:
    """A section as JSON, without those of some optional keys that have their defaults.

    A key that a section gets after chains were trained belongs there: chains that never heard of it keep
    their identity, and one that sets it gets its own.

    Args:
        section: the settings.
        later: names of the keys.
    """
    fields = type(section).model_fields
    same = {name for name in later if getattr(section, name) == fields[name].get_default()}
    return section.model_dump(mode="json", exclude=same)


def block_settings(config: Config, k: int) -> dict[str, JsonValue]:
    """The settings that affect block k, and so belong to its identity."""
    start = config.start_of(k)
    return {
        "step_size": stored(config.step_sizes[k - 1]),
        "network": without_defaults(config.network_of(k), LATER_NETWORK),
        "solver": config.solver.model_dump(mode="json"),
        "training": config.training_of(k).model_dump(mode="json"),
        "seed": config.seed,
        "dtype": config.runtime.dtype,
        "device": config.runtime.device.partition(":")[0],  # not which of several equal ones
        **({} if start is None else {"start": start}),
        **({} if config.target.standard else {"target": without_defaults(config.target, LATER_TARGET)}),
        **({} if config.scheme == "backward_euler" else {"scheme": config.scheme}),
    }


def fingerprints(config: Config, data_digest: str, numerics: int | None = None) -> tuple[str, ...]:
    """Fingerprints of blocks 0..N, each hashing the one before it.

    Args:
        config: the settings.
        data_digest: digest of the prepared data.
        numerics: version of what training computes; of a chain that is there already, its own.
    """
    chain = [data_fingerprint(data_digest)]
    for k in range(1, len(config.step_sizes) + 1):
        chain.append(
            digest_of(
                {
                    "parent": chain[-1],
                    "block": k,
                    "settings": block_settings(config, k),
                    "numerics": NUMERICS if numerics is None else numerics,
                }
            )
        )
    return tuple(chain)


def chosen_by_figures(config: Config) -> bool:
    """Whether what is measured of a block says if another follows; it is not of test rows then."""
    return config.stop.certificate is not None or config.stop.movement is not None


def measured_with(config: Config) -> dict[str, JsonValue]:
    """The settings that change what is measured."""
    return {
        **config.measure.model_dump(mode="json", exclude={"inversion_limit", *OF_BRACKET}),
        "mixture_components": list(config.evaluation.mixture_components),
        **({} if config.stop.bracket is None else _looked_at(config)),
        "version": MEASURES,
        "certificate": CERTIFICATE,
        "chosen_by_figures": chosen_by_figures(config),
    }


def _looked_at(config: Config) -> dict[str, JsonValue]:
    """Where and how often a rule looks at the bracket: its level depends on it."""
    return {"bracket_at": config.stop.resolution, "bracket_looks": len(config.step_sizes)}


def evaluation_fingerprint(config: Config, digest: str) -> str:
    """Identity of an evaluation: the chain's content, what is drawn, and the model's broad part."""
    settings = config.evaluation.model_dump(mode="json")
    of: dict[str, Json] = {"chain": digest, "evaluation": settings, "version": EVALUATION}
    return digest_of({**of, **defended_with(config)})


def certificate_fingerprint(config: Config, digest: str) -> str:
    """Identity of a certificate: the chain's content and how it is measured."""
    stop = config.stop.model_dump(mode="json")  # a chain that its rule ended says so
    bracket = {**config.measure.model_dump(mode="json", include={*OF_BRACKET}), "version": BRACKET}
    of: dict[str, Json] = {
        "chain": digest, "measure": measured_with(config), "stop": stop, "bracket": bracket
    }  # fmt: skip
    return digest_of({**of, **defended_with(config)})


def defended_with(config: Config) -> dict[str, JsonValue]:
    """What a defence adds to the identity of what is said of the model; nothing without one."""
    share = config.defence_share
    return {"defence": {"share": share, "version": DEFENCE}} if share else {}
