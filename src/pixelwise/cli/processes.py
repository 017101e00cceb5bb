"""What `torchrun` or `accelerate launch` have started in, this process's part of it out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pixelwise.errors import import_extra

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")


def leads() -> bool:
    """Whether this is the only process, or the first of several."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def together() -> Iterator[None]:
    """Inside, only the first of several processes says anything on stderr; errors leave, and are told by each.

    Those that come through leave when all have: one that ended while others still listened to it would have them abort.
    """
    if leads():
        yield
    else:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
            yield
    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


class Processes:
    """The processes that were started together: this one is number `part` of `parts`; one alone needs no torch."""

    def __init__(self) -> None:
        self.part, self.parts = 0, 1
        self._joined: Accelerator | None = None
        if "LOCAL_RANK" not in os.environ:  # what both of them set, and nothing else does
            return
        for module in ("torch", "accelerate"):
            import_extra(module, extra="torch")
        from pixelwise.training.run import create_accelerator

        self._joined = create_accelerator("no")
        self.part, self.parts = self._joined.process_index, self._joined.num_processes

    @property
    def device(self) -> str | None:
        """The device that is this one's among several; None where it may choose."""
        return None if self._joined is None else str(self._joined.device)

    def gathered(self, one: T) -> list[T]:
        """What every process gives here, in their order; each waits for the last."""
        if self._joined is None:
            return [one]
        from accelerate.utils import gather_object

        every: list[T] = gather_object([one])
        return every
