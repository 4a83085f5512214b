"""Fixed point, codes and centroids against the plain formulas in NumPy."""

import numpy as np
import pytest

from tardif.errors import DataError
from tardif.index.codes import ONE, QUERY_ONE, assign, decode, encode, to_fixed


def vectors(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.mark.parametrize("dim", [1, 3, 8, 50, 128])
@pytest.mark.parametrize(("scale", "one"), [(1.0, ONE), (1.0, QUERY_ONE), (3.7, ONE)])
def test_fixed_point_is_the_rounded_product_filled_with_zeros(dim, scale, one):
    given = vectors(37, dim) * np.float32(scale)
    fixed = to_fixed(given, scale, one)
    assert fixed.dtype == np.int16
    assert fixed.shape[1] % 4 == 0
    assert np.array_equal(fixed[:, :dim], np.clip(np.rint(given.astype(np.float64) * (one / scale)), -one, one))
    assert not fixed[:, dim:].any()


def test_what_is_longer_than_the_scale_is_cut_at_one():
    assert to_fixed(np.array([[1.5, -1.5, 0.5, 0.0]], dtype=np.float32)).tolist() == [[ONE, -ONE, 16384, 0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (36, 7)])
def test_what_is_no_number_is_refused_wherever_it_stands(bad, place):
    given = vectors(37, 8)
    given[place] = bad
    with pytest.raises(DataError, match="NaN or infinity"):
        to_fixed(given)


def test_vectors_may_lie_in_memory_as_they_like():
    given = vectors(37, 16)
    wide = np.zeros((37, 32), dtype=np.float32)
    wide[:, ::2] = given
    assert np.array_equal(to_fixed(np.asfortranarray(given)), to_fixed(given))
    assert np.array_equal(to_fixed(wide[:, ::2]), to_fixed(given))


@pytest.mark.parametrize("rows", [0, 1, 31, 32, 33, 100])
@pytest.mark.parametrize(("centroids", "dim"), [(1, 4), (2, 8), (3, 128), (257, 52)])
def test_the_nearest_centroid_is_that_of_the_largest_product_and_the_first_of_equals(rows, centroids, dim):
    given, among = to_fixed(vectors(rows, dim)), to_fixed(vectors(centroids, dim, seed=1))
    among[-1] = among[0]  # a tie for whatever is nearest to it
    products = given.astype(np.int64) @ among.astype(np.int64).T
    assert np.array_equal(assign(given, among), products.argmax(axis=1))


@pytest.mark.parametrize("dim", [4, 128])
def test_eight_bits_are_the_rounded_quotient_by_the_least_step_that_holds_the_largest(dim):
    given = to_fixed(vectors(65, dim))
    given[3] = 0
    arrays = encode(given, 8, None, None)
    most = np.abs(given.astype(np.int64)).max(axis=1)
    steps = np.maximum(np.ceil(most * 256 / 127), 1)
    assert np.array_equal(arrays["steps"], steps)
    assert np.array_equal(arrays["codes"], np.rint(given * 256.0 / steps[:, None]))
    off = np.abs(decode(arrays, 8, None, 0, 65).astype(np.int64) - given)
    assert (off <= steps[:, None] / 512 + 1).all()
