"""Compiled code without a folder to keep it in, and work cut into parts."""

from itertools import pairwise

import numba
import numpy as np
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
