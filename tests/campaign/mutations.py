"""Checks taken out of the code one by one: the campaign of damage must notice each.

A mutation gives a function other code, so that every module that has it is changed at once.
``python -m tests.campaign.mutations COUNT`` prints how many of so many cases notice each.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FunctionType
from typing import Any

from jko.disk import commit, damage, manifest, sealed
from tasks.adapters.store import evaluated
from tests.campaign.chains import KINDS
from tests.campaign.damage import Bench, draw_case

# ruff: noqa: F821 (the code below runs with the names of the module that it is put into)


@dataclass(frozen=True)
class Mutation:
    """A check that is taken out.

    Args:
        says: what the code then does.
        of: module and name of the function.
        code: a function whose code takes its place.
    """

    says: str
    of: tuple[Any, str]
    code: Callable[..., Any]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The code without this check."""
        function = getattr(*self.of)
        function = getattr(function, "__wrapped__", function)
        assert isinstance(function, FunctionType)
        before = function.__code__
        function.__code__ = self.code.__code__
        try:
            yield
        finally:
            function.__code__ = before


def takes_any_seal(path: Path, identity: str | None = None) -> Any:
    body = read_json(path)
    if not isinstance(body, dict):
        return None
    body.pop(SEAL, None)
    found = body.pop("identity", None)
    return body if identity is None or found == identity else None


def takes_any_identity(path: Path, identity: str | None = None) -> Any:
    body = read_json(path)
    if not isinstance(body, dict) or body.pop(SEAL, None) != _seal_of(body):
        return None
    body.pop("identity", None)
    return body


def hashes_nothing(folder: Path, commit: Any, start: str = "", *, verify: bool = True) -> Any:
    dropped = frozenset() if (folder / SAMPLES).exists() else commit.recomputable
    for name in commit.files:
        if name.startswith(start) and name not in dropped and not (folder / name).is_file():
            yield folder / name


def looks_for_nothing(folder: Path, commit: Any, start: str = "", *, verify: bool = True) -> Any:
    yield from ()


def checks_no_files(layout: Any, k: int, fingerprint: str, *starts: str) -> Any:
    folder = layout.block(k, fingerprint)
    commit = stored_commit(folder)
    if commit is None or commit.fingerprint != fingerprint:
        raise InputError(f"{folder}: block {k} is not committed; run jko resume {layout.chain}")
    return folder


def takes_any_block(layout: Any, k: int, fingerprint: str, *starts: str) -> Any:
    folder = layout.block(k, fingerprint)
    commit = stored_commit(folder)
    if commit is None or any(path for start in starts for path in damaged_files(folder, commit, start)):
        raise InputError(f"{folder}: block {k} is damaged; run jko resume {layout.chain}")
    return folder


def takes_any_settings(layout: Any) -> Any:
    values = read_json(layout.manifest)
    return model_of(Manifest, values)


def calls_nothing_damaged(folder: Path, fingerprint: str | None = None) -> Any:
    yield from ()


def takes_any_evaluation(layout: Any, identity: str) -> Any:
    path = layout.evaluation / FIGURES
    return model_of(EvaluationFigures, read_verified(path)) if path.is_file() else None


def takes_any_commit(folder: Path) -> Any:
    values = read_json(folder / COMMIT)
    found = model_of(CommitFile, values)
    return None if found is None else Commit(found.fingerprint, found.files, found.record)


MUTATIONS = (
    Mutation("a seal that does not fit is taken", (sealed, "_sealed_object"), takes_any_seal),
    Mutation("what is sealed for another chain is taken", (sealed, "_sealed_object"), takes_any_identity),
    Mutation("files of a commit are not hashed", (commit, "damaged_files"), hashes_nothing),
    Mutation("files of a commit need not be there", (commit, "damaged_files"), looks_for_nothing),
    Mutation("a commit file is taken without its seal", (commit, "stored_commit"), takes_any_commit),
    Mutation("a block is read without a look at its files", (damage, "checked_block"), checks_no_files),
    Mutation("a block of other settings is read", (damage, "checked_block"), takes_any_block),
    Mutation("chain.json is taken as it is", (manifest, "known_manifest"), takes_any_settings),
    Mutation("nothing is listed as damaged", (damage, "damaged_in"), calls_nothing_damaged),
    Mutation("a damaged evaluation is read", (evaluated, "evaluation_figures"), takes_any_evaluation),
)  # fmt: skip


def noticed_by(mutation: Mutation, bench: Bench, numbers: range) -> list[int]:
    """The cases that fail where the check is gone; a case that breaks the campaign itself counts."""
    found = []
    for number in numbers:
        case = draw_case(bench, number)
        try:
            with mutation.applied():
                failed = bool(bench.carry_out(case).faults)
        except Exception:  # the healed chain cannot be compared
            failed = True
        found += [number] if failed else []
    return found


def main(count: int) -> None:
    """Print a table of the mutations."""
    with TemporaryDirectory(prefix="jko-mutations-") as folder:
        bench = Bench(KINDS["moons"], Path(folder))
        kept = [number for number in range(count) if not bench.carry_out(draw_case(bench, number)).faults]
        print(f"| taken out | noticed by, of {len(kept)} cases |\n|---|--:|", flush=True)
        for mutation in MUTATIONS:
            failed = set(noticed_by(mutation, bench, range(count))) & set(kept)
            print(f"| {mutation.says} | {len(failed)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
