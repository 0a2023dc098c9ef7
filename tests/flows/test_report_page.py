"""The report in a real browser: it shows its pictures and asks nobody for anything."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli.main import main
from tests.projects import ROUGH

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.mark.outside("chromium", "apt-get install chromium (or your system's package)")
def test_a_browser_shows_the_page(project: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    few = ("--set", "data.rows=500", "--set", "steps.count=1", "--set", "evaluation.mixture_components=[1]")
    words = ["train", "--preset", "gaussian", *few, *ROUGH]
    monkeypatch.setattr("sys.argv", ["jko", *words, "--chain", "chain"])
    main()
    page, shot = project / "chain.report" / "report.html", project / "shot.png"
    browser = ["chromium", *FLAGS, f"--user-data-dir={project / 'profile'}", "--window-size=1000,1400"]
    subprocess.run(
        [*browser, f"--screenshot={shot}", page.as_uri()], check=True, capture_output=True, timeout=120
    )
    dumped = subprocess.run(
        [*browser, "--dump-dom", page.as_uri()], check=True, capture_output=True, text=True, timeout=120
    ).stdout
    assert dumped.count("<img") >= 4, "samples, certificates, path, progress"
    assert "What is guaranteed" in dumped
    assert "chain cut" not in dumped.split("<img")[0]
    pixels = np.asarray(Image.open(shot).convert("RGB")).reshape(-1, 3)
    assert len(np.unique(pixels, axis=0)) > 200, "the pictures did not show"


@pytest.mark.slow
def test_pictures_are_drawn_for_one_dimension_and_for_many(
    project: Path, server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One column, and more dimensions than rows, are allowed with a warning."""
    draw = np.random.default_rng(0)
    for name, shape in (("one.npy", (300,)), ("many.npy", (20, 18))):
        np.save(project / name, draw.standard_normal(shape))
        quick = (
            "training.flow_matching_iterations=20", "training.iterations=5", "training.batch_size=32",
            "data.standardise=on", "data.augment.copies=1",  # without trials of starts
        )  # fmt: skip
        settings = [word for text in quick for word in ("--set", text)]
        monkeypatch.setattr(
            "sys.argv",
            [
                "jko",
                "train",
                "--data",
                name,
                "--set",
                "steps.count=1",
                *settings,
                *ROUGH,
                "--chain",
                name[:3],
            ],
        )
        main()
        assert (project / f"{name[:3]}.report" / "report.html").is_file()
    said = capsys.readouterr().err
    assert "warning: one dimension only" in said
    assert "warning: more dimensions (18) than training rows (16)" in said
