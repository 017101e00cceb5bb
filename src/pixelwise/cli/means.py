"""Options about what the means are taken over in, the names of those classes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pixelwise.errors import InputError, unknown_name

if TYPE_CHECKING:
    from pixelwise.evaluation.evaluate import Matched

ClassesOption = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,...", help="Take the means over these classes; to predict one of the others stays wrong."
    ),
]
ForegroundOption = Annotated[bool, typer.Option("--foreground", help="Take the means over all but 'background'.")]
AbsentOption = Annotated[
    str, typer.Option(metavar="RULE", help="What absent classes do to the means: present, truth, zero or one.")
]


def refuse_options(absent: str, classes: str | None, foreground: bool) -> None:
    """Raise `InputError` for an unknown rule, and for options that exclude each other: quick, before data is read."""
    from pixelwise.evaluation.confusion import ABSENT_RULES

    if absent not in ABSENT_RULES:
        raise unknown_name("rule for absent classes", absent, ABSENT_RULES)
    if classes is not None and foreground:
        raise InputError("--classes and --foreground both say what the means are over: give one of the two")


def chosen_classes(matched: Matched, classes: str | None, foreground: bool) -> tuple[str, ...]:
    """The names of the classes that the means are over, of those that model and data share.

    Raises `InputError` for a name that is none of them, and for a foreground without a background.
    """
    from pixelwise.evaluation.evaluation import BACKGROUND

    if foreground and BACKGROUND not in matched.shared:
        raise InputError(f"--foreground leaves the class '{BACKGROUND}' out, and there is none: leave the option out")
    names = matched.shared if classes is None else [name.strip() for name in classes.split(",")]
    for name in names:
        if name not in matched.shared:
            raise unknown_name("class", name, matched.shared)
    return tuple(name for name in matched.shared if name in names and not (foreground and name == BACKGROUND))
