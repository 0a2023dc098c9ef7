"""The report's section on what is guaranteed: the words that must and must not be there."""

from __future__ import annotations

import html
import math
import re
from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
import pytest

from jko.certify.certificates import CERTIFICATES
from jko.certify.records import Certificate
from jko.config import Config
from jko.measure.figures import BlockFigures
from jko.preparation.facts import DataFacts
from tasks.adapters.store.evaluated import ChainNll, EvaluationFigures, TargetFigures
from tasks.report.claims import panel_of
from tasks.report.content import Content
from tasks.report.drawing import STYLE
from tasks.report.guarantee import guarantee
from tasks.report.make import gap_words, render

UNFIT = "the data were dequantised with uniform noise, so ε is infinite; set data.smoothing, such as 0.01"
ENTROPY = {"value": 2.8, "se": 0.01}
NO_PICTURES = dict.fromkeys(("samples", "guarantee", "path", "progress", "training"))


def block(index: int, *, known: bool = True, bounded: bool = True) -> dict[str, Any]:
    """Figures of a block: (A) 9, (B) 4, (C) 1.2 nats, and NLL 3.4 nats."""
    figures: dict[str, Any] = dict.fromkeys(BlockFigures.model_fields, 0.25) | {"epsilon_reason": ""}
    figures |= {name: None for name in figures if name.startswith("epsilon_ot")}
    if not known:
        figures |= {name: None for name in figures if "exact" in name}
    bounds = dict(zip(CERTIFICATES, (9.0, 4.0, 1.2, 1.1, 1.0, 1.3), strict=True))
    return {
        **figures,
        **{name: value if bounded else None for name, value in bounds.items()},
        "index": index, "step_size": 0.5, "epsilon_class": "affine + 30 RBF", "pairing": "block",
        "symmetric_part_positive": True, "kl_lower_bound": 0.4, "kl_lower_bound_se": 0.1,
        "nll": 3.4, "nll_se": 0.04,
    }  # fmt: skip


def assumptions(*, known: bool, unfit: str) -> list[dict[str, Any]]:
    how = "averages of the exact score" if known else "estimated from below by a linear critic"
    status = "fails" if unfit else "measured" if known else "estimated"
    return [
        {"name": "the potential is 1-convex", "status": "proved", "how": "proved"},
        {"name": "p_0 has a density", "status": "fails" if unfit else "assumed", "how": unfit or "assumed"},
        {"name": "ε and the Fisher information", "status": status, "how": how},
    ]


def certificate(*, known: bool = True, reason: str = "") -> dict[str, Any]:
    """A certificate of two blocks: all values, or none for one reason."""
    blocks = [block(k, known=known, bounded=not reason) for k in (1, 2)]
    names = (*CERTIFICATES, "theorem_steps", "sharp_steps", "epsilon_largest")
    reasons = (
        {**dict.fromkeys(names, reason), "entropy_interval": f"no lower end: {reason}"} if reason else {}
    )
    none = reason and {
        **dict.fromkeys(
            ("kl_bound", "kl_estimate", "w2_bound", "tv", "theorem_steps", "sharp_steps", "epsilon_largest")
        )
    }
    status = "fails" if reason else "measured" if known else "estimated"
    statuses = dict.fromkeys((*names, "kl_bound", "w2_bound", "tv", "entropy_interval"), status)
    sign = "≤" if known else "≲"
    first = (
        "No bound on the KL divergence holds" if reason else f"KL(the law of the data ‖ model) {sign} 1 nats"
    )
    whole = {
        **{name: blocks[-1][name] for name in CERTIFICATES},
        "kl_bound": 1.0, "kl_estimate": None if known else 1.0, "w2_bound": 1.5, "tv": 0.707,
        "theorem_steps": 33, "sharp_steps": 11,
        "epsilon_largest": 0.6, "kl_lower_bound": 0.4, "kl_lower_bound_se": 0.1, "pairing": "block",
        "entropy_interval": (None if reason else 2.4, 3.5), "steps": 2, "stopped": "", "nll": 3.4,
        "nll_se": 0.04, "kl_measured": None, "kl_measured_se": None, "smoothing_w2": None,
        "inversion_w2_coupled": 2e-5, "inversion_w2_product": 3e-5, "inversion_worst": 4e-5,
        "inversion_rows": 500, "reasons": reasons,
        "causes": dict.fromkeys(reasons, "unfit"), "statuses": statuses,
        "assumptions": assumptions(known=known, unfit=reason),
        "two_sample": {"statistic": 0.02, "null_quantile": 0.04, "p": 0.31, "rows": 1000},
        "mixed": {"says": f"{first}; computed samples are within W2 2e-05 of the model."},
        "deprecated": {} if known or reason else {"kl_bound": "read kl_estimate"},
        **(none or {}),
    }  # fmt: skip
    return {"blocks": blocks, "chain": {**whole, "epsilon_class": "affine + 30 RBF"}}


