"""What tests of several rooms share: the real data, and the way an error message is looked at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

from pixelwise.errors import InputError

# A busy machine is no reason to fail: an example may take its time.
settings.register_profile("unhurried", parent=settings.default, deadline=None)
settings.load_profile("unhurried")

Refuses = Callable[..., AbstractContextManager[None]]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; a test that asks for it is skipped where there is none."""
    place = os.environ.get("PIXELWISE_DATA")
    if not place:
        pytest.skip("PIXELWISE_DATA is not set: no real data here")
    assert Path(place).is_dir(), f"PIXELWISE_DATA is {place}, which is no folder"
    return Path(place)


@pytest.fixture
def refuses() -> Refuses:
    """`with refuses("part", ...):` holds that an `InputError` of one line comes, and all parts are in it."""

    @contextmanager
    def refused(*parts: str) -> Iterator[None]:
        with pytest.raises(InputError) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message
        for part in parts:
            assert part in message

    return refused
