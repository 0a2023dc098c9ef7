"""A network f with Lip f ≤ c < 1, guaranteed by the spectral norms of its layers: the f of T = Id + f."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jko.core.errors import InputError
from jko.maps.velocity import ACTIVATIONS, PAIRS

#: name -> largest slope Λ; the smallest is at least 1 − Λ. Where silu'' = 0, a tanh(a/2) = 2 and silu' is
#: 1/2 + a/4, here rounded up
LIPSCHITZ = {"silu": 1.0998393201288670, "softplus": 1.0, "tanh": 1.0}


@dataclass(frozen=True)
class Contraction:
    """f under fixed weights; everything that depends on these alone is computed.

    Args:
        hidden: weights and biases of the hidden layers.
        output: weight of the output layer, already scaled, shape (d, width).
        bias: shape (d,).
        linear: A, already scaled, shape (d, d).
        activation: a name in :data:`LIPSCHITZ`.
        lipschitz: an upper bound of Lip f, less than 1 (nan under weights that are not finite).
    """

    hidden: tuple[tuple[Tensor, Tensor], ...]
    output: Tensor
    bias: Tensor
    linear: Tensor
    activation: str
    lipschitz: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """f(x); shapes (batch, d) to (batch, d)."""
        h, act = x, ACTIVATIONS[self.activation][0]
        for weight, bias in self.hidden:
            h = act(F.linear(h, weight, bias))
        return F.linear(h, self.output, self.bias) + F.linear(x, self.linear)

    def with_slopes(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """f(x) and the derivatives of the activations there, each of shape (batch, width)."""
        h, slopes = x, []
        for weight, bias in self.hidden:
            h, slope = PAIRS[self.activation](F.linear(h, weight, bias))
            slopes.append(slope)
        return F.linear(h, self.output, self.bias) + F.linear(x, self.linear), slopes

    def along(self, slopes: Sequence[Tensor], tangent: Tensor) -> Tensor:
        """∇f times tangents, carried through the layers; all axes but the last broadcast."""
        t = tangent
        for (weight, _), slope in zip(self.hidden, slopes, strict=True):
            t = F.linear(t, weight) * slope
        return F.linear(t, self.output) + F.linear(tangent, self.linear)

    def with_jacobian(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f(x) and ∇f(x), shape (batch, d, d): entry (i, j) is ∂f_i/∂x_j."""
        value, slopes = self.with_slopes(x)
        units = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
        return value, self.along([slope[:, None, :] for slope in slopes], units).mT


class ContractionField(nn.Module):
    r"""A multilayer perceptron plus a linear map, scaled down where their Lipschitz constants are too large.

    .. math:: f(x) = s\,(W_{L+1} h_L + A x) + b, \quad h_1 = \sigma(W_1 x + b_1), \quad
              h_{i+1} = \sigma(W_{i+1} h_i + b_{i+1}), \quad s = \min(1, c / \ell)

    with ℓ a Lipschitz constant of the bracket (:func:`layers_bound`), so Lip f ≤ min(c, ℓ) < 1 whatever the
    weights are. There is one factor for the sum instead of one for each layer: a steep hidden layer can be
    made up for by a small output layer, which is what sharp transitions of f take, and every linear map with
    ‖A‖ ≤ c is an f as it is. The output layer and A start at zero, so a new f is zero.

    Args:
        dim: dimension d of the state.
        hidden: widths of the hidden layers, at least one.
        activation: ``silu``, ``softplus`` or ``tanh``.
        lipschitz: the bound c, 0 < c < 1.
        generator: source of the initial weights.

    Raises:
        InputError: the bound is not between 0 and 1.

    Source: invertible residual networks (arXiv:1811.00995) and Residual Flows (arXiv:1906.02735), which
    divide each layer by a power iteration's estimate, from below, of its norm; here one division, by a
    bound of the whole from norms by eigendecomposition.
    """

    linear: nn.Linear

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] = (128, 128),
        activation: str = "silu",
        *,
        lipschitz: float = 0.9,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 0 < lipschitz < 1:
            raise InputError(
                f"the Lipschitz bound of a residual block is {lipschitz}; 0 < bound < 1 is needed"
            )
        self.dim, self.activation, self.lipschitz = dim, activation, lipschitz
        self.stack = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise([dim, *hidden, dim]))
        self.linear = nn.Linear(dim, dim, bias=False)
        self._initialise(generator)

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator | None) -> None:
        """Fan-in uniform hidden layers; zero output layer and linear map."""
        for layer in self.layers[:-1]:
            bound = 1 / math.sqrt(layer.in_features)
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.uniform_(-bound, bound, generator=generator)
        self.reset_output()

    @property
    def layers(self) -> list[nn.Linear]:
        """The linear layers from input to output."""
        return [layer for layer in self.stack if isinstance(layer, nn.Linear)]

    @torch.no_grad()
    def reset_output(self) -> None:
        """Zero the output layer and A, so that f = 0."""
        for zero in (self.layers[-1].weight, self.layers[-1].bias, self.linear.weight):
            zero.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """f(x); shapes (batch, d) to (batch, d)."""
        return self.prepared()(x)

    def prepared(self, dtype: torch.dtype | None = None) -> Contraction:
        """The map under the present weights, differentiable by them; its norms are computed here, once.

        Args:
            dtype: of the computation; the weights' own by default.
        """
        bound = self.unscaled_bound()
        scale = self.lipschitz / bound.clamp(min=self.lipschitz)  # 1 where the bound holds already

        def cast(value: Tensor) -> Tensor:
            return value if dtype is None else value.to(dtype)

        *hidden, last = self.layers
        factor = scale.to(device=last.weight.device, dtype=dtype or last.weight.dtype)
        return Contraction(
            tuple((cast(layer.weight), cast(layer.bias)) for layer in hidden),
            factor * cast(last.weight), cast(last.bias), factor * cast(self.linear.weight),
            self.activation, bound.detach().clamp(max=self.lipschitz),
        )  # fmt: skip

    def unscaled_bound(self) -> Tensor:
        """The bound ℓ before scaling: float64, shape (), on the host; nan for weights not finite."""
        weights = [layer.weight.to("cpu", torch.float64) for layer in self.layers]
        return layers_bound(weights, self.linear.weight.to("cpu", torch.float64), LIPSCHITZ[self.activation])


