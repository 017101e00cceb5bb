"""Interrupted: one line, exit code 130, and either a way to go on or nothing left."""

import signal

import pytest

from pixelwise.cli.train import interrupted_by

BOTH = (signal.SIGINT, signal.SIGTERM)


def test_a_signal_interrupts_as_ctrl_c_does_and_only_inside():
    before = signal.getsignal(signal.SIGTERM)
    with interrupted_by(signal.SIGTERM), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
    with pytest.raises(KeyboardInterrupt), interrupted_by(signal.SIGTERM):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("first", BOTH)
@pytest.mark.parametrize("second", BOTH)
def test_a_training_is_asked_once_before_it_is_interrupted(first, second):
    with interrupted_by(*BOTH, after_asking=1) as asked:
        assert not asked()
        signal.raise_signal(first)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(second)
    with interrupted_by(*BOTH, after_asking=1) as asked:
        assert not asked()  # each time anew


def test_a_training_gives_the_signals_back_to_its_start():
    before = [signal.getsignal(number) for number in BOTH]
    with interrupted_by(signal.SIGTERM):
        with interrupted_by(*BOTH, after_asking=1):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert [signal.getsignal(number) for number in BOTH] == before