def with_entropy(found: dict[str, Any]) -> dict[str, Any]:
    found["chain"] |= {"kl_measured": 0.5, "kl_measured_se": 0.05}
    return found


def content(found: dict[str, Any], entropy: dict[str, float] | None = None) -> Content:
    facts = DataFacts(
        name="hand-made", columns=("x", "y"), shift=(0.0, 0.0), scale=(1.0, 1.0), grid=(0.0, 0.0), notes=(),
        rows={"source": 80, "train": 80, "validation": 10, "test": 10}, entropy=entropy, image_shape=None,
    )  # fmt: skip
    score = {"nll": 3.4, "nll_se": 0.04, "gap_to_entropy": 0.5, "gap_to_entropy_se": 0.05}
    cut = {**score, "change": -0.1, "change_se": 0.1}
    figures = EvaluationFigures.model_validate({
        "steps": 2, "test": score if entropy else {"nll": 3.4, "nll_se": 0.04},
        "baselines": {"gaussian": score, "mixture": score}, "cuts": [cut] * 3, "nearest_training_row": 1.0,
        "inversion_error_chain": 1e-5,
    })  # fmt: skip
    nothing, whole = np.zeros((0, 2)), Certificate.model_validate(found)
    return Content(
        config=Config(), facts=facts, digest="0" * 64, steps=whole.blocks, certificate=whole,
        figures=figures, data=nothing, generated=nothing, forward_path=nothing, reverse_path=nothing,
        curves={},
    )  # fmt: skip


def words(found: dict[str, Any], entropy: dict[str, float] | None = None) -> str:
    """The text of the whole page, every label in square brackets."""
    page = render(content(found, entropy), NO_PICTURES)
    body = re.sub(r"<style>.*?</style>|<details>.*?</details>", "", page, flags=re.S)
    labelled = re.sub(r'<span class="tag (\w+)">\1</span>', r"[\1]", body)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", labelled)))


def test_the_table_of_steps_says_which_rows_it_is_of() -> None:
    """Fewer test rows than validation rows are too few for a critic."""
    found = content(certificate())
    assert found.measured_on == "test"
    page = render(found, NO_PICTURES)
    assert "validation NLL" not in page
    assert "an unbiased average over test rows" in page
    few = replace(found, facts=replace(found.facts, rows={**found.facts.rows, "test": 5}))
    assert few.measured_on == "validation"
    page = render(few, NO_PICTURES)
    assert "<th>validation NLL, nats</th><th>test NLL, nats</th>" in page
    assert "an unbiased average over validation rows" in page


def section(text: str) -> str:
    return text.split("What is guaranteed", 1)[1].split("The path of the chain", 1)[0]


def test_of_a_known_law_everything_is_measured_and_compared() -> None:
    text = section(words(with_entropy(certificate()), ENTROPY))
    assert "KL(the law of the data ‖ model) ≤ 1 nats; computed samples are within W2" in text
    assert "of the model. [measured]" in text
    assert "the bound is 2 times the measured gap" in text
    assert "measured gap 0.5 ± 0.05 [measured]" in text
    for row in ("(A) ≤ 9 18 [measured]", "(B) ≤ 4 8 [measured]", "(C) propagated ≤ 1 2 [measured]"):
        assert row in text
    assert "exact score [measured]" in text
    assert "lower bound ≥ 0.4 ± 0.1 0.8 [measured]" in text
    assert "Its known value is 2.800 ± 0.01" in text
    assert "critic of limited class" not in text
    assert "(A) asks for 33 steps" in text
    assert "(B) for 11 steps" in text
    assert "The chain has 2" in text


def test_an_unknown_law_makes_it_an_estimate_that_says_so() -> None:
    text = section(words(certificate(known=False)))
    assert "of the model. [estimated]" in text
    assert "This is an estimate, not a bound" in text
    assert "if the estimate holds" in text
    assert "≤ 1 nats" not in text
    assert "(A) ≲ 9" in text
    assert "affine + 30 RBF" in text
    assert "It agrees with what a classifier or a Gaussian mixture shows, KL ≥ 0.4 ± 0.1." in text
    assert "affine + 30 RBF [estimated]" in text
    assert "measured gap" not in text
    assert "Its known value" not in text
    assert "times the gap" not in text


