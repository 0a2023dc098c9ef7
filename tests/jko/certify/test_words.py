"""What is said of brackets and bounds, word by word, and where one sentence ends and another begins."""

from __future__ import annotations

import math

import pytest

from jko.certify.above import Above
from jko.certify.certificates import Guarantee
from jko.certify.evidence_interval import evidence_interval
from jko.certify.resolution import Bracket, Projection, certified, in_words, rounded, wrong_in_words
from jko.certify.status import Cause, Status, weakest
from jko.laws.densities import Estimate

PLAIN = {
    "resolution": 0.2, "upper": 0.004, "upper_se": 0.001, "upper_95": 0.0056, "lower": -0.01,
    "lower_se": 0.001, "lower_95": -0.012, "rows": 4000, "samples": 40_000, "density": "samples",
}  # fmt: skip


def at(**changed: object) -> Bracket:
    return Bracket.model_validate(PLAIN | changed)


def test_a_bracket_is_as_wide_as_its_ends_are_apart() -> None:
    assert at().width == pytest.approx(0.014)
    assert at(upper=None).width == at(lower=None).width == math.inf


def test_levels_are_shown_from_0_on_and_kept_as_they_are() -> None:
    """No KL is below 0."""
    low, high = at(lower_95=-8.0, upper_95=-0.1), at(lower_95=0.2, upper_95=0.7)
    assert (low.at_least, low.at_most, high.at_least, high.at_most) == (0, 0, 0.2, 0.7)
    assert (at(lower_95=None).at_least, at(upper_95=None).at_most) == (None, None)
    assert low.plain()["lower_95"] == -8.0


def test_the_finest_of_the_narrow_ones_is_certified() -> None:
    """A width of .1 is narrow."""
    fine, coarse, wide = at(resolution=0.1, upper=0.5), at(resolution=0.4), at(resolution=0.05, upper=9)
    edge = at(resolution=0.15, lower=0.0, upper=0.1)
    assert certified([coarse, at(), fine, wide]) == at()
    assert certified([coarse, edge]) == edge
    assert certified([coarse, fine], 0.51) == fine
    assert certified([fine, wide]) is certified([]) is None


SAID = "At a resolution of 0.2 standard deviations, data and model differ by"


def test_what_is_certified_is_said() -> None:
    assert in_words([]) == ""
    assert in_words([at(lower_95=0.0012)]) == f"{SAID} at least 0.0012 and at most 0.0056 nats (KL, 95 %)."
    assert in_words([at(lower_95=0.0), at(resolution=0.4)]) == f"{SAID} at most 0.0056 nats (KL, 95 %)."
    assert in_words([at(upper_95=-0.3)]) == f"{SAID} at most 0 nats (KL, 95 %)."
    assert in_words([at(lower_95=None, upper_95=None)]) == f"{SAID} at most 0 nats (KL, 95 %)."
    assert (
        in_words([at(upper_95=2.5, lower_95=1.5)], 9)
        == f"{SAID} at least 1.5 and at most 2.5 nats (KL, 95 %)."
    )


FEW = "4000 held-out rows are too few to tell data and model apart"


def test_too_few_rows_are_said_with_what_they_show() -> None:
    fine, coarse = at(upper=9, upper_95=9), at(resolution=0.4, upper=0.8, upper_95=0.85)
    where = "at the coarsest resolution, 0.4 standard deviations"
    most = f"{FEW}: {where}, they differ by at most 0.85 nats (KL, 95 %)."
    assert in_words([coarse, fine]) == in_words([fine, coarse]) == most
    more = " About 18 000 held-out rows would tell them apart to 0.1 nats there."
    assert in_words([fine, coarse], 18_423) == most + more
    apart = at(resolution=0.4, upper=0.8, lower_95=0.25)
    assert in_words([apart]) == f"{FEW} closely, but they differ by at least 0.25 nats (KL, 95 %)."
    for low in (0.0, None):
        assert in_words([at(resolution=0.4, upper=0.8, upper_95=0.85, lower_95=low)]) == most
    assert in_words([apart], 0).endswith("About 0 held-out rows would tell them apart to 0.1 nats there.")


@pytest.mark.parametrize(
    ("count", "said"),
    [(7, "7"), (73, "73"), (734, "730"), (7360, "7 400"), (1_234_567, "1 200 000"), (9_999, "10 000")],
)
def test_numbers_of_rows_have_two_digits(count: int, said: str) -> None:
    assert rounded(count) == said


