"""Draw docs/pictures/noise.gif: rows of a chain's data become noise, and noise becomes rows.

Usage: python docs/pictures/noise.py CHAIN, with the chain of the preset rose.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

import jko
from jko.flow import Flow
from jko.laws.densities import PictureDensity, moons, rose_picture

HERE = Path(__file__).resolve().parent
POINTS = 5000
SIDE = 340
#: from the middle of the data to their rim: wine, red, rose, violet, blue
COLOURS = np.array([[112, 20, 56], [178, 42, 58], [222, 98, 84], [134, 92, 142], [62, 92, 166]])
#: half of the side of the picture, standardised units
REACH = 3.2
#: frames of a block, and of a rest at either end
FRAMES, REST = 8, 8


def rows_of(flow: Flow) -> Tensor:
    """Fresh rows of the law that a flow was trained on, data units, shape (rows, 2)."""
    law = moons() if flow.config.data.source == "moons" else PictureDensity(rose_picture())
    return torch.from_numpy(law.sample(POINTS, np.random.default_rng(1)))


def between(positions: np.ndarray) -> list[np.ndarray]:
    """Frames along straight lines from block to block, slow at both ends of a block."""
    frames = [positions[0]] * REST
    for before, after in pairwise(positions):
        for share in np.linspace(0, 1, FRAMES + 1)[1:]:
            smooth = share * share * (3 - 2 * share)
            frames.append((1 - smooth) * before + smooth * after)
    return frames


def drawn(rows: np.ndarray, colours: np.ndarray, text: str) -> Image.Image:
    """One frame: points on white, under a line of text."""
    canvas = Image.new("RGB", (2 * SIDE, 2 * SIDE), "white")
    draw = ImageDraw.Draw(canvas)
    for (x, y), colour in zip((rows / REACH * [1, -1] + 1) * SIDE, colours, strict=True):
        draw.ellipse((x - 1.7, y - 1.7, x + 1.7, y + 1.7), fill=tuple(colour))
    small = canvas.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    ImageDraw.Draw(small).text((8, SIDE - 22), text, fill="#444444", font=ImageFont.load_default(14))
    return small


def colours_of(rows: np.ndarray) -> np.ndarray:
    """From the middle to the rim, shape (rows, 3)."""
    radius = np.hypot(*rows.T)
    return COLOURS[np.argsort(np.argsort(radius)) * len(COLOURS) // len(rows)]


def animation(flow: Flow) -> list[Image.Image]:
    """Data to noise, then fresh noise to new rows."""
    there = flow.trajectory(rows_of(flow)).numpy()
    back = flow.trajectory(flow.sample(POINTS, seed=1)).numpy()
    parts = (
        (between(there), there[0], "from data to noise"),
        (between(back)[::-1], back[0], "from noise to new points"),
    )
    frames = []
    for steps, first, text in parts:
        colours = colours_of(first)
        frames += [drawn(step, colours, text) for step in steps]
    return frames + [frames[-1]] * REST


def save(frames: list[Image.Image], path: Path) -> None:
    """An endless GIF of few colours, the same in all frames."""
    palette = Image.new("P", (1, 1))
    shades = [255 - share * (255 - COLOURS) for share in (1, 0.6, 0.25)]
    palette.putpalette(np.concatenate([np.full((1, 3), 255), *shades]).astype(np.uint8).tobytes())
    plain = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    plain[0].save(path, save_all=True, append_images=plain[1:], duration=70, loop=0, optimize=True)


if __name__ == "__main__":
    save(animation(jko.load(sys.argv[1])), HERE / "noise.gif")
    print(f"{HERE / 'noise.gif'}: {(HERE / 'noise.gif').stat().st_size / 1e3:.0f} kB")