def test_no_estimated_figure_goes_without_its_label() -> None:
    panel = panel_of(Certificate.model_validate(certificate(known=False)), None)
    assert all(claim.label == "estimated" for claim in panel.bounds if claim.value.startswith("≲"))
    assert not any(claim.value.startswith("≤") for claim in panel.bounds)
    assert {claim.name: claim.label for claim in panel.distances} == {
        "W2 of particles and N(0, I)": "estimated",
        "total variation": "estimated",
        "W2 of model and computed samples": "measured",
        "the same by Lipschitz constants": "estimated",
    }
    text = words(certificate(known=False))
    assert text.count("guaranteed") == 1, "the heading only"
    assert "≲ 1 estimate of a bound on KL, nats" in text
    assert "Lip T⁻¹ [estimated]" in text


def test_the_label_of_every_figure_is_its_status() -> None:
    found = certificate()
    found["chain"]["statuses"] |= dict.fromkeys(("certificate_a", "certificate_c_propagated"), "estimated")
    label = {claim.name: claim.label for claim in panel_of(Certificate.model_validate(found), None).bounds}
    assert [label[name] for name in ("(A)", "(C) propagated")] == ["estimated"] * 2
    assert [label[name] for name in ("(B)", "(C)", "(C) by triangle")] == ["measured"] * 3


@pytest.mark.parametrize(
    ("status", "mark", "label"),
    [("proved", "✓", "proved"), ("measured", "✓", "measured"), ("estimated", "○", "estimated"),
     ("assumed", "○", "assumed"), ("unknown", "?", ""), ("fails", "✗", "")],
)  # fmt: skip
def test_the_mark_of_a_condition_is_that_of_its_status_whatever_its_words(
    status: str, mark: str, label: str
) -> None:
    found = certificate()
    words = "proved: ε in OT pairing by a critic, from below; the Fisher information by the exact score"
    found["chain"]["assumptions"] = [{"name": "ε", "status": status, "how": words}]
    (only,) = panel_of(Certificate.model_validate(found), None).assumptions
    assert (only.mark, only.label, only.how) == (mark, label, words)


def test_optimal_transport_pairing_is_named() -> None:
    found = certificate()
    found["chain"]["pairing"] = "ot"
    found["chain"]["statuses"]["certificate_a"] = "estimated"
    for own in found["blocks"]:
        own |= {"pairing": "ot", "epsilon_ot_squared": 0.04, "epsilon_ot_squared_se": 0.01}
    text = section(words(found))
    assert "affine + 30 RBF, OT pairing [estimated]" in text
    assert "(A) ≲ 9 [estimated]" in text
    assert "(C) ≤ 1.2 [measured]" in text
    assert "for the block's own ε" not in text


def test_a_figure_that_is_not_there_is_a_dash() -> None:
    found = certificate(known=False)
    for own in found["blocks"]:
        own |= {"epsilon_squared": None, "epsilon_squared_se": None, "kl_drop_se": None, "kappa": math.nan}
    text = words(found)
    assert not re.search(r"\b(nan|inf|None)\b", section(text))


def test_one_reason_for_everything_is_said_once() -> None:
    text = words(certificate(known=False, reason=UNFIT))
    assert text.lower().count(UNFIT.lower()) == 1
    assert text.count("dequantised") == 1
    assert "What to choose instead" in text
    assert "Data with data.smoothing have a density" in text
    assert "no bound on the KL divergence holds" in text
    assert "p_0 has a density : fails, for the reason above" in text
    assert "≤ None" not in text
    assert "None" not in section(text)
    assert "≤ 2e-05 [measured]" in text, "the inverse is measured whatever the data are"


def test_a_single_certificate_that_fails_gives_its_reason_and_the_others_refer_to_it() -> None:
    found = certificate(known=False)
    why = "withdrawn (0.1 nats): the critic's class is too small"
    found["chain"] |= {"certificate_c": None, "certificate_c_hwi": None}
    found["chain"]["reasons"] = {"certificate_c": why, "certificate_c_hwi": why}
    found["chain"]["causes"] = dict.fromkeys(("certificate_c", "certificate_c_hwi"), "withdrawn")
    text = section(words(found))
    assert text.count(why) == 1
    assert "for the same reason as (C)" in text
    assert "(A) ≲ 9 [estimated]" in text
    assert "Why no bound holds" not in text


