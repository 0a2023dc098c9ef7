"""Live progress of a run on standard error: bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from jko.certify.certificates import Bound
from jko.config import Config
from jko.core.display import figure, pair_of
from jko.core.step_sizes import shown
from jko.training.block_trainer import FitRecord, Phase
from jko.training.listener import Advanced, BlockBegun, BlockResumed, Event, Validated
from tasks.adapters.system.screen import Screen, screen
from tasks.listening import BlockDone, Certified, ChainBegun, Said

#: how many flow-matching iterations one JKO iteration is taken to cost before it is measured
ASSUMED_COST = 10.0
#: where there is no terminal, a line this often
SECONDS_BETWEEN_LINES = 10.0


class Pace:
    """Seconds per iteration of each phase, to tell the time left."""

    def __init__(self) -> None:
        self.seconds: dict[Phase, float] = {"flow_matching": 0.0, "jko": 0.0}
        self.iterations: dict[Phase, int] = {"flow_matching": 0, "jko": 0}

    def add(self, phase: Phase, iterations: int, seconds: float) -> None:
        """Count what was just done."""
        self.seconds[phase] += seconds
        self.iterations[phase] += iterations

    def per_iteration(self, phase: Phase) -> float | None:
        """Seconds per iteration, estimated from the other phase before its first record."""
        if self.iterations[phase]:
            return self.seconds[phase] / self.iterations[phase]
        other: Phase = "jko" if phase == "flow_matching" else "flow_matching"
        if not self.iterations[other]:
            return None
        factor = ASSUMED_COST if phase == "jko" else 1 / ASSUMED_COST
        return factor * self.seconds[other] / self.iterations[other]


def share_done(config: Config, k: int, iteration: int) -> float:
    """Share of a chain's training that is done, 0 to 1, after this iteration of block k."""
    costs = [
        (settings.flow_matching_iterations, settings.iterations)
        for settings in map(config.training_of, range(1, len(config.step_sizes) + 1))
    ]
    matching, jko = costs[k - 1]
    here = min(iteration, matching) + ASSUMED_COST * min(max(iteration - matching, 0), jko)
    before = sum(first + ASSUMED_COST * second for first, second in costs[: k - 1])
    total = sum(first + ASSUMED_COST * second for first, second in costs)
    return (before + here) / total if total else 1.0


