"""Randomised Sobol' points made from their index, inside the compiled program.

A point is a pure function of (key, replicate, index), so that any chunk size and any number of
devices see the same points. The generator is Sobol' (1967) with the direction numbers of Joe and
Kuo (2008, "Constructing Sobol sequences with better two-dimensional projections"), in natural
index order, randomised by a linear matrix scramble and a digital shift (Matousek 1998; Owen 2023,
"Practical Quasi-Monte Carlo Integration", ch. 17). Each replicate is an independent scramble, so
that the spread between replicates is an honest Monte Carlo error.
"""

from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtri

from .elementary import log, polynomial

BITS = 32
MAX_DIMENSION = 64

# Primitive polynomial (as bits) and initial odd numbers m_1..m_s of each dimension: Joe & Kuo 2008,
# file new-joe-kuo-6, first 64 dimensions (facts, distributed by their authors under a BSD licence).
_POLYNOMIALS_AND_INITIAL_NUMBERS = (
    (1, (1,)),
    (3, (1,)),
    (7, (1, 3)),
    (11, (1, 3, 1)),
    (13, (1, 1, 1)),
    (19, (1, 1, 3, 3)),
    (25, (1, 3, 5, 13)),
    (37, (1, 1, 5, 5, 17)),
    (41, (1, 1, 5, 5, 5)),
    (47, (1, 1, 7, 11, 19)),
    (55, (1, 1, 5, 1, 1)),
    (59, (1, 1, 1, 3, 11)),
    (61, (1, 3, 5, 5, 31)),
    (67, (1, 3, 3, 9, 7, 49)),
    (91, (1, 1, 1, 15, 21, 21)),
    (97, (1, 3, 1, 13, 27, 49)),
    (103, (1, 1, 1, 15, 7, 5)),
    (109, (1, 3, 1, 15, 13, 25)),
    (115, (1, 1, 5, 5, 19, 61)),
    (131, (1, 3, 7, 11, 23, 15, 103)),
    (137, (1, 3, 7, 13, 13, 15, 69)),
    (143, (1, 1, 3, 13, 7, 35, 63)),
    (145, (1, 3, 5, 9, 1, 25, 53)),
    (157, (1, 3, 1, 13, 9, 35, 107)),
    (167, (1, 3, 1, 5, 27, 61, 31)),
    (171, (1, 1, 5, 11, 19, 41, 61)),
    (185, (1, 3, 5, 3, 3, 13, 69)),
    (191, (1, 1, 7, 13, 1, 19, 1)),
    (193, (1, 3, 7, 5, 13, 19, 59)),
    (203, (1, 1, 3, 9, 25, 29, 41)),
    (211, (1, 3, 5, 13, 23, 1, 55)),
    (213, (1, 3, 7, 3, 13, 59, 17)),
    (229, (1, 3, 1, 3, 5, 53, 69)),
    (239, (1, 1, 5, 5, 23, 33, 13)),
    (241, (1, 1, 7, 7, 1, 61, 123)),
    (247, (1, 1, 7, 9, 13, 61, 49)),
    (253, (1, 3, 3, 5, 3, 55, 33)),
    (285, (1, 3, 1, 15, 31, 13, 49, 245)),
    (299, (1, 3, 5, 15, 31, 59, 63, 97)),
    (301, (1, 3, 1, 11, 11, 11, 77, 249)),
    (333, (1, 3, 1, 11, 27, 43, 71, 9)),
    (351, (1, 1, 7, 15, 21, 11, 81, 45)),
    (355, (1, 3, 7, 3, 25, 31, 65, 79)),
    (357, (1, 3, 1, 1, 19, 11, 3, 205)),
    (361, (1, 1, 5, 9, 19, 21, 29, 157)),
    (369, (1, 3, 7, 11, 1, 33, 89, 185)),
    (391, (1, 3, 3, 3, 15, 9, 79, 71)),
    (397, (1, 3, 7, 11, 15, 39, 119, 27)),
    (425, (1, 1, 3, 1, 11, 31, 97, 225)),
    (451, (1, 1, 1, 3, 23, 43, 57, 177)),
    (463, (1, 3, 7, 7, 17, 17, 37, 71)),
    (487, (1, 3, 1, 5, 27, 63, 123, 213)),
    (501, (1, 1, 3, 5, 11, 43, 53, 133)),
    (529, (1, 3, 5, 5, 29, 17, 47, 173, 479)),
    (539, (1, 3, 3, 11, 3, 1, 109, 9, 69)),
    (545, (1, 1, 1, 5, 17, 39, 23, 5, 343)),
    (557, (1, 3, 1, 5, 25, 15, 31, 103, 499)),
    (563, (1, 1, 1, 11, 11, 17, 63, 105, 183)),
    (601, (1, 1, 5, 11, 9, 29, 97, 231, 363)),
    (607, (1, 1, 5, 15, 19, 45, 41, 7, 383)),
    (617, (1, 3, 7, 7, 31, 19, 83, 137, 221)),
    (623, (1, 1, 1, 3, 23, 15, 111, 223, 83)),
    (631, (1, 1, 5, 13, 31, 15, 55, 25, 161)),
    (637, (1, 1, 3, 13, 25, 47, 39, 87, 257)),
)


