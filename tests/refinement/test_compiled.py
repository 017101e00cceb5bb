"""Compiled code without a folder to keep it in and for other processors, and work cut into parts."""

import json
import os
import platform
import subprocess
import sys
from itertools import pairwise

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.refinement.compiled import compiled, crew, default_threads, parts


def test_where_nothing_can_be_written_it_compiles_all_the_same(monkeypatch):
    real = numba.njit

    def without_a_folder(*function, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(*function, **options)

    monkeypatch.setattr(numba, "njit", without_a_folder)
    assert compiled(lambda x: x + 1)(np.float32(2)) == 3


@given(count=st.integers(1, 500), threads=st.integers(1, 40), step=st.sampled_from([1, 16]))
def test_parts_follow_each_other_and_are_alike(count, threads, step):
    pieces = parts(count, threads, step)
    assert pieces[0][0] == 0
    assert pieces[-1][1] == count
    assert len(pieces) <= threads
    for (_, end), (begin, _) in pairwise(pieces):
        assert end == begin
        assert begin % step == 0
    lengths = [end - begin for begin, end in pieces]
    assert min(lengths) > 0
    assert max(lengths) - min(lengths) <= max(2 * step - 1, 1)


def test_a_crew_gives_results_in_order():
    for threads in (1, 3):
        with crew(threads) as run:
            assert run(lambda part: part[1], parts(30, 7)) == [end for _, end in parts(30, 7)]
    assert default_threads() >= 1


REFINED = """
import json
from tests.refinement.brute_force import scene
from pixelwise.refinement import lanes
from pixelwise.refinement.dense_crf import DenseCRF
from pixelwise.refinement.energies import Bilateral, Gaussian

refined = DenseCRF([Gaussian(2, 2.0), Bilateral(10, 20, 3.0)], iterations=3)(*scene(15, 18, 5))
print(json.dumps([lanes.HALF.__name__, lanes.TOGETHER, refined.tolist()]))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="names processors of that kind")
@pytest.mark.parametrize(
    ("features", "half", "together"),
    [("", "float32", 2), ("+avx,+avx2,+fma,+f16c", "uint16", 2)],
    ids=["plain", "2013"],
)
def test_processors_that_know_less_come_to_the_same(tmp_path, features, half, together):
    of_another = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    words = [sys.executable, "-c", REFINED]
    found, here = (
        json.loads(
            subprocess.run(words, env=os.environ | more, check=True, capture_output=True, text=True, timeout=300).stdout
        )
        for more in (of_another, {})
    )
    assert found[:2] == [half, together]
    np.testing.assert_allclose(np.exp(found[2]), np.exp(here[2]), atol=5e-3)
