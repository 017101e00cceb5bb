"""The one exception of this library, and the sentences that go with it: what, expected, got, do this."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class InputError(ValueError):
    """Something the user gave cannot be used; the message is one line that says what, why and the remedy.

    A `ValueError`, so that callers of the library catch what they expect; a class of its own, so that the command
    line can tell a user's mistake (one line, exit code 2) from a defect of ours (a traceback, exit code 1).
    """


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not in a closed set, with the nearest name if one is near.

    `kind` is what the name stands for ("network", "recipe key"); `known` is the set, in the order to print.
    """
    return InputError(f"unknown {kind} '{name}': {nearest(name, known)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """What may be meant by a name that is not in a closed set: the nearest name if one is near, else all of them."""
    names = list(known)
    meant = near(name, names)
    return f"expected one of: {', '.join(names)}" if meant is None else f"did you mean '{meant}'?"


def near(name: str, known: Iterable[str]) -> str | None:
    """The one of a closed set that a name may mean; None where none is like it."""
    like = difflib.get_close_matches(name, list(known), n=1)
    return like[0] if like else None


def import_extra(module: str, extra: str) -> ModuleType:
    """Import a module that not everyone installs; where it is missing, say which extra brings it.

    Raises `InputError` naming the `pip install` that helps.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise InputError(
            f"this needs the package '{module.split('.')[0]}', which is not installed: "
            f"run  pip install 'pixelwise[{extra}]'"
        ) from error


def first_line(error: Exception) -> str:
    """The first line of an error of somebody else's, or what kind it is: fit to stand inside one line of ours."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of Python, NumPy or torch says that memory is full, here or on the GPU."""
    # torch's own class by name, for torch need not be there; its CPU allocator raises a plain RuntimeError
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator" in str(error)
    )
