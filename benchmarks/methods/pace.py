"""A budget of CPU seconds turned into iterations before every part of a chain's training, and kept to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.budget import Budget
from jko.build import new_block
from jko.config import Config, Training
from jko.core.errors import InputError
from jko.core.seeds import generator
from jko.energies.objective import jko_objective
from jko.training.calibrate import cost_of

#: share of what is left that is not planned, so that the last part ends at the end and not after it
SPARE = 0.005
#: the polish that uses up what is left has this part of the rate, and begins if so much of the budget is left
LAST_RATE, LEFT = 0.1, 0.01
#: validations that a part has beside those of its iterations: of its start and the identity, and in copies of
#: weights; so many are kept back, too, for a part that is stopped
BESIDE = 5
#: the phases of a block in their order, and the settings that hold their iterations
ITERATIONS = {"flow_matching": "flow_matching_iterations", "jko": "iterations"}


class Spent(Exception):
    """The budget ends within a part."""


@dataclass(frozen=True)
class Part:
    """A phase of a block.

    Args:
        block: k.
        phase: ``flow_matching`` or ``jko``.
        plan: the block's training as the preset has it, iterations of this phase only.
        variable: seconds of its iterations there.
        fixed: seconds that do not grow with them: validations, and pushing the rows after the last phase.
    """

    block: int
    phase: str
    plan: Training
    variable: float
    fixed: float


class Pace:
    """How many iterations every part may have.

    All parts keep their proportions. Before each the seconds that are left are divided among it and those
    after it, by what the parts before it took beside what was planned for them. The last one is stopped at
    the end of the budget, and if it ends early, the last block is polished for the rest.

    Args:
        config: settings, whose iterations say how the time is divided.
        train: training rows in a method's coordinates, shape (rows, d).
        validation: held-out rows.
        budget: what may be spent.

    Raises:
        InputError: so little time that no iteration would be left.
    """

    def __init__(self, config: Config, train: Tensor, validation: Tensor, budget: Budget) -> None:
        self.config, self.budget = config, budget
        blocks = range(1, len(config.step_sizes) + 1)
        plans = dict.fromkeys(config.training_of(k) for k in blocks)
        self._costs = {plan: cost_of(config, plan, train, validation, lambda: budget.spent) for plan in plans}
        self._validations = {plan: self._validation(plan, validation) for plan in plans}
        self._waiting = [part for k in blocks for part in self._parts(k)]
        self._ratio = dict.fromkeys(ITERATIONS, 1.0)
        self._begun = self._planned = 0.0
        self._reserve = max(self._validations.values())
        self._last_look = budget.spent
        if self._factor() <= 0:
            fixed = sum(part.fixed for part in self._waiting)
            raise InputError(
                f"{budget.seconds:g} s are too few for {len(config.step_sizes)} blocks: pushing and "
                f"validating alone take {fixed:.0f} s; give more time, fewer blocks or fewer rows"
            )

    def _validation(self, plan: Training, validation: Tensor) -> float:
        """Seconds of a validation: of the rows it has, since few cost more each than many."""
        block = new_block(self.config, 1, validation.shape[1])
        draw = generator(self.config.seed, "pace")
        rows = validation[: plan.validation_rows]
        for _ in range(2):  # the first is slower
            begun = self.budget.spent
            with torch.no_grad():
                jko_objective(block, rows, draw)
            took = self.budget.spent - begun
        return took

    def _parts(self, k: int) -> list[Part]:
        plan = self.config.training_of(k)
        cost, parts = self._costs[plan], []
        for phase, name in ITERATIONS.items():
            count = getattr(plan, name)
            if count:
                other = {one: 0 for one in ITERATIONS.values() if one != name}
                validations = BESIDE - (-count // plan.validate_every)
                each = cost.flow_matching if phase == "flow_matching" else cost.jko
                fixed = validations * self._validations[plan]
                parts.append(Part(k, phase, plan.model_copy(update=other), count * each, fixed))
        last = k == len(self.config.step_sizes)
        if parts and not last:
            parts[-1] = Part(**{**vars(parts[-1]), "fixed": parts[-1].fixed + cost.push})
        return parts

    @property
    def over(self) -> bool:
        """Whether nothing is left for another block."""
        return self.budget.left <= self._reserve

    def parts_of(self, k: int) -> list[Part]:
        """The parts of a block, and for the last block a polish that uses up the rest."""
        parts = [part for part in self._waiting if part.block == k]
        if k == len(self.config.step_sizes):
            parts += self._rest(k)
        return parts

    def _rest(self, k: int) -> list[Part]:
        plan = self.config.training_of(k)
        phase = "jko" if plan.iterations else "flow_matching"
        known = next(part for part in self._parts(k) if part.phase == phase)
        rate = "learning_rate" if phase == "jko" else "flow_matching_learning_rate"
        slow = known.plan.model_copy(update={rate: LAST_RATE * getattr(known.plan, rate)})
        return [Part(k, "rest", slow, known.variable, known.fixed)]

    def _factor(self) -> float:
        """What the iterations of the waiting parts are multiplied by."""
        left = (1 - SPARE) * self.budget.left - sum(part.fixed for part in self._waiting)
        variable = sum(part.variable * self._ratio[part.phase] for part in self._waiting)
        return left / variable if variable else 0.0

    def begin(self, part: Part) -> Training | None:
        """The training of a part, scaled to what is left; ``None`` where not one iteration fits into that."""
        name = "iterations" if part.plan.iterations else ITERATIONS["flow_matching"]
        if part.phase == "rest":
            phase = "jko" if part.plan.iterations else "flow_matching"
            left = (1 - SPARE) * self.budget.left - part.fixed
            factor = left / (part.variable * self._ratio[phase])
            if self.budget.left < LEFT * self.budget.seconds or factor * getattr(part.plan, name) < 1:
                return None
        else:
            factor = self._factor()
            self._waiting.remove(part)
            if self.budget.left < part.fixed + part.variable / getattr(part.plan, name):
                return None
        self._begun = self._last_look = self.budget.spent
        count = getattr(part.plan, name)
        changed = {
            name: max(1, int(factor * count)),
            "validate_every": max(1, round(factor * part.plan.validate_every)),
        }
        self._planned = changed[name] / count * part.variable
        return part.plan.model_copy(update=changed)

    def look(self, iteration: int) -> None:
        """Called after every iteration.

        Raises:
            Spent: another one and a validation would end after the budget.
        """
        now = self.budget.spent
        each, self._last_look = now - self._last_look, now
        if self.budget.left <= each + BESIDE * self._reserve:
            raise Spent

    def end(self, part: Part) -> None:
        """Note what a part took beside what was planned."""
        if part.phase in self._ratio and self._planned:
            took = self.budget.spent - self._begun - part.fixed
            self._ratio[part.phase] = min(4.0, max(0.25, took / self._planned))
