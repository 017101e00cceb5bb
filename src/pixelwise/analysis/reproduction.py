"""What the experiments of a paper are made of: trainings, systems of their models, and tables of published numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pixelwise.data.dataset import DataSet
from pixelwise.inference.model import Model
from pixelwise.inference.systems import Node, places
from pixelwise.report.page import Section
from pixelwise.training.recipe import Recipe, read_recipe
from pixelwise.training.two_stages import Statistics

RUNS, SYSTEMS = "runs", "systems"
"""Where a reproduction's folder holds a folder for each training, and one for each system."""


@dataclass(frozen=True)
class Training:
    """One training: a recipe by name with `key=value` changes, or a tuple of them for DeconvNet's stages.

    after       the training of the same reproduction whose model it starts from; None: what the recipe says
    trunk       the one whose trunk it starts from, a VGG16 without norms, and whose fc6 and fc7; all else is new
    statistics  of stages: how the statistics of batch norms are taken anew; None: as published
    steps       of stages: each one's, in place of its recipe's; changes come on top
    every       it learns from every so many-th image of its split
    """

    name: str
    recipe: str | tuple[str, ...]
    changes: tuple[str, ...] = ()
    after: str | None = None
    trunk: str | None = None
    statistics: Statistics | None = None
    steps: tuple[int, ...] = ()
    every: int = 1

    @property
    def in_stages(self) -> bool:
        """Whether it is one of DeconvNet's stages, one or both."""
        return not isinstance(self.recipe, str)

    def recipes(self) -> tuple[Recipe, ...]:
        """The recipe with its changes, or that of each stage; raises `InputError` as `read_recipe` does."""
        names = (self.recipe,) if isinstance(self.recipe, str) else self.recipe
        if not self.steps:
            return tuple(read_recipe(name, self.changes) for name in names)
        return tuple(
            read_recipe(name, (f"steps={steps}", *self.changes)) for name, steps in zip(names, self.steps, strict=True)
        )


@dataclass(frozen=True)
class Row:
    """A line of a table.

    system     the training or the system that is measured; None: a published line of which there is nothing here
    published  mean IoU in percent, as printed; None: the paper has no such number
    source     paper and table of it
    against    the system that it is compared with, image by image
    """

    name: str
    system: str | None
    published: float | None = None
    source: str = ""
    against: str | None = None


@dataclass(frozen=True)
class Table:
    """Lines that were measured on one `split`; `pictured` are the systems whose predictions are shown below it.

    by_size  whether the lines say how well objects are met, by their size, and not the mean IoU
    """

    title: str
    split: str
    rows: tuple[Row, ...]
    pictured: tuple[str, ...] = ()
    by_size: bool = False

    def systems(self) -> list[str]:
        """The systems of its lines, and those that they are compared with, once each."""
        named = (system for row in self.rows for system in (row.system, row.against))
        return list(dict.fromkeys(system for system in named if system is not None))


@dataclass(frozen=True)
class Reproduction:
    """A paper's experiments: trainings in an order in which each can start, systems, and tables.

    systems  those that are more than the model of one training, spelled over `trained` models; a training's name is
             the system that is its model alone
    remarks  what a reader of the tables should know, a sentence each
    pictures what the page shows behind its tables: made from the systems, by name, and the split of the first table
    """

    name: str
    title: str
    trainings: tuple[Training, ...]
    tables: tuple[Table, ...]
    systems: Mapping[str, Node] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    pictures: Callable[[Callable[[str], Model], DataSet], Section] | None = None

    def __post_init__(self) -> None:
        names = [training.name for training in self.trainings]
        assert len({*names, *self.systems}) == len(names) + len(self.systems), "names differ"
        for place, training in enumerate(self.trainings):
            assert {training.after, training.trunk} <= {None, *names[:place]}, training
        for table in self.tables:
            measured = {row.system for row in table.rows}
            compared = {row.against for row in table.rows}
            assert measured | compared <= {*names, *self.systems, None}, table.title
            assert set(table.pictured) <= measured, table.title

    def changed(self, changes: tuple[str, ...]) -> Reproduction:
        """The same with `key=value` changes to every recipe."""
        trainings = tuple(replace(one, changes=(*one.changes, *changes)) for one in self.trainings)
        return replace(self, trainings=trainings)

    def system(self, name: str) -> Node:
        """The system of that name, as it is written into `systems/NAME`."""
        return self.systems.get(name) or trained(name)

    def measured(self) -> list[tuple[str, str]]:
        """Each system with the split that it is measured on, once, in the order of the tables."""
        pairs = ((system, table.split) for table in self.tables for system in table.systems())
        return list(dict.fromkeys(pairs))

    def trainings_of(self, system: str) -> list[Training]:
        """The trainings that a system's models come from, with those that they start from, in order."""
        wanted = {Path(place).name for place in places(self.system(system))}
        for training in reversed(self.trainings):
            if training.name in wanted:
                wanted |= {name for name in (training.after, training.trunk) if name is not None}
        return [training for training in self.trainings if training.name in wanted]


def trained(name: str) -> Node:
    """The model of a training, as one image at a time; a part of systems, seen from their own folders."""
    return Node(whole_image=place_of(name))


def place_of(name: str) -> str:
    """The place of a training's model, seen from a system's folder."""
    return f"../../{RUNS}/{name}"