class Points(NamedTuple):
    """Randomised generator state.

    directions: uint32 (replicate, dimension, BITS), scrambled direction numbers
    shifts:     uint32 (replicate, dimension), digital shifts
    """

    directions: Array | np.ndarray
    shifts: Array | np.ndarray


@cache
def direction_numbers(dimension: int) -> np.ndarray:
    """Return the unscrambled direction numbers, uint32 (dimension, BITS).

    Raises ``ValueError`` if ``dimension`` is not in 1..64.
    """
    if not 1 <= dimension <= MAX_DIMENSION:
        raise ValueError(f"dimension: got {dimension}, expected 1 to {MAX_DIMENSION}")
    numbers = np.zeros((dimension, BITS), dtype=np.uint64)
    for row, (primitive, initial) in enumerate(_POLYNOMIALS_AND_INITIAL_NUMBERS[:dimension]):
        m = [1] * BITS if primitive == 1 else list(initial)
        degree = primitive.bit_length() - 1
        for k in range(len(m), BITS):
            new = m[k - degree] ^ (m[k - degree] << degree)
            for j in range(1, degree):
                if primitive >> (degree - j) & 1:
                    new ^= m[k - j] << j
            m.append(new)
        numbers[row] = [m[k] << (BITS - 1 - k) for k in range(BITS)]
    found = numbers.astype(np.uint32)
    found.flags.writeable = False  # it is shared by all who ask
    return found


def randomise(key: Array, dimension: int, replicates: int) -> Points:
    """Return ``replicates`` independent scrambles of the first ``dimension`` Sobol' coordinates.

    key: typed key (``jax.random.key``). The random bits depend on the key alone, not on the
    float precision. Raises ``TypeError`` for a legacy key and ``ValueError`` for a bad dimension.
    """
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        raise TypeError("key: expected a typed key made by jax.random.key(seed)")
    numbers = direction_numbers(dimension)
    random = np.asarray(_random_bits(key, (replicates, dimension, BITS + 1)))
    # On the host: a few thousand numbers, not worth seconds of compilation.
    row = np.arange(BITS, dtype=np.uint32)
    top = np.uint32(1) << (np.uint32(BITS - 1) - row)  # row 0 makes the most significant bit
    above = ~((top << np.uint32(1)) - np.uint32(1))  # bits more significant than the row's own
    lower_triangular = (random[..., :BITS] & above) | top
    parity = np.bitwise_count(lower_triangular[..., :, None] & numbers[None, :, None, :]) & 1
    directions = np.bitwise_or.reduce(parity * top[:, None], axis=-2)
    return Points(directions, random[..., BITS])


