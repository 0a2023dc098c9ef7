"""Random lives of a chain: trained, killed, resumed, extended, pruned, verified, copied, by two at once.

A state machine of hypothesis, whose steps are real processes on a real folder; a kill is a SIGKILL at a
random operation on files. After every step it holds that

* no acknowledged block is lost: it is in the chain or set aside, whole, until it is pruned;
* there are never two writers (``small.alone``);
* the same plan has the same digest, whatever came before, in this life or in another;
* ``jko verify`` finds nothing wrong, ``jko plan`` said which blocks were then trained, and nothing damaged
  passes for committed.

``python -m tests.campaign.histories [--lives N] [--steps N]`` prints the counts.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from hypothesis.strategies import integers, sampled_from

from jko.config import Config
from jko.core.errors import ChainInUseError
from tests.campaign import small
from tests.campaign.forked import Started, forked
from tests.campaign.trees import fast_place
from tests.campaign.watched import Operation, watching

PLANS: dict[str, Config] = {
    "two blocks": small.config(2),
    "three blocks": small.config(3),
    "other steps": small.config(steps={"count": 2, "first": 0.4}),
}
#: more operations than a run has, so that some kills come too late
OPERATIONS = 900
BLOCK = re.compile(r"\d+-")
#: what is made of the blocks, and is not of these yet where a run was killed
LATER = ("certificate", "evaluation", "metrics", "measures")
some_plan, some_moment = sampled_from(sorted(PLANS)), integers(1, OPERATIONS)


def noting(root: Path, notes: Path) -> Callable[[], None]:
    """What writes down the blocks that are acknowledged."""
    return lambda: small.note(notes, blocks_of(small.standing(root)))


def blocks_of(standing: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in standing.items() if BLOCK.match(name)}


def made(root: Path, plan: Config | None, notes: Path, from_block: int | None = None) -> small.Made:
    """A run that nothing disturbs."""
    return small.bring_up(root, plan, done=noting(root, notes), from_block=from_block)


def planned_and_made(root: Path, plan: Config, notes: Path) -> tuple[tuple[int, ...], small.Healed]:
    """What ``jko plan`` says, and what ``jko train`` then makes."""
    said = small.planned(root, plan)
    return said, small.looked_at(root, made(root, plan, notes), plan)


def killed(root: Path, plan: Config, notes: Path, after: int) -> small.Made:
    """A run that is killed after so many operations on files."""
    seen = 0

    def watcher(operation: Operation, act: Callable[..., Any]) -> Any:
        nonlocal seen
        seen += operation.kind != "read"
        if seen == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return act()

    note = noting(root, notes)  # its own reads are none of the run's, and it changes nothing
    with watching(root, watcher):
        return small.bring_up(root, plan, done=note)


class Lives(RuleBasedStateMachine):
    """One life of a chain."""

    digests: ClassVar[dict[str, str]] = {}
    steps: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=fast_place()))
        self.root, self.notes = self.folder / "project", self.folder / "notes"
        self.root.mkdir()
        self.acknowledged: dict[str, str] = {}
        self.whole = True  # the last run came to its end

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def count(self, step: str) -> None:
        self.steps[step] += 1

    def learn(self, notes: Path) -> None:
        """Take what was acknowledged into account, also by a process that was killed then."""
        for known in small.noted(notes):
            self.acknowledged |= known
        notes.unlink(missing_ok=True)

    def same(self, plan: str, digest: str) -> None:
        """The digest of a plan is that of every time."""
        assert self.digests.setdefault(plan, digest) == digest, f"another digest of {plan}"

    def current(self) -> str:
        """The plan that ``chain.json`` holds."""
        stored = small.stored_config(small.layout_of(self.root))
        return next(name for name, plan in PLANS.items() if plan == stored)

    def there(self) -> bool:
        return small.layout_of(self.root).manifest.exists()

    @rule(plan=some_plan)
    def train(self, plan: str) -> None:
        self.count("train")
        said, healed = forked(planned_and_made, self.root, PLANS[plan], self.notes).got()
        assert (healed.failed, said) == ((), healed.made.trained)
        self.same(plan, healed.made.digest)
        self.whole = True
        self.learn(self.notes)

    @rule(plan=some_plan, after=some_moment)
    def train_and_kill(self, plan: str, after: int) -> None:
        outcome = forked(killed, self.root, PLANS[plan], self.notes, after)
        self.count("killed" if outcome.code else "kill came too late")
        assert outcome.code in (0, -signal.SIGKILL)
        self.whole = outcome.code == 0
        if self.whole:
            self.same(plan, outcome.got().digest)
        self.learn(self.notes)

    @precondition(there)
    @rule()
    def resume(self) -> None:
        self.count("resume")
        result = forked(made, self.root, None, self.notes).got()
        self.same(self.current(), result.digest)
        self.whole = True
        self.learn(self.notes)

    @precondition(there)
    @rule(block=integers(1, 2))
    def train_again(self, block: int) -> None:
        self.count("train a block again")
        result = forked(made, self.root, None, self.notes, block).got()
        self.same(self.current(), result.digest)
        self.whole = True
        self.learn(self.notes)

    @precondition(there)
    @rule()
    def prune(self) -> None:
        self.count("prune")
        forked(small.prune, self.root).got()
        kept = {path.name for path in (small.layout_of(self.root).chain / "blocks").iterdir()}
        self.acknowledged = {name: own for name, own in self.acknowledged.items() if name in kept}

    @precondition(there)
    @rule()
    def verify(self) -> None:
        self.count("verify")
        wrong = forked(small.verified, self.root).got()
        # a run that was killed leaves what is made of the blocks as it was for others
        assert [one for one in wrong if self.whole or not one.startswith(LATER)] == []

    @precondition(there)
    @rule()
    def copy(self) -> None:
        self.count("copy")
        self.continued_elsewhere(self.current())

    @rule(plan=some_plan, seconds=sampled_from((0.05, 0.1, 0.2, 0.4)))
    def copy_while_it_is_trained(self, plan: str, seconds: float) -> None:
        self.count("copy of a chain in training")
        run = Started(made, self.root, PLANS[plan], self.notes)
        time.sleep(seconds)
        self.continued_elsewhere(plan)
        self.same(plan, run.outcome().got().digest)
        self.whole = True
        self.learn(self.notes)

    def continued_elsewhere(self, plan: str) -> None:
        """A copy, even of half-written files, can be gone on with, and ends with the same digest."""
        copy = self.folder / "copy"
        # files go while they are copied; cp says so and goes on
        subprocess.run(["cp", "-r", self.root, copy], capture_output=True, check=False)
        healed = forked(small.heal, copy, PLANS[plan]).got()
        assert healed.failed == ()
        self.same(plan, healed.made.digest)
        shutil.rmtree(copy)

    @rule(plan=some_plan)
    def train_by_two(self, plan: str) -> None:
        self.count("two at once")
        notes = [self.folder / f"notes-{number}" for number in range(2)]
        runs = [Started(made, self.root, PLANS[plan], own) for own in notes]
        outcomes = [run.outcome() for run in runs]
        errors = [outcome.error for outcome in outcomes if outcome.error is not None]
        assert len(errors) < 2
        assert all(isinstance(error, ChainInUseError) for error in errors)
        for outcome, own in zip(outcomes, notes, strict=True):
            if outcome.error is None:
                self.same(plan, outcome.got().digest)
            self.learn(own)
        self.whole = True

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        standing = small.standing(self.root)
        lost = [name for name, digest in self.acknowledged.items() if standing.get(name) != digest]
        assert lost == []
        assert small.taken_for_whole(self.root) == []


def live(lives: int, steps: int) -> Counter[str]:
    """Carry out so many lives of at most so many steps; always the same ones.

    Returns:
        How often each step was taken.
    """
    Lives.steps.clear()
    profile = settings(
        max_examples=lives, stateful_step_count=steps, derandomize=True, database=None, deadline=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(Lives, settings=profile)
    return Lives.steps


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lives", type=int, default=60)
    parser.add_argument("--steps", type=int, default=12)
    words = parser.parse_args()
    begun = time.monotonic()
    steps = live(words.lives, words.steps)
    kinds = ", ".join(f"{count} {step}" for step, count in steps.most_common())
    print(
        f"{words.lives} lives, {steps.total()} steps ({kinds}); {time.monotonic() - begun:.0f} s; 0 failures"
    )


if __name__ == "__main__":
    main()