def test_smoothed_data_name_the_law_that_is_meant() -> None:
    found = certificate(known=False)
    found["chain"]["smoothing_w2"] = 0.14
    text = section(words(found))
    assert "KL(smoothed law of the data ‖ model)" in text
    assert "W2 of data and smoothed data ≤ 0.14 [measured]" in text


@pytest.mark.parametrize(("p", "said"), [(0.31, "cannot be told from"), (0.002, "can be told from")])
def test_the_two_sample_test_is_one_sentence(p: float, said: str) -> None:
    found = certificate()
    found["chain"]["two_sample"]["p"] = p
    assert f"p = {p}: 1000 held-out particles after the last block {said} N(0, I)" in words(found)


def test_what_says_nothing_is_not_shown_as_a_bound() -> None:
    found = with_entropy(certificate())
    found["chain"] |= {"tv": 1.0, "kl_lower_bound": -0.1, "kl_measured": 0.01, "theorem_steps": 0}
    text = section(words(found, ENTROPY))
    assert "says nothing about the total variation" in text
    assert "total variation ≤" not in text
    assert "Not clearly positive here" in text
    assert "times the measured gap" not in text, "a gap of zero within its error"
    assert "none is asked for" in text


def test_the_stop_rule_is_named() -> None:
    found = certificate()
    assert "stop rule" not in words(found)
    found["chain"]["stopped"] = "certificate (C) is 0.09 ≤ 0.1 nats"
    assert "By its stop rule: certificate (C) is 0.09 ≤ 0.1 nats." in words(found)


def test_the_page_asks_nobody_for_anything() -> None:
    page = render(content(certificate()), NO_PICTURES)
    assert not re.search(r"(src|href)=\"(?!data:|#|None)", page)
    assert "@import" not in page


def test_without_certificates_there_is_no_picture() -> None:
    assert guarantee(content(certificate(reason=UNFIT))) is None


@pytest.mark.parametrize(("entropy", "known"), [(None, False), (ENTROPY, False), (ENTROPY, True)])
def test_the_picture_shows_bounds_and_the_truth_where_it_is_known(
    entropy: dict[str, float] | None, known: bool
) -> None:
    """With an unknown log Z of the target the certificate has no measured KL, and the picture none either."""
    found = with_entropy(certificate()) if known else certificate()
    found["blocks"][0]["certificate_a"] = None  # a gap in one line
    found["blocks"][1]["kl_lower_bound"] = -0.2  # not drawn
    with matplotlib.rc_context(STYLE):
        figure = guarantee(content(found, entropy))
        assert figure is not None
        figure.canvas.draw()
    bounds, inputs = figure.axes
    shown = bounds.get_legend_handles_labels()[1]
    assert ("measured: NLL − entropy" in shown) == known
    assert {"≤ (A) theorem", "≤ (B) sharp recursion", "≤ (C) log-Sobolev", "≤ (C) propagated"} <= set(shown)
    assert bounds.get_yscale() == "log"
    assert "ε, error of the step (exact score)" in inputs.get_legend_handles_labels()[1]


def test_the_gap_is_called_what_it_is() -> None:
    """With log Z unknown the NLL minus the entropy of the first law is KL to the target only up to it."""
    assert gap_words(None) == "gap to the data entropy"
    assert gap_words(TargetFigures(log_z_known=0.5)) == "KL to the target"
    assert gap_words(TargetFigures(log_z_known=None)) == "KL to the target − log Z"


def test_a_row_that_decides_the_mean_stands_above_all_on_the_page() -> None:
    own = content(certificate())
    heavy = {"row": 1432, "nll": 109_638.0, "adds": 52.2}
    beside = {
        "nll_median": 8.9, "nll_median_se": 0.1, "nll_trimmed": 9.0, "nll_trimmed_se": 0.1,
        "nll_worst_share": 0.97, "nll_worst_row": 1432, "heavy_rows": [heavy],
    }  # fmt: skip
    test = ChainNll.model_validate({"nll": 61.2, "nll_se": 52.0, **beside})
    own = replace(own, figures=own.figures.model_copy(update={"test": test}))
    page = render(own, NO_PICTURES)
    assert "row 1432 of the source (counted from 0) alone adds 52.2 nats to the test NLL of 61.2" in page
    assert page.index("row 1432") < page.index("The path of the chain")
    assert "8.900 ± 0.100" in page
    assert "97.0 % (row 1432)" in page
    assert "the worst row is 97 % of the squared error of the mean" in page
