"""Class weights by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.data.check import ClassShare
from pixelwise.training.weighing import effective_number, median_frequency


def test_median_frequency_by_hand() -> None:
    # frequencies where present 0.8, 0.1 and 0.4, median 0.4: 0.5, 4 and 1, over their mean 5.5 / 3
    classes = [ClassShare("road", 0.7, 10, 0.8), ClassShare("pole", 0.02, 2, 0.1), ClassShare("car", 0.28, 7, 0.4)]
    assert median_frequency(classes) == pytest.approx([3 / 11, 24 / 11, 6 / 11])


def test_effective_number_by_hand() -> None:
    # beta 0.5: 1, 2 and 3 images are 1, 1.5 and 1.75 samples, so 1, 2/3 and 4/7 over their mean 47 / 63
    classes = [ClassShare(name, 0.1, images, 0.1) for name, images in (("a", 1), ("b", 2), ("c", 3))]
    assert effective_number(classes, beta=0.5) == pytest.approx([63 / 47, 42 / 47, 36 / 47])


@pytest.mark.parametrize("weigh", [median_frequency, effective_number])
def test_a_class_that_never_occurs_weighs_nothing(weigh) -> None:
    classes = [ClassShare("a", 0.5, 4, 0.5), ClassShare("b", 0, 0, 0), ClassShare("c", 0.5, 4, 0.5)]
    assert weigh(classes) == pytest.approx([1, 0, 1])
    assert weigh(classes[1:2]) == [0]


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.floats(1e-6, 1)), min_size=1, max_size=30),
)
def test_weights_average_1_over_the_classes_there_are(drawn: list[tuple[int, float]]) -> None:
    classes = [
        ClassShare(f"class {number}", share, images, share if images else 0.0)
        for number, (images, share) in enumerate(drawn)
    ]
    for weights in (median_frequency(classes), effective_number(classes)):
        assert [weight > 0 for weight in weights] == [share.images > 0 for share in classes]
        present = [weight for weight in weights if weight]
        assert not present or sum(present) / len(present) == pytest.approx(1)