class Progress:
    """A listener that shows block k of N, its KL drop, the NLL, the rate and the time left.

    Args:
        console: where to write; standard error by default.
        quiet: show nothing.
    """

    def __init__(self, console: Screen | None = None, *, quiet: bool = False) -> None:
        self.console = console or screen(err=True, quiet=quiet)
        self.live = self.console.is_terminal and not quiet
        self.bars = Bars(
            TextColumn("block {task.fields[block]}", style="bold", markup=False),
            BarColumn(bar_width=24), MofNCompleteColumn(),
            TextColumn("{task.fields[said]}", markup=False), console=self.console, transient=True,
        )  # fmt: skip
        self.pace = Pace()
        self.bar: TaskID | None = None
        self.nll: float | None = None
        self.config: Config | None = None
        self.block = self.iteration = self.total = 0
        self.start_potential = 0.0
        self.since = self.said_at = time.monotonic()

    def __enter__(self) -> Self:
        if self.live:
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def tell(self, event: Event) -> None:
        """Show an event."""
        match event:
            case ChainBegun(store):
                for note in (*store.facts.notes, *store.facts.choices):
                    self.say(f"{store.facts.name}: {note}")
            case BlockBegun():
                self._begin(event)
            case BlockResumed(_, iteration):
                self._go_on(iteration)
            case Advanced(_, iteration):
                self._iterate(iteration)
            case Validated(_, record):
                self._validated(record)
            case BlockDone():
                self._block_done(event)
            case Certified(certificate):
                self.say(certificate.chain.mixed.says)
            case Said(text):
                self.say(text)

    def say(self, text: str) -> None:
        """One line that stays."""
        self.console.print(text, soft_wrap=True, markup=False)

    def _begin(self, event: BlockBegun) -> None:
        k, config, self.start_potential = event.block, event.config, event.potential or 0.0
        if event.constant is not None:  # of the standardised data under the reference, nats
            self.nll = self.start_potential + event.constant
        self.config, self.block, self.iteration, self.since = config, k, 0, time.monotonic()
        settings, count = config.training_of(k), len(config.step_sizes)
        self.total = settings.flow_matching_iterations + settings.iterations
        if self.bar is not None:
            self.bars.remove_task(self.bar)
        self.bar = self.bars.add_task("", total=self.total, block=f"{k}/{count}", said="")

    def _go_on(self, iteration: int) -> None:
        """The pace is measured from the checkpoint's end."""
        self.iteration, self.since = iteration, time.monotonic()
        self._iterate(iteration)
        self.say(f"block {self.block} goes on from iteration {iteration} of {self.total} (checkpoint)")

    def _validated(self, record: FitRecord) -> None:
        now = time.monotonic()
        if record.iteration > self.iteration:
            self.pace.add(record.phase, record.iteration - self.iteration, now - self.since)
        self.iteration, self.since = record.iteration, now
        if self.bar is not None:
            self.bars.update(self.bar, completed=record.iteration, said=self._said(record))
        if not self.live and now - self.said_at > SECONDS_BETWEEN_LINES and self.config is not None:
            self.said_at = now
            self.say(f"block {self.block}/{len(self.config.step_sizes)}  {self._said(record)}")

    def _iterate(self, iteration: int) -> None:
        if self.bar is not None:
            self.bars.update(self.bar, completed=iteration)

    def _said(self, record: FitRecord) -> str:
        drop = self.start_potential - record.potential + record.log_det
        speed = self.pace.per_iteration(record.phase)
        phase = "flow matching" if record.phase == "flow_matching" else "JKO objective"
        parts = [
            phase if record.iteration else "at the start",
            f"KL drop {figure(drop, '.3f')}",
            f"NLL {figure(self.nll - drop, '.3f')}" if self.nll is not None else "",
            f"{1 / speed:.0f} it/s" if speed else "",
            f"{_clock(self.seconds_left())} left",
        ]
        return "  ".join(part for part in parts if part)

    def seconds_left(self) -> float | None:
        """Time until the last block is trained, from the pace so far."""
        if self.config is None:
            return None
        left: dict[Phase, int] = {"flow_matching": 0, "jko": 0}
        for k in range(self.block, len(self.config.step_sizes) + 1):
            settings = self.config.training_of(k)
            left["flow_matching"] += settings.flow_matching_iterations
            left["jko"] += settings.iterations
        here = self.config.training_of(self.block)
        matched = min(self.iteration, here.flow_matching_iterations)
        left["flow_matching"] -= matched
        left["jko"] -= self.iteration - matched
        times = {phase: self.pace.per_iteration(phase) for phase in left}
        if any(left[phase] and times[phase] is None for phase in left):
            return None
        return sum(left[phase] * (times[phase] or 0.0) for phase in left)

    def _block_done(self, done: BlockDone) -> None:
        """One line for a committed and measured block."""
        figures = done.figures
        self.nll = figures.nll
        if self.bar is not None:
            self.bars.remove_task(self.bar)
            self.bar = None
        again = figures.kl_drop_correction
        corrected = "" if again is None else f"correction {figure(again, '.3f')} nats  "
        found = figures.best_epsilon
        error = "" if found is None else f"  ε {figure(found, '.2f')}"
        if isinstance(bound := figures.best, Bound):
            sign = "≤" if bound.status.sure else "≲"  # a critic estimates from below
            error += f"  KL {sign} {figure(bound.value)} nats"
        self.say(
            f"block {done.block}/{done.store.count}  γ {shown(figures.step_size)}  "
            f"KL drop {figure(figures.kl_drop, '.3f')} nats  "
            f"{corrected}NLL {pair_of(figures, 'nll')} nats  "
            f"movement {figure(figures.movement, '.3f')}  "
            f"round trip {figure(figures.inversion_error, '.1e')}"
            + error
            + ("" if done.trained else "  (committed earlier)")
        )


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "? "
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