@partial(jax.jit, static_argnames="size")
def _random_bits(key: Array, size: tuple[int, ...]) -> Array:
    with jax.threefry_partitionable(True):  # its setting changes the bits
        return jax.random.bits(key, size, jnp.uint32)


def bits_at(directions: Array, shift: Array, index: Array, *, index_bits: int = BITS) -> Array:
    """Return the randomised points of one replicate as integers, uint32 (dimension, index).

    directions: (dimension, BITS); shift: (dimension,); index: uint32 (index,), all below
    2^index_bits.
    """
    bits = jnp.broadcast_to(shift[:, None], (shift.shape[0], index.shape[0]))
    numbers = jnp.unstack(directions[:, :index_bits], axis=1)
    for j, number in enumerate(numbers):
        bits = _flipped(bits, number, index >> j)
    return bits


@jax.jit
def _flipped(bits: Array, number: Array, index: Array) -> Array:
    """Return the bits with a direction number, (dimension,), added where an index is odd."""
    mask = jnp.uint32(0) - (index & 1)  # all ones
    return bits ^ (number[:, None] & mask)


def block_at(directions: Array, shift: Array, start: Array, count: int) -> Array:
    """Return the points ``start``, ..., ``start + count - 1`` as `bits_at` does, for less work.

    start: scalar uint32, a multiple of ``count``, which is a power of two.
    """
    first = bits_at(directions, shift, start[None])
    index = jnp.arange(count, dtype=jnp.uint32)
    return bits_at(directions, first[:, 0], index, index_bits=count.bit_length() - 1)


def uniform(bits: Array, dtype: type[np.floating]) -> Array:
    """Return points in (0, 1): the centre of each of the 2^32 cells, never 0 or 1 in float64."""
    return (bits.astype(dtype) + 0.5) * dtype(2.0**-BITS)


def below(bits: Array, count: int) -> Array:
    """Return points as integers 0, ..., ``count - 1``: floor(u x count) in exact arithmetic.

    count: at most 2^16
    """
    high, low = bits >> 16, bits & 0xFFFF
    return ((high * count + (low * count >> 16)) >> 16).astype(jnp.int32)


def normal(bits: Array, dtype: type[np.floating]) -> Array:
    """Return standard normal quantiles, exact in both tails.

    The tail probability is formed from the integers: in float32 ``1 - u`` would lose the upper
    tail beyond |z| = 5.4, this reaches 6.3. In float32 z / (1 - 2 t) is a polynomial in
    w = -ln(4 t (1 - t)), as Giles (2010, "Approximating the erfinv function") does it, here of our
    own fit down to t = 2^-33 and good to 5e-7: half a forecast's inputs cost their quantiles.
    """
    upper = bits >= jnp.uint32(1 << (BITS - 1))
    least = jnp.where(upper, ~bits, bits).astype(jnp.int32)  # CPUs convert these in one step
    tail = (least.astype(dtype) + 0.5) * dtype(2.0**-BITS)
    z = _upper_quantile(tail) if dtype == np.float32 else -ndtri(tail)
    return jnp.where(upper, z, -z)


# Least squares of relative error on Chebyshev nodes: in w - 3 up to w = 6, in sqrt(w) - 3.5 above.
# Lowest power first.
_CENTRAL = (
    *(2.29603553, 0.341718708, -0.00811662343, -0.00118512945),
    *(0.000277021381, -1.69311916e-05, -2.76804599e-06, 4.78479601e-07, -5.06822732e-10),
)
_TAIL = (
    *(4.71708806, 1.42463092, 0.00466192919, -0.00288098106),
    *(0.00142801399, -0.00104837872, 0.000789770963, -0.000259722641),
)


def _upper_quantile(tail: Array) -> Array:
    """Return z of the upper tail probability t = P(Z > z), 0 < t <= 1/2, in float32."""
    w = -log(4 * tail * (1 - tail))
    central, far = polynomial(_CENTRAL, w - 3), polynomial(_TAIL, jnp.sqrt(w) - 3.5)
    return (1 - 2 * tail) * jnp.where(w < 6, central, far)
