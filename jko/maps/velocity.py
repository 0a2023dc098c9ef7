"""Velocity fields v(x, t) of neural-ODE blocks, with their exact divergence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

from jko.core.context import state_of
from jko.maps.divergence import FieldWithDivergence


class _Kept(Protocol):
    """What the forward pass keeps for the backward one."""

    saved_tensors: tuple[Tensor, Tensor, Tensor, Tensor]


class _SiluPair(torch.autograd.Function):
    """silu and its derivative from one sigmoid, with a gradient that makes few passes over memory."""

    @staticmethod
    def forward(ctx: FunctionCtx, a: Tensor) -> tuple[Tensor, Tensor]:
        s = torch.sigmoid(a)
        value = a * s
        slope = torch.addcmul(s, value, rest := 1 - s)
        ctx.save_for_backward(s, rest, value, slope)
        return value, slope

    @staticmethod
    @once_differentiable
    def backward(ctx: _Kept, by_value: Tensor, by_slope: Tensor) -> Tensor:
        s, rest, value, slope = ctx.saved_tensors
        # silu'' = s (1 - s) (1 - value) + slope (1 - s), by which the gradient of the slope goes on
        curvature = torch.addcmul(s, s, value, value=-1).add_(slope).mul_(rest)
        return torch.addcmul(curvature.mul_(by_slope), by_value, slope)


def _silu_slope(a: Tensor) -> Tensor:
    s = torch.sigmoid(a)
    return s * (1 + a * (1 - s))


def _silu_pair(a: Tensor) -> tuple[Tensor, Tensor]:
    pair: tuple[Tensor, Tensor] = _SiluPair.apply(a)
    return pair


def _softplus_pair(a: Tensor) -> tuple[Tensor, Tensor]:
    return F.softplus(a), torch.sigmoid(a)


def _tanh_pair(a: Tensor) -> tuple[Tensor, Tensor]:
    value = torch.tanh(a)
    return value, 1 - value * value


# name -> (activation, its derivative); the derivative is needed for the exact divergence.
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "silu": (F.silu, _silu_slope),
    "softplus": (F.softplus, torch.sigmoid),
    "tanh": (torch.tanh, lambda a: 1 - torch.tanh(a) ** 2),
}
# name -> both at once, which share what they have in common
PAIRS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "silu": _silu_pair,
    "softplus": _softplus_pair,
    "tanh": _tanh_pair,
}


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The map x Wᵀ + b; a bias that all rows share costs no pass over memory."""
    return F.linear(x, weight, bias) if bias.ndim == 1 else x @ weight.T + bias


