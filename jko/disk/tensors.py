"""Tensors on disk: the only user of safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save
from torch import Tensor

from jko.core.errors import InputError
from jko.disk.durable import write_bytes


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors atomically; equal tensors give equal bytes.

    Args:
        path: the file.
        tensors: by name, on any device.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_bytes(path, save(state))  # safetensors itself leaves files that only the owner reads


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; no more memory is taken than the file is long.

    Raises:
        InputError: it is none: cut off, with a header that says what is not there, or two of one name.
    """
    try:
        state: dict[str, Tensor] = load_file(path)
        with path.open("rb") as stream:
            json.loads(stream.read(int.from_bytes(stream.read(8), "little")), object_pairs_hook=_once)
    except (SafetensorError, ValueError, KeyError, RecursionError) as error:
        what = str(error).partition("\n")[0][:200]
        raise InputError(f"{path}: these are no tensors that can be read ({what})") from None
    return state


def _once(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice")
    return found


def pack_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Tensors on the host, and words about them, as the content of a safetensors file."""
    return save(dict(tensors), dict(metadata))


def unpack_tensors(content: bytes) -> dict[str, Tensor]:
    """The tensors of the content of a safetensors file.

    Raises:
        ValueError: it is none.
    """
    try:
        return load(content)
    except (SafetensorError, KeyError) as error:
        raise ValueError(str(error)) from None
