"""Pictures: what is no grey is refused by its place, sizes are judged before anything is decoded."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jko.core.errors import InputError
from tasks.datasets.pictures import load_picture

GREY = np.random.default_rng(0).random((20, 30)).astype(np.float32)


def saved(path: Path, values: np.ndarray) -> str:
    Image.fromarray(values).save(path)
    return str(path)


@pytest.mark.parametrize(
    ("mark", "says"),
    [
        (np.nan, r"pixel \(2, 3\) holds nan, as do 4"),
        (np.inf, r"pixel \(2, 3\) holds inf"),
        (-9999.0, r"pixel \(2, 3\) holds -9999"),
        (1e20, "4 pixels hold 1e\\+20"),
    ],
    ids=["nan", "inf", "-9999", "1e20"],
)
def test_marks_of_missing_pixels_are_refused(mark: float, says: str, tmp_path: Path) -> None:
    values = GREY.copy()
    values[2:4, 3:5] = mark
    with pytest.raises(InputError, match=says) as raised:
        load_picture(saved(tmp_path / "p.tif", values))
    assert str(raised.value).count("p.tif") == 1


def test_one_grey_all_over_is_an_even_density_where_white_is_known(tmp_path: Path) -> None:
    half = np.full((9, 9), 32768, np.uint16)
    for name in ("p.png", "p.tif"):
        darkness = load_picture(saved(tmp_path / name, half))[1].darkness
        np.testing.assert_allclose(darkness, 255 * (1 - 32768 / 65535))
    with pytest.raises(InputError, match="all white"):
        load_picture(saved(tmp_path / "w.png", np.full((9, 9), 65535, np.uint16)))
    with pytest.raises(InputError, match="every pixel has the value 3"):
        load_picture(saved(tmp_path / "f.tif", np.full((9, 9), 3, np.float32)))


def test_deep_pictures_are_scaled_by_their_own_maximum(tmp_path: Path) -> None:
    for values in (GREY, (GREY * 4095).astype(np.uint16), (GREY * 1e5).astype(np.int32)):
        darkness = load_picture(saved(tmp_path / "p.tif", values))[1].darkness
        np.testing.assert_allclose(darkness, 255 * (1 - values / values.max()), atol=1e-4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stands_as_its_exif_data_say(orientation: int, tmp_path: Path) -> None:
    upright = np.full((16, 24), 255, np.uint8)
    upright[:8, :8] = 0  # dark at the top left
    undo: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).T,
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(undo[orientation](upright))).save(tmp_path / "p.png", exif=exif)
    darkness = load_picture(str(tmp_path / "p.png"))[1].darkness
    np.testing.assert_array_equal(darkness, 255.0 - upright)


@pytest.mark.parametrize(
    ("mode", "size"), [("L", (13_000, 13_000)), ("1", (13_400, 13_400)), ("L", (2001, 2000))]
)
def test_too_many_pixels_are_refused_before_they_are_decoded(
    mode: str, size: tuple[int, int], tmp_path: Path
) -> None:
    Image.new(mode, size).save(tmp_path / "bomb.png")
    begun = time.process_time()
    with pytest.raises(InputError, match="pixels"):
        load_picture(str(tmp_path / "bomb.png"))
    assert time.process_time() - begun < 0.5


def test_a_pointer_in_place_of_a_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(InputError, match="Git LFS pointer"):
        load_picture(str(tmp_path / "p.png"))


def test_damaged_pictures_are_pictures_or_one_sentence(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    for name, values in (
        ("p.png", (GREY * 255).astype(np.uint8)),
        ("p.tif", GREY),
        ("p.jpg", (GREY * 255).astype(np.uint8)),
    ):
        whole = Path(saved(tmp_path / name, values)).read_bytes()
        for _ in range(120):
            content = bytearray(whole)
            for place in draw.integers(0, len(content), 3):
                content[place] = draw.integers(256)
            (tmp_path / name).write_bytes(content[: draw.integers(1, len(content) + 1)])
            said, darkness = "", None
            try:
                darkness = load_picture(str(tmp_path / name))[1].darkness
            except InputError as error:
                said = str(error)
            assert "\n" not in said
            assert said or (darkness is not None and np.isfinite(darkness).all())


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n(/dev/null) run\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("name", ["p.png", "p.tif", "p.jpg", "p.gif", "p.bmp", "p.webp"])
def test_other_kinds_under_a_picture_s_name_are_not_even_opened(name: str, tmp_path: Path) -> None:
    for content in (EPS, b"P5 2 2 255\n\x00\x01\x02\x03"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="cannot identify"):
            load_picture(str(tmp_path / name))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP"])
def test_every_kind_that_is_allowed_is_read_under_any_of_their_names(kind: str, tmp_path: Path) -> None:
    Image.fromarray((GREY * 255).astype(np.uint8)).save(tmp_path / "p.png", format=kind)
    darkness = load_picture(str(tmp_path / "p.png"))[1].darkness
    assert np.abs(darkness - (255 - np.floor(GREY * 255))).mean() < 30


@pytest.mark.parametrize(("mark", "pixels"), [(9999.0, 1), (9999.0, 4), (500.0, 4), (32767.0, 300)])
def test_a_largest_value_far_from_all_others_is_no_grey(mark: float, pixels: int, tmp_path: Path) -> None:
    values = 10 * GREY
    values.ravel()[:pixels] = mark
    with pytest.raises(InputError, match=f"{pixels} pixels hold {mark:g}"):
        load_picture(saved(tmp_path / "p.tif", values))


@pytest.mark.parametrize(
    ("white", "pixels", "scale"), [(1.0, 9, 0.05), (255.0, 9, 5.0), (300.0, 400, 5.0), (300.0, 1, 5.0)]
)
def test_white_paper_and_one_bright_pixel_are_greys(
    white: float, pixels: int, scale: float, tmp_path: Path
) -> None:
    values = scale * GREY
    values.ravel()[:pixels] = white
    darkness = load_picture(saved(tmp_path / "p.tif", values))[1].darkness
    assert (darkness == 0).sum() == pixels
