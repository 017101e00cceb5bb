"""The verbs by name, and what becomes of errors: a user's mistake is one line and exit code 2."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pixelwise.cli import catalogue, check, doctor, evaluate, predict, train
from pixelwise.errors import InputError
from pixelwise.version import __version__

app = typer.Typer(
    name="pixelwise",
    help="Semantic segmentation from FCN to DeepLab: train on your own pictures and masks, measure, predict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a user's mistake is one line, and a defect of ours a plain traceback
    rich_markup_mode=None,  # plain help: readable everywhere, and rich need not be loaded for it
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"pixelwise {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and stop.")
    ] = False,
) -> None:
    pass


app.command("predict")(predict.predict)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("check")(check.check)
app.command("models")(catalogue.models)
app.command("recipes")(catalogue.recipes)
app.command("doctor")(doctor.doctor)


def run() -> None:
    """The console script: run a verb; exit 0, 2 for the user's mistake (one line, no traceback), 1 for a defect."""
    try:
        app()
    except InputError as error:
        sys.exit(_one_line(error))


def _one_line(error: InputError) -> int:
    print(f"pixelwise: {' '.join(str(error).split())}", file=sys.stderr)
    return 2
