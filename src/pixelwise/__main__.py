"""`python -m pixelwise`: the command line."""

from pixelwise.cli.main import run

run()
