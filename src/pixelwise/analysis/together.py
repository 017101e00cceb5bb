"""Systems that share models and an image in, the answer of each out: what several of them have in common is done once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from numpy.typing import NDArray

from pixelwise.inference.contracts import Predictor
from pixelwise.inference.proposal_wise import BOXES, ProposalWise
from pixelwise.inference.systems import Node, Windows, compose, nodes_of, places

Answer = TypeVar("Answer")


class Together:
    """Systems over the same models, which are asked about one image after the other.

    Any part that several systems have answers once an image. Windows of one network that differ in their number and their
    merge are scored once: the boxes come best first, so those of few are among those of many. Answers are those of
    `compose`, but for the rounding of other batches.

    systems  by name, what each is made of
    models   the predictors of all their `places`
    folder   from where a system names its files of weights
    """

    def __init__(self, systems: Mapping[str, Node], models: Mapping[str, Predictor], folder: Path) -> None:
        self._models = models
        self._folder = folder
        self._parts = dict[Node, Predictor]()
        self._windows = {family: self._answers(family, systems) for family in {*map(_family, _all_windows(systems))}}
        self._systems = {name: self._part(node) for name, node in systems.items()}

    def __call__(self, image: NDArray) -> dict[str, NDArray]:
        """The scores `(K, H, W)` of an image `(H, W, 3)` by each system, to be read and not written to."""
        return {name: predictor(image) for name, predictor in self._systems.items()}

    def _part(self, node: Node) -> Predictor:
        if node not in self._parts:
            if node.proposal_wise is None:
                made = compose(node, self._models, self._folder, self._part)
            else:
                made = partial(self._of_windows, node.proposal_wise)
            self._parts[node] = Remembered(made)
        return self._parts[node]

    def _of_windows(self, windows: Windows, image: NDArray) -> NDArray:
        return self._windows[_family(windows)](image)[_way(windows)]

    def _answers(self, family: Windows, systems: Mapping[str, Node]) -> Remembered[dict[tuple[int, str], NDArray]]:
        """All that is asked of one network's windows, for an image."""
        ways = {_way(windows) for windows in _all_windows(systems) if _family(windows) == family}
        most = Node(proposal_wise=family.model_copy(update={"boxes": max(boxes for boxes, _ in ways)}))
        predictor = compose(most, self._models, self._folder)
        assert isinstance(predictor, ProposalWise)
        return Remembered(lambda image: predictor.answers(image, ways))


class Remembered(Generic[Answer]):
    """A function of an image that remembers its last answer: asked again about the same array, it gives that."""

    def __init__(self, answer: Callable[[NDArray], Answer]) -> None:
        self._answer = answer
        self._last: tuple[NDArray, Answer] | None = None

    def __call__(self, image: NDArray) -> Answer:
        """What the function gives."""
        if self._last is None or self._last[0] is not image:
            self._last = None  # two answers need not be held at once
            self._last = image, self._answer(image)
        return self._last[1]


def sharing(systems: Mapping[str, Node]) -> list[list[str]]:
    """The names of systems in groups, in their order: those that share a model, directly or through others, in one."""
    groups = list[tuple[set[str], list[str]]]()
    for name, node in systems.items():
        joined, names = set(places(node)), list[str]()
        for group in [group for group in groups if group[0] & joined]:
            groups.remove(group)
            joined |= group[0]
            names += group[1]
        groups.append((joined, [*names, name]))
    order = list(systems)
    return sorted((sorted(names, key=order.index) for _, names in groups), key=lambda names: order.index(names[0]))


def _all_windows(systems: Mapping[str, Node]) -> Iterator[Windows]:
    for system in systems.values():
        yield from (node.proposal_wise for node in nodes_of(system) if node.proposal_wise is not None)


def _family(windows: Windows) -> Windows:
    """The windows without their number and merge."""
    return windows.model_copy(update={"boxes": None, "merge": None})


def _way(windows: Windows) -> tuple[int, str]:
    return BOXES if windows.boxes is None else windows.boxes, windows.merge or "max"
