"""The verbs by name, and what becomes of errors: a user's mistake is one line and exit code 2."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any, NoReturn, TextIO

import typer

from pixelwise.cli import (
    catalogue,
    check,
    compare,
    doctor,
    evaluate,
    import_weights,
    predict,
    propose,
    recall,
    refine,
    reproduce,
    submit,
    system,
    train,
    tune_crf,
)
from pixelwise.cli.memory import keep_freed_memory
from pixelwise.errors import InputError, is_out_of_memory
from pixelwise.version import __version__

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

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


def run() -> None:
    """The console script: run a verb; exit 0, 2 for the user's mistake (one line, no traceback), 1 for a defect."""
    keep_freed_memory()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may hold what a terminal cannot show
    # Pillow warns from half its limit on; a large photograph is no mistake, and beyond the limit it is refused.
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")
    app()


def _answering(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb, with its errors turned into one line and an exit code."""

    @functools.wraps(verb)
    def answering(*args: Any, **options: Any) -> None:
        try:
            verb(*args, **options)
            sys.stdout.flush()  # a reader that has gone, or a full disk, shows here and not at exit
        except InputError as error:
            _stop(str(error), 2)
        except KeyboardInterrupt as error:
            _stop("; ".join(["interrupted", *map(str, error.args)]), 130)
        except BrokenPipeError:  # as `head` leaves it behind: nobody is there to be told
            _drop(sys.stdout, sys.stderr)
            raise typer.Exit(141) from None  # 128 + SIGPIPE, as a shell expects it
        except OSError as error:
            if error.filename is None and error.errno not in DISK_FULL:
                raise
            if error.filename is None:
                _drop(sys.stdout)
            _stop(f"{error.filename or 'output'}: {error.strerror}", 2)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            _stop("out of memory: give smaller pictures, or train with a smaller batch_size or crop", 2)

    return answering


def _stop(message: str, code: int) -> NoReturn:
    print(f"pixelwise: {' '.join(message.splitlines())}", file=sys.stderr)
    raise typer.Exit(code)


def _drop(*streams: TextIO) -> None:
    """Send what streams still hold nowhere, or Python would fail on it once more at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        with contextlib.suppress(io.UnsupportedOperation):  # one in memory
            os.dup2(nowhere, stream.fileno())


VERBS: dict[str, Callable[..., None]] = {
    "predict": predict.predict,
    "train": train.train,
    "evaluate": evaluate.evaluate,
    "compare": compare.compare,
    "submit": submit.submit,
    "system": system.system,
    "reproduce": reproduce.reproduce,
    "propose": propose.propose,
    "recall": recall.recall,
    "refine": refine.refine,
    "tune-crf": tune_crf.tune_crf,
    "check": check.check,
    "import-weights": import_weights.import_weights,
    "models": catalogue.models,
    "recipes": catalogue.recipes,
    "doctor": doctor.doctor,
}
for _name, _verb in VERBS.items():
    app.command(_name)(_answering(_verb))
