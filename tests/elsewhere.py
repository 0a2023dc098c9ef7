"""A device that is none: its tensors hold their numbers on the processor, but do not mix with those there.

A chain on a graphics processor can fail where a tensor of the host meets one of the device, and no machine
without such a device would notice. Inside :class:`Elsewhere` the device ``meta`` stands in for one:
what is moved or made there computes as usual, meets tensors of the host only where CUDA allows it, too
(copies, indices, single numbers), and is no NumPy array until it is moved back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = "meta"
aten: Any = torch.ops.aten
COPIES = {aten._to_copy.default, aten.copy_.default}
#: the second argument of these, indices, may be on the host
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
#: these take not even single numbers of the host
STRICT = {
    aten.cat.default,
    aten.stack.default,
    aten.mm.default,
    aten.addmm.default,
    aten.bmm.default,
    aten.mv.default,
}


class Away(Tensor):
    """A tensor of the stand-in device."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Away:
        made: Away = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=DEVICE,
        )  # fmt: skip
        made.held = held
        return made

    def __init__(self, held: Tensor) -> None:
        pass

    def __repr__(self, **_: Any) -> str:
        return f"Away({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(func, args, kwargs or {})


class Elsewhere(TorchDispatchMode):
    """Inside it the device ``meta`` is the stand-in."""

    def __enter__(self) -> Elsewhere:
        self.numbers = Numbers()
        self.numbers.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.numbers.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(func, args, kwargs or {})


class Numbers(TorchFunctionMode):
    """What passes between tensors and Python's numbers without an operation."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        device = kwargs.get("device")
        if func is Tensor.tolist:
            return held_by(args[0]).tolist()
        if func not in (torch.tensor, torch.as_tensor) or device is None:
            return func(*args, **kwargs)
        return func(*args, **{**kwargs, "device": "cpu"}).to(device)


def dispatched(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The operation on the numbers; its result is where the device named is, else where its tensors are."""
    given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
    away = {id(value.held): value for value in given if isinstance(value, Away)}
    device = kwargs.get("device")
    if device is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    there = bool(away) if device is None else torch.device(device).type == DEVICE
    if away and func not in COPIES:
        meeting = tree_leaves((args[:1], args[2:], kwargs)) if func in INDEXED else given
        strangers = [value for value in meeting if isinstance(value, Tensor) and not isinstance(value, Away)]
        if any(value.dim() or func in STRICT for value in strangers):
            raise RuntimeError(f"{func}: a tensor of the host meets one of the device")
    if there and kwargs.get("generator") is not None:
        raise RuntimeError(f"{func}: a generator of the host draws on the device")
    result = func(*tree_map(held_by, args), **tree_map(held_by, kwargs))
    if torch.Tag.inplace_view in func.tags and away:
        with no_dispatch():  # the shape that the tensor itself shows
            func(*args, **kwargs)
    if func is aten.copy_.default:
        return args[0]
    if not there:
        return result

    def placed(value: Any) -> Any:
        known = away.get(id(value))  # what an operation changes in place stays the tensor it was
        return known if known is not None else Away(value) if isinstance(value, Tensor) else value

    return tree_map(placed, result)


def held_by(value: Any) -> Any:
    """The numbers of a tensor of the device; anything else as it is."""
    return value.held if isinstance(value, Away) else value
