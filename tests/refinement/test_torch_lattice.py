"""The lattice in torch: against a slow one, its transpose, its gradient, and keys that do not fit one number."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.refinement.slow_lattice import exact_filter, slow_filter

from pixelwise.refinement import torch_lattice
from pixelwise.refinement.torch_lattice import TorchLattice


def scattered(pixels: int, dimensions: int, seed: int = 0, spread: float = 3.0) -> torch.Tensor:
    """Features without ties, so that rounding moves no pixel to another simplex."""
    return torch.randn(pixels, dimensions, generator=torch.Generator().manual_seed(seed)) * spread


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5, 6])
@pytest.mark.parametrize("transposed", [False, True])
def test_equals_the_slow_lattice(dimensions, transposed):
    features = scattered(150, dimensions)
    values = torch.rand(150, 3, generator=torch.Generator().manual_seed(1))
    lattice = TorchLattice.of(features)
    slow = slow_filter(features.numpy(), values.numpy(), transposed)
    np.testing.assert_allclose(lattice.filter(values, transposed=transposed).numpy(), slow, atol=1e-5)


@pytest.mark.parametrize(("std", "tolerance"), [(3.0, 0.01), (8.0, 0.01)])
def test_is_near_the_exact_filter_when_normalised(std, tolerance):
    features = torch.cartesian_prod(torch.arange(24.0), torch.arange(24.0)) / std
    values = torch.rand(576, 2, generator=torch.Generator().manual_seed(0))
    lattice = TorchLattice.of(features)
    near = (lattice.filter(values) / lattice.filter(torch.ones(576, 1))).numpy()
    exact = exact_filter(features, values) / exact_filter(features, np.ones((576, 1)))
    assert np.abs(near - exact).mean() < tolerance


@given(st.integers(0, 1000), st.integers(1, 6))
def test_the_transpose_is_one(seed, dimensions):
    lattice = TorchLattice.of(scattered(40, dimensions, seed))
    u, v = torch.rand(2, 40, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    there, back = (u * lattice.filter(v)).sum(), (v * lattice.filter(u, transposed=True)).sum()
    assert there.item() == pytest.approx(back.item(), rel=1e-12)


@given(st.integers(0, 1000), st.integers(1, 6))
def test_weights_are_barycentric(seed, dimensions):
    weights = TorchLattice.of(scattered(40, dimensions, seed)).weights
    assert weights.min() > -1e-6
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)


def test_gradients_twice_over():
    lattice = TorchLattice.of(scattered(12, 3))
    values = torch.rand(12, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lattice.filter, (values,))
    assert torch.autograd.gradgradcheck(lattice.filter, (values,))


def test_one_pixel_alone():
    # It lies on a vertex, the origin. Half the value goes along each of three axes, once around the simplex, and adds
    # 1/8 of itself to it; alpha is 1 / (1 + 1/4). The other way round leads over vertices that do not exist.
    lattice = TorchLattice.of(torch.zeros(1, 2))
    assert lattice.size == 3
    assert lattice.filter(torch.ones(1, 1)).item() == pytest.approx((1 + 1 / 8) * 4 / 5)


def test_keys_that_do_not_fit_one_number_are_told_apart_all_the_same():
    features = scattered(200, 6, spread=3.0)
    far = features.clone()
    far[100:] += 1e5  # every coordinate spans 10^6 steps then: no six of them fit 63 bits
    values = torch.rand(200, 2, generator=torch.Generator().manual_seed(1))
    apart = torch.cat(
        [TorchLattice.of(part).filter(some) for part, some in zip(far.split(100), values.split(100), strict=True)]
    )
    wide = TorchLattice.of(far)
    torch.testing.assert_close(wide.filter(values), apart, atol=1e-6, rtol=0)
    assert wide.size == sum(TorchLattice.of(part).size for part in far.split(100))


def test_digits_are_places_of_a_number_where_they_fit():
    assert torch_lattice._digits(torch.tensor([10, 20, 30])).tolist() == [1, 10]
    assert (torch_lattice._digits(torch.tensor([2**40] * 3)) % 2 == 1).all()
