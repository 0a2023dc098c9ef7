"""The methods by name: what they are called, where their code is, what must be installed for them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Protocol

from jko.core.errors import InputError

if TYPE_CHECKING:
    from benchmarks.budget import Budget
    from benchmarks.evaluate import LogDensity, Track
    from benchmarks.problem import Problem


class Fit(Protocol):
    """Fits a density to the training rows of a problem."""

    def __call__(
        self, problem: Problem, budget: Budget, setting: Mapping[str, Any], seed: int, track: Track
    ) -> LogDensity:
        """Spend at most the budget, calling ``track`` with the best model so far now and then."""


@dataclass(frozen=True)
class Method:
    """One row of the tables.

    Args:
        label: what the tables call it.
        module: its file in this folder, without the ending; it has a function ``fit`` (:class:`Fit`).
        ours: whether it is the project's own chain.
        packages: what must be installed beside the project; their versions are part of a cell's fingerprint.
        trained: whether it spends the whole budget; the others are done when they are done.
        edition: raised when its code computes something else.
        start: how rows are standardised for it (:func:`benchmarks.problems.load_problem`).
    """

    label: str
    module: str
    ours: bool = False
    packages: tuple[str, ...] = ()
    trained: bool = True
    edition: int = 1
    start: str | None = "on"

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that are not installed."""
        return tuple(name for name in self.packages if _version(name) is None)

    @property
    def versions(self) -> dict[str, str | None]:
        """Versions of what the figures depend on."""
        return {name: _version(name) for name in ("torch", "numpy", "scikit-learn", *self.packages)}

    def load(self) -> Fit:
        """Its function ``fit``.

        Raises:
            InputError: a package or the module itself is not there.
        """
        if self.missing:
            raise InputError(
                f"{self.label}: {', '.join(self.missing)} not installed; "
                "`make benchmarks-install` installs the peers"
            )
        name = f"benchmarks.methods.{self.module}"
        try:
            fit: Fit = importlib.import_module(name).fit
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            raise InputError(f"{self.label}: benchmarks/methods/{self.module}.py is not there") from None
        return fit


def _version(package: str) -> str | None:
    try:
        return version(package).split("+")[0]  # how the library was built is left out
    except PackageNotFoundError:
        return None


_NSF = Method("NSF (zuko)", "nsf", packages=("zuko",))
_MIXTURE = Method("Gaussian mixture", "mixture", trained=False)
#: what the label of a peer says that gets the start of our own chain, and its name
SAME_START, STARTED = "after the same start", "_same_start"

METHODS: Mapping[str, Method] = {
    "gaussian": Method("one Gaussian", "gaussian", trained=False),
    "mixture": _MIXTURE,
    f"mixture{STARTED}": replace(_MIXTURE, label=f"{_MIXTURE.label}, {SAME_START}", start="same"),
    "nsf": _NSF,
    f"nsf{STARTED}": replace(_NSF, label=f"{_NSF.label}, {SAME_START}", start="same"),
    "cnf": Method("CNF (zuko)", "cnf", packages=("zuko",)),
    "ot_cfm": Method("OT-CFM (torchcfm)", "ot_cfm", packages=("torchcfm", "POT", "torchdiffeq")),
    "end_to_end": Method("one block, end to end", "end_to_end"),
    "ours_plain_jko": Method("ours, plain JKO objective", "ours", ours=True, start=None),
    "ours": Method("ours", "ours", ours=True, start=None),
}


def settings_name(method: str) -> str:
    """The method whose settings another has: a peer after the same start has those of the peer."""
    return method.removesuffix(STARTED)


def method_of(name: str) -> Method:
    """A method by name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in METHODS:
        raise InputError(f"{name}: no such method; the methods are {', '.join(METHODS)}")
    return METHODS[name]