class VelocityField(nn.Module):
    r"""A multilayer perceptron with time, plus a linear map of the position.

    .. math:: v(x, t) = W_{L+1} h_L + A x + c, \quad
              h_1 = \sigma(W_1 \phi(x) + U \tau(t) + b_1), \quad
              h_{i+1} = \sigma(W_{i+1} h_i + b_{i+1})

    with :math:`\tau(t) = (t, \cos \pi t, \sin \pi t)` and :math:`\phi(x) = x`, or
    :math:`\phi(x) = (x, \cos Bx, \sin Bx)` with fixed random frequencies B (Fourier features,
    for fine-structured laws in low dimension). The output layer and A start at zero, so a new
    block is the identity.

    With a context u of c numbers, positions are rows (x, u); :math:`C u` joins :math:`h_1` before σ and
    :math:`D u` the output, D starting at zero. The velocity of u is zero, and the divergence is that in x.

    Args:
        dim: dimension d of the state.
        hidden: widths of the hidden layers, at least one.
        activation: ``silu``, ``softplus`` or ``tanh``.
        fourier: number of random frequencies; 0 for none.
        fourier_scale: standard deviation of the frequencies (radians per standardised unit); of
            several, the frequencies take one after the other in turn.
        context: c, columns behind those of the state that condition the field; 0 for none.
        generator: source of the initial weights and frequencies.
    """

    # registered modules and buffers, declared for the type checker
    time: nn.Linear
    linear: nn.Linear
    frequencies: Tensor
    conditioning: nn.Linear
    shift: nn.Linear

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] = (128, 128),
        activation: str = "silu",
        *,
        fourier: int = 0,
        fourier_scale: float | Sequence[float] = 3.0,
        context: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.context, self.activation = dim, context, activation
        scales = torch.tensor([fourier_scale] if isinstance(fourier_scale, float | int) else fourier_scale)
        turn = torch.arange(fourier) % len(scales)
        frequencies = torch.randn(fourier, dim, generator=generator) * scales[turn, None]
        self.register_buffer("frequencies", frequencies)
        widths = [dim + 2 * fourier, *hidden, dim]
        self.stack = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.time = nn.Linear(3, hidden[0], bias=False)
        self.linear = nn.Linear(dim, dim, bias=False)
        if context:  # weights of their own, so that a field without context has those it always had
            self.conditioning = nn.Linear(context, hidden[0], bias=False)
            self.shift = nn.Linear(context, dim, bias=False)
        self._initialise(generator)

    def _initialise(self, generator: torch.Generator | None) -> None:
        """Fan-in uniform hidden layers; zero output layer and linear map."""
        with torch.no_grad():
            own = [self.conditioning] if self.context else []
            for layer in [*self.layers[:-1], self.time, *own]:
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

    def pair(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """σ and its derivative σ'."""
        return PAIRS[self.activation](a)

    @torch.no_grad()
    def reset_output(self) -> None:
        """Zero the output layer, A and D, so that v = 0 and the block is the identity."""
        own = [self.shift.weight] if self.context else []
        for zero in (self.layers[-1].weight, self.layers[-1].bias, self.linear.weight, *own):
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

    def _bias(self, t: Tensor, given: Tensor | None) -> Tensor:
        """Bias of the first hidden layer, shape (hidden[0],), or (batch, hidden[0]) for times or contexts."""
        tau = torch.stack([t, torch.cos(math.pi * t), torch.sin(math.pi * t)], dim=-1)
        bias = self.layers[0].bias + self.time(tau.to(self.layers[0].bias.dtype))
        return bias if given is None else bias + self.conditioning(given)

    def _first(self, features: Tensor, t: Tensor, given: Tensor | None) -> Tensor:
        """Pre-activation of the first hidden layer, shape (batch, hidden[0])."""
        return _affine(features, self.layers[0].weight, self._bias(t, given))

    def _parts(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """The state, shape (batch, d), and the context, shape (batch, c); ``None`` for c = 0."""
        return (rows[..., : self.dim], rows[..., self.dim :]) if self.context else (rows, None)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Velocity at positions and times.

        Args:
            x: positions, shape (batch, d + c).
            t: times in [0, 1], shape () or (batch,).

        Returns:
            Velocities, shape (batch, d + c); 0 for the context.
        """
        x, given = self._parts(x)
        h = self.act(self._first(self._features(x), t, given))
        for layer in self.layers[1:-1]:
            h = self.act(layer(h))
        return self._output(h, x, given)

    def with_divergence(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        r"""Velocity and its exact divergence :math:`\sum_i \partial v_i / \partial x_i`.

        With at most two hidden layers and no Fourier features the trace is a bilinear form,
        :math:`\sigma'(a_2)^\top (W_2 \circ (W_1 W_3)^\top) \sigma'(a_1) + \mathrm{tr} A`, as
        cheap as a forward pass in any dimension; otherwise d tangents are carried along.

        Args:
            x: positions, shape (batch, d + c).
            t: times in [0, 1], shape () or (batch,).

        Returns:
            Velocities, shape (batch, d + c), and divergences, shape (batch,).
        """
        return self.prepared()(x, t)

    def prepared(self) -> FieldWithDivergence:
        """:meth:`with_divergence` under the present weights: what depends on these alone is computed once."""
        if self.frequencies.shape[0]:
            return partial(self._fourier_tangents, *self._fourier_weights())
        if not self.has_trace_formula:
            return self._plain_tangents
        loop = self.layers[0].weight @ self.layers[-1].weight  # (h_1, h_L)
        trace = self.linear.weight.diagonal().sum()
        if len(self.layers) == 2:
            return partial(self._one_layer, loop.diagonal(), trace)
        return partial(self._two_layers, self.layers[1].weight * loop.T, trace)

    def probed(self, probes: Tensor) -> FieldWithDivergence:
        r"""Velocity and Hutchinson's estimates :math:`e^\top \nabla v\, e` under the present weights.

        The tangents :math:`\nabla v\, e` are carried along with the values.

        Args:
            probes: e, shape (probes, batch, d + c); what stands in the context's columns is not used.

        Returns:
            A function of (x, t) giving velocities (batch, d + c) and estimates (batch, probes).
        """
        probe = state_of(probes, self.dim).transpose(0, 1)  # (batch, probes, d), as are all tangents
        first = F.linear(probe, self.layers[0].weight[:, : self.dim])
        last = probe @ self.layers[-1].weight
        linear = (F.linear(probe, self.linear.weight) * probe).sum(-1)
        turning = probe @ self.frequencies.T

        def evaluate(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            x, given = self._parts(x)
            features = self._features(x)
            tangent = first + self._turned(features, turning) if len(self.frequencies) else first
            h, tangent = self._hidden(self._first(features, t, given), tangent)
            return self._output(h, x, given), (tangent * last).sum(-1) + linear

        return evaluate

    def _turned(self, features: Tensor, turning: Tensor) -> Tensor:
        """Derivatives through cos and sin whose angles turn, shape (batch, tangents, frequencies)."""
        cos, sin = features[:, None, self.dim :].chunk(2, dim=-1)
        turned = torch.cat([-sin * turning, cos * turning], dim=-1)
        return F.linear(turned, self.layers[0].weight[:, self.dim :])

    def _one_layer(self, loop: Tensor, trace: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        x, given = self._parts(x)
        h, slope = self.pair(self._first(x, t, given))
        return self._output(h, x, given), slope @ loop + trace

    def _two_layers(self, loop: Tensor, trace: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        x, given = self._parts(x)
        h1, slope1 = self.pair(self._first(x, t, given))
        h2, slope2 = self.pair(self.layers[1](h1))
        return self._output(h2, x, given), (F.linear(slope1, loop) * slope2).sum(-1) + trace

    def _plain_tangents(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        x, given = self._parts(x)
        return self._tangents(x, given, self._first(x, t, given), self.layers[0].weight.T)

    def _fourier_weights(self) -> tuple[Tensor, Tensor, Tensor]:
        r"""Weights of the first layer on x and on :math:`f = (\cos Bx, \sin Bx)`, and of its derivatives.

        As :math:`\partial f / \partial x_i` is f itself, turned and times :math:`B_i`, the derivative of
        :math:`W f` along axis i is linear in f as well.
        """
        plain, cos, sin = self.layers[0].weight.split([self.dim, *2 * self.frequencies.shape[:1]], dim=1)
        along = self.frequencies.T[:, None, :]  # (d, 1, frequencies)
        turned = torch.cat([sin * along, -cos * along], dim=-1)
        return plain, torch.cat([cos, sin], dim=1), turned.flatten(0, 1)

    def _fourier_tangents(
        self, plain: Tensor, weight: Tensor, turned: Tensor, x: Tensor, t: Tensor
    ) -> tuple[Tensor, Tensor]:
        x, given = self._parts(x)
        angle = x @ self.frequencies.T
        features = torch.cat([torch.cos(angle), torch.sin(angle)], dim=-1)
        first = torch.addmm(_affine(x, plain, self._bias(t, given)), features, weight.T)
        tangent = F.linear(features, turned, plain.T.flatten())
        return self._tangents(x, given, first, tangent.unflatten(-1, (self.dim, -1)))

    def _tangents(self, x: Tensor, given: Tensor | None, a: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor]:
        """On from the first layer, with the derivatives along the axes: shape ([batch,] d, width)."""
        h, tangent = self._hidden(a, tangent)
        # only the i-th entry of the derivative along axis i counts
        div = tangent.flatten(1) @ self.layers[-1].weight.flatten()
        return self._output(h, x, given), div + self.linear.weight.diagonal().sum()

    def _hidden(self, a: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor]:
        """On to the last hidden layer, with tangents of shape ([batch,] tangents, width)."""
        h, slope = self.pair(a)
        tangent = tangent * slope[:, None, :]
        for layer in self.layers[1:-1]:
            h, slope = self.pair(layer(h))
            tangent = F.linear(tangent, layer.weight) * slope[:, None, :]
        return h, tangent

    def _output(self, h: Tensor, x: Tensor, given: Tensor | None) -> Tensor:
        """The velocity of rows, shape (batch, d + c)."""
        velocity = self.layers[-1](h) + self.linear(x)
        if given is None:
            return velocity
        return torch.cat([velocity + self.shift(given), torch.zeros_like(given)], dim=-1)