def layers_bound(weights: Sequence[Tensor], linear: Tensor, steepest: float) -> Tensor:
    r"""A Lipschitz constant of a network plus a linear map A.

    Slopes of the activations lie in :math:`[\tfrac12 - r, \tfrac12 + r]`, so the Jacobian is
    :math:`A + W_{L+1} D_L W_L \cdots D_1 W_1` with :math:`D_i = \tfrac12 + E_i` and :math:`\|E_i\| \le r`.
    Expanded and sorted by the last factor E of a term, with :math:`W_{i:j} = W_i \cdots W_{j+1}`,

    .. math:: \ell = \|A + 2^{-L} W_{L+1:0}\| + \sum_{j=1}^{L} 2^{j-L} \|W_{L+1:j}\| \beta_j, \quad
              \beta_i = r \sum_{j=0}^{i-1} 2^{j+1-i} \|W_{i:j}\| \beta_j, \quad \beta_0 = 1

    Never more than :math:`\Lambda^L \prod \|W_i\| + \|A\|`, Λ = ½ + r, and equal to it only where the layers'
    singular vectors are aligned.

    Args:
        weights: of the layers from input to output, float64, on the host.
        linear: A, float64, on the host.
        steepest: Λ, the largest slope of the activation; the smallest is 1 − Λ.

    Returns:
        Shape (), differentiable.

    Source: Lipschitz certificates of averaged activations (Combettes and Pesquet, arXiv:1903.01014).
    """
    betas = [torch.ones((), dtype=torch.float64)]
    for i, weight in enumerate(weights):
        segment, total = weight, torch.zeros((), dtype=torch.float64)
        output = i + 1 == len(weights)
        for j in range(i, -1, -1):
            segment = segment if j == i else segment @ weights[j] / 2
            whole = linear + segment if output and j == 0 else segment
            total = total + spectral_norm(whole) * betas[j]
        betas.append(total if output else (steepest - 0.5) * total)
    return betas[-1]


def spectral_norm(weight: Tensor) -> Tensor:
    r"""The largest singular value of a matrix in float64, with its derivative :math:`u v^\top`.

    v is the top eigenvector of the smaller Gram matrix, from a full eigendecomposition; an error of v
    changes :math:`|W v|` by its square only.

    Args:
        weight: shape (m, n), any dtype and device.

    Returns:
        Shape (), on the host; nan for weights not finite.
    """
    matrix = weight.to("cpu", torch.float64)
    matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    with torch.no_grad():
        gram = matrix.T @ matrix
        if not torch.isfinite(gram).all():
            return torch.full((), math.nan, dtype=torch.float64)
        top = torch.linalg.eigh(gram)[1][:, -1]
    return (matrix @ top).norm()
