"""Velocity fields v(x, t) of neural-ODE blocks, with their exact divergence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _silu_slope(a: Tensor) -> Tensor:
    s = torch.sigmoid(a)
    return s * (1 + a * (1 - s))


# name -> (activation, its derivative); the derivative is needed for the exact divergence.
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "silu": (F.silu, _silu_slope),
    "softplus": (F.softplus, torch.sigmoid),
    "tanh": (torch.tanh, lambda a: 1 - torch.tanh(a) ** 2),
}


class VelocityField(nn.Module):
    r"""A multilayer perceptron with time, plus a linear map of the position.

    .. math:: v(x, t) = W_{L+1} h_L + A x + c, \quad
              h_1 = \sigma(W_1 \phi(x) + U \tau(t) + b_1), \quad
              h_{i+1} = \sigma(W_{i+1} h_i + b_{i+1})

    with :math:`\tau(t) = (t, \cos \pi t, \sin \pi t)` and :math:`\phi(x) = x`, or
    :math:`\phi(x) = (x, \cos Bx, \sin Bx)` with fixed random frequencies B (Fourier features,
    for fine-structured laws in low dimension). The output layer and A start at zero, so a new
    block is the identity.

    Args:
        dim: dimension d of the state.
        hidden: widths of the hidden layers, at least one.
        activation: ``silu``, ``softplus`` or ``tanh``.
        fourier: number of random frequencies; 0 for none.
        fourier_scale: standard deviation of the frequencies (radians per standardised unit); of
            several, the frequencies take one after the other in turn.
        generator: source of the initial weights and frequencies.
    """

    # registered modules and buffers, declared for the type checker
    time: nn.Linear
    linear: nn.Linear
    frequencies: Tensor

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] = (128, 128),
        activation: str = "silu",
        *,
        fourier: int = 0,
        fourier_scale: float | Sequence[float] = 3.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.activation = dim, activation
        scales = torch.tensor([fourier_scale] if isinstance(fourier_scale, float | int) else fourier_scale)
        turn = torch.arange(fourier) % len(scales)
        frequencies = torch.randn(fourier, dim, generator=generator) * scales[turn, None]
        self.register_buffer("frequencies", frequencies)
        widths = [dim + 2 * fourier, *hidden, dim]
        self.stack = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.time = nn.Linear(3, hidden[0], bias=False)
        self.linear = nn.Linear(dim, dim, bias=False)
        self._initialise(generator)

    def _initialise(self, generator: torch.Generator | None) -> None:
        """Fan-in uniform hidden layers; zero output layer and linear map."""
        with torch.no_grad():
            for layer in [*self.layers[:-1], self.time]:
                bound = 1 / math.sqrt(layer.in_features)
                layer.weight.uniform_(-bound, bound, generator=generator)
                if layer.bias is not None:
                    layer.bias.uniform_(-bound, bound, generator=generator)
        self.reset_output()

    @property
    def layers(self) -> list[nn.Linear]:
        """The linear layers from input to output."""
        return [layer for layer in self.stack if isinstance(layer, nn.Linear)]

    def act(self, a: Tensor) -> Tensor:
        """The activation σ."""
        return ACTIVATIONS[self.activation][0](a)

    def slope(self, a: Tensor) -> Tensor:
        """Its derivative σ'."""
        return ACTIVATIONS[self.activation][1](a)

    @torch.no_grad()
    def reset_output(self) -> None:
        """Zero the output layer and A, so that v = 0 and the block is the identity."""
        for zero in (self.layers[-1].weight, self.layers[-1].bias, self.linear.weight):
            zero.zero_()

    @property
    def has_trace_formula(self) -> bool:
        """Whether the divergence costs no more than a forward pass, whatever d."""
        return len(self.layers) <= 3 and self.frequencies.shape[0] == 0

    def _features(self, x: Tensor) -> Tensor:
        if self.frequencies.shape[0] == 0:
            return x
        angle = x @ self.frequencies.T
        return torch.cat([x, torch.cos(angle), torch.sin(angle)], dim=-1)

    def _first(self, x: Tensor, t: Tensor) -> Tensor:
        """Pre-activation of the first hidden layer, shape (batch, hidden[0])."""
        time = torch.stack([t, torch.cos(math.pi * t), torch.sin(math.pi * t)], dim=-1)
        return self.layers[0](self._features(x)) + self.time(time.to(x.dtype))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Velocity at positions and times.

        Args:
            x: positions, shape (batch, d).
            t: times in [0, 1], shape () or (batch,).

        Returns:
            Velocities, shape (batch, d).
        """
        h = self.act(self._first(x, t))
        for layer in self.layers[1:-1]:
            h = self.act(layer(h))
        return self.layers[-1](h) + self.linear(x)

    def with_divergence(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        r"""Velocity and its exact divergence :math:`\sum_i \partial v_i / \partial x_i`.

        With at most two hidden layers and no Fourier features the trace is a bilinear form,
        :math:`\sigma'(a_2)^\top (W_2 \circ (W_1 W_3)^\top) \sigma'(a_1) + \mathrm{tr} A`, as
        cheap as a forward pass in any dimension; otherwise d tangents are carried along.

        Args:
            x: positions, shape (batch, d).
            t: times in [0, 1], shape () or (batch,).

        Returns:
            Velocities, shape (batch, d), and divergences, shape (batch,).
        """
        if self.has_trace_formula:
            return self._trace_formula(x, t)
        return self._tangents(x, t)

    def _trace_formula(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        a1 = self._first(x, t)
        loop = self.layers[0].weight @ self.layers[-1].weight  # (h_1, h_L)
        trace = self.linear.weight.diagonal().sum()
        if len(self.layers) == 2:
            h, div = self.act(a1), self.slope(a1) @ loop.diagonal()
        else:
            a2 = self.layers[1](self.act(a1))
            h = self.act(a2)
            div = ((self.slope(a1) @ (self.layers[1].weight * loop.T).T) * self.slope(a2)).sum(-1)
        return self.layers[-1](h) + self.linear(x), div + trace

    def _tangents(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        a = self._first(x, t)
        first = self.layers[0].weight
        if self.frequencies.shape[0] == 0:
            tangent = first.T.expand(x.shape[0], -1, -1)  # (batch, d, h): row i is d a / d x_i
        else:
            angle = x @ self.frequencies.T
            n = self.frequencies.shape[0]
            plain, cos, sin = first.split([self.dim, n, n], dim=1)
            inner = -torch.sin(angle)[:, None, :] * self.frequencies.T
            outer = torch.cos(angle)[:, None, :] * self.frequencies.T
            tangent = plain.T + inner @ cos.T + outer @ sin.T
        for layer in self.layers[1:]:
            tangent = (tangent * self.slope(a)[:, None, :]) @ layer.weight.T
            a = layer(self.act(a))
        div = tangent.diagonal(dim1=-2, dim2=-1).sum(-1) + self.linear.weight.diagonal().sum()
        return a + self.linear(x), div
