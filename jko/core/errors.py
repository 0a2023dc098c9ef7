"""The errors a user can meet, each a sentence with a remedy and an exit code."""


class JkoError(Exception):
    """Base of every error this project raises on purpose."""

    exit_code = 1


class InputError(JkoError, ValueError):
    """Something the user gave cannot be used: says what, where and what is allowed."""

    exit_code = 2


class NumericalError(JkoError, ArithmeticError):
    """Training or integration left the range in which its result means anything.

    Args:
        what: what happened, as the beginning of a sentence.
        block: index k of the block, 1..N.
        step: training iteration (0-based) or ``None`` outside training.
        value: the offending value.
        bound: the bound it broke.
        remedy: what the user can do about it.
    """

    exit_code = 3

    def __init__(
        self,
        what: str,
        *,
        block: int,
        step: int | None = None,
        value: float | None = None,
        bound: float | None = None,
        remedy: str,
    ) -> None:
        self.block, self.step, self.value, self.bound, self.remedy = block, step, value, bound, remedy
        where = f"block {block}" + (f", iteration {step}" if step is not None else "")
        size = (
            ""
            if value is None
            else f" (value {value:.4g}" + (f", bound {bound:.4g})" if bound is not None else ")")
        )
        super().__init__(f"{where}: {what}{size}; {remedy}")


class ChainInUseError(JkoError):
    """Another process works on the same chain."""

    exit_code = 4


def was_interrupted(error: BaseException) -> bool:
    """Whether an error is an interruption, or was raised while one was being handled.

    Libraries that clean up after Ctrl-C can stumble and raise something else; some turn a signal into
    an exception of their own that is no ``Exception``.
    """
    link: BaseException | None = error
    while link is not None:
        if not isinstance(link, Exception | SystemExit | GeneratorExit):
            return True
        link = link.__cause__ or link.__context__
    return False
