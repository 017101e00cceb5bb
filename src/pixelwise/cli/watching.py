"""What people see of a training: a training's progress in, a note beside the bar and, on request, a board out."""

from __future__ import annotations

from contextlib import closing, nullcontext
from typing import TYPE_CHECKING

from pixelwise.cli.display import Advance, Pace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pixelwise.data.dataset import DataSet
    from pixelwise.models.network import Network
    from pixelwise.report.board import Board
    from pixelwise.training.loop import Progress


class Watcher:
    """Stands between a training and its display: `count` and `tell` are what a run is given to call.

    images_a_step  how many images a step takes
    board          where curves and pictures go as well, if anywhere
    """

    def __init__(self, advance: Advance, images_a_step: int, board: Board | None = None) -> None:
        self.advance = advance
        self.images_a_step = images_a_step
        self.board = board
        self.pace = Pace()
        self.step = 0
        self.score: float | None = None

    def count(self, network: Network, data: DataSet, part: int, parts: int) -> NDArray[np.int64]:
        """Count a network's answers on part `part` of `parts` of a data set, and show how far that is."""
        from pixelwise.evaluation.evaluate import evaluate
        from pixelwise.inference.predictors import WholeImage

        def told(done: int, of: int) -> None:
            self.advance(self.step, f"validating {done}/{of}")

        predictor = WholeImage(network, next(network.parameters()).device)
        counts = evaluate(predictor, data, part=part, parts=parts, progress=told).counts
        if self.board is not None:
            self.board.look(predictor, data)
        return counts

    def tell(self, at: Progress) -> None:
        """Pass on where the training stands."""
        self.step = at.step
        self.score = self.score if at.score is None else at.score
        pace = self.pace.steps_per_second(at.step, at.seconds)
        speed = None if pace is None else pace * self.images_a_step
        if self.board is not None:
            self.board.tell(at, speed)
        self.advance(at.step, note(at, speed, self.score))


def note(at: Progress, images_per_second: float | None, score: float | None) -> str:
    """One line beside the bar, under 80 columns where the loss has one part or two; `score` is the latest there is."""
    words = [f"loss {at.loss:.3f}"]
    if len(at.parts) > 1:
        words[0] += f" ({', '.join(f'{name} {part:.3f}' for name, part in at.parts.items())})"
    words.append(f"rate {at.rate:.2g}")
    if images_per_second is not None:
        words.append(f"{images_per_second:.1f} images/s")
    if at.best is not None:
        latest = "" if score is None else f"{score:.4f}, "
        words.append(f"mIoU {latest}best {at.best:.4f}")
    return "  ".join(words)


def closed(board: Board | None) -> closing[Board] | nullcontext[None]:
    """The board as a context that closes it, or one of nothing."""
    return nullcontext() if board is None else closing(board)