def test_the_worst_column_or_pair_is_named() -> None:
    wrong = Projection(columns=("a", "b"), bracket=(), least=0.25)
    less, right = (Projection(columns=("c",), bracket=(), least=least) for least in (0.1, 0.0))
    assert wrong_in_words([]) == wrong_in_words([right]) == ""
    head = "The model is wrong most in a and b: by at least 0.25 nats (95 %; of"
    assert wrong_in_words([right, less, wrong]) == f"{head} 3 columns and pairs 2 are known to be wrong)."
    assert wrong_in_words([wrong, right]) == f"{head} 2 columns and pairs 1 is known to be wrong)."


def test_the_bracket_on_an_error_is_said() -> None:
    above = Above(
        width=0.2, rows=500, epsilon_squared=(9.0, 8.0, 1.25e-5), epsilon_squared_se=(3.0, 4.0, 2.14e-6),
        fisher=(1.0, 0.7, 0.5), fisher_se=(0.1, 0.05, 0.02), kl_bound=0.27,
    )  # fmt: skip
    tail = (
        "and 1.25e-05 ± 2.1e-06 (500 test rows, whatever the law), and by its Fisher information from above "
        "KL ≤ 0.27 nats."
    )
    head = "Of the smoothed law, ε² of the last block is between"
    assert above.says(0.0512) == f"{head} 0.0512 (a critic) {tail}"
    assert above.says(-0.3) == f"{head} 0 (a critic) {tail}"
    assert above.says(None) == f"{head} 0 (a critic) {tail}"
    assert Above(reason="no rows").says(0.1) == ""


def test_how_something_is_known() -> None:
    assert [status.holds for status in Status] == [True, True, True, True, False, False]
    assert "".join(status.mark for status in Status) == "✓✓○○?✗"
    assert [cause.status for cause in Cause] == ["fails", "unknown", "fails", "fails", "fails"]
    assert weakest(Status.MEASURED, Status.ASSUMED, Status.PROVED) is Status.ASSUMED
    assert weakest(Status.FAILS, Status.UNKNOWN) is Status.FAILS


def test_the_interval_of_a_constant_two_errors_outwards() -> None:
    """ELBO −2 ± .04, I/(2λ) = .2 ± .03, which (C) has two errors up."""
    whole = Guarantee(
        certificate_c=0.26, certificate_c_estimate=0.2, certificate_c_se=0.03,
        statuses={"certificate_c": "measured"},
    )  # fmt: skip
    found = evidence_interval(
        Estimate(-2.0, 0.04), whole, log_z=Estimate(-1.9, 0.01), draws=1000, known=-1.85
    )
    assert found.plain() == {
        "elbo": -2.0, "elbo_se": 0.04, "lower_end": -2.08, "log_z": -1.9, "log_z_se": 0.01, "known": -1.85,
        "draws": 1000, "gap": 0.2, "gap_se": 0.03, "upper": -1.8, "upper_se": pytest.approx(0.05),
        "upper_end": pytest.approx(-1.66), "status": "measured",
    }  # fmt: skip
    assert found.says == (
        "log Z of the target is between -2.080 and -1.660 nats (ELBO to ELBO + I/(2λ), two standard errors "
        "outwards, measured); by importance weights it is -1.900 ± 0.01."
    )


def test_the_interval_of_a_constant_without_an_upper_end() -> None:
    none = Guarantee(reasons={"certificate_c": "no λ"}, causes={"certificate_c": "unseen"})
    bare = Guarantee(certificate_c=0.26, certificate_c_estimate=0.2, statuses={"certificate_c": "measured"})
    worth = Guarantee(certificate_c=0.26, certificate_c_se=0.2, statuses={"certificate_c": "measured"})
    for whole, reason, status in ((none, "no λ", "unknown"), (bare, "", "measured"), (worth, "", "measured")):
        found = evidence_interval(Estimate(-2.0, 0.04), whole, log_z=Estimate(-1.9, 0.01), draws=9)
        assert found.plain() == {
            "elbo": -2.0, "elbo_se": 0.04, "lower_end": -2.08, "log_z": -1.9, "log_z_se": 0.01, "known": None,
            "draws": 9, "status": status, "reason": reason,
        }  # fmt: skip
        assert found.says == (
            "log Z of the target is at least -2.080 nats (the ELBO less two standard errors); by importance "
            "weights it is -1.900 ± 0.01."
        )


def test_an_upper_level_that_is_small_is_no_sign_of_too_few_rows() -> None:
    """A KL is not below 0: with U small all is known but how much it is at least."""
    loose = at(upper=0.01, upper_95=0.0258, lower=-0.2, lower_95=-0.3)
    assert in_words([loose], 3300) == (
        f"{SAID} at most 0.0258 nats (KL, 95 %). 4000 held-out rows are too few to tell by how much at least."
    )
