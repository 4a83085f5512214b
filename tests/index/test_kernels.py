"""What is compiled gives the integers of the plain formulas, whatever the processor has."""

import os
import subprocess
import sys

import numpy as np
import pytest
from llvmlite import binding

from tardif.index.codes import QUERY_ONE, TiledQuery, decode, encode, scan, to_fixed, train

LENGTHS = [0, 1, 2, 5, 23, 24, 25, 47, 48, 49, 120, 0, 7]  # around the 24 rows that are decoded at a time
STARTS = np.concatenate([[0], np.cumsum(LENGTHS)])


def vectors(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    drawn[::7, 1:] /= 50  # nearly one component: the largest steps
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.mark.parametrize("dim", [4, 12, 16, 20, 128])
def test_eight_bits_stand_for_the_rounded_product_of_code_and_step(dim):
    draw = np.random.default_rng(3)
    codes = draw.integers(-128, 128, size=(400, dim), dtype=np.int8)
    steps = draw.integers(1, 66_051, size=400, dtype=np.uint32)
    steps[:8] = [1, 2, 32_766, 32_767, 32_768, 32_769, 65_536, 66_051]
    codes[:8, :4] = [-127, 127, 0, 1]
    codes[4:] = codes[4:].clip(-127)  # what encoding gives
    found = decode({"codes": codes, "steps": steps}, 8, None, 3, 400)
    assert np.array_equal(found, (codes[3:].astype(np.int64) * steps[3:, None] + 128) // 256)


@pytest.mark.parametrize("tokens", [1, 7, 8, 9, 17, 32, 40])
@pytest.mark.parametrize("bits", [16, 8, 4, 2])
def test_a_scan_is_maxsim_over_the_vectors_that_are_stored(bits, tokens):
    fixed = to_fixed(vectors(STARTS[-1], 20))
    codebook = train(fixed, 8)
    nearest = np.arange(len(fixed)) % 8
    arrays = encode(fixed, bits, codebook, nearest)
    query = vectors(tokens, 20, seed=1)
    wanted = np.array([12, 3, 10, 0, 4, 5, 6, 7, 8, 9, 1, 2])
    products = to_fixed(query, 1.0, QUERY_ONE).astype(np.int64) @ decode(
        arrays, bits, codebook, 0, len(fixed)
    ).T.astype(np.int64)
    expected = [
        products[:, STARTS[n] : STARTS[n + 1]].max(axis=1).sum() if LENGTHS[n] else np.iinfo(np.int64).min
        for n in wanted
    ]
    assert scan(TiledQuery.of(query), arrays, bits, codebook, STARTS, wanted).tolist() == expected


SCORING = """
import sys
import numpy as np
from tardif.index import kernels
from tardif.index.codes import TiledQuery, scan
with np.load(sys.argv[1]) as file:
    query, starts = TiledQuery.of(file["query"]), file["starts"]
    for bits, arrays in ((16, {"codes": file["fixed"]}), (8, {"codes": file["codes"], "steps": file["steps"]})):
        print(*scan(query, arrays, bits, None, starts, np.arange(len(starts) - 1)))
print(kernels._HAS_AVX2)
"""


def without(*families: str) -> str:
    """The host's features, as numba's environment variable takes them, but for those of some families."""
    features = binding.get_host_cpu_features()
    return ",".join(f"{'+' if has and not name.startswith(families) else '-'}{name}" for name, has in features.items())


# Some seconds each: everything is compiled again.
@pytest.mark.slow
@pytest.mark.parametrize("missing", [("avx512", "avx10"), ("avx", "fma", "f16c", "xop", "vaes", "vpclmul", "gfni")])
def test_a_processor_that_has_less_gives_the_same_scores(tmp_path, missing):
    if not binding.get_host_cpu_features().get("avx2"):
        pytest.skip("this processor has none of what would be taken away")
    fixed = to_fixed(vectors(STARTS[-1], 52))
    query, coded = vectors(37, 52, seed=1), encode(fixed, 8, None, None)
    np.savez(tmp_path / "asked.npz", query=query, starts=STARTS, fixed=fixed, **coded)
    made = {
        "NUMBA_CPU_NAME": "x86-64",
        "NUMBA_CPU_FEATURES": without(*missing),
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCORING, str(tmp_path / "asked.npz")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | made,
    )
    assert done.returncode == 0, done.stderr
    everything = np.arange(len(LENGTHS))
    *scores, has_avx2 = done.stdout.splitlines()
    for line, bits, arrays in zip(scores, (16, 8), ({"codes": fixed}, coded), strict=True):
        assert line.split() == [str(s) for s in scan(TiledQuery.of(query), arrays, bits, None, STARTS, everything)]
    assert has_avx2 == str("avx" not in missing)
