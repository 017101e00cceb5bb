"""What the experiments of a paper are made of: trainings, systems of their models, and tables of published numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pixelwise.data.dataset import DataSet
from pixelwise.inference.model import Model
from pixelwise.inference.systems import Node
from pixelwise.report.page import Section
from pixelwise.training.recipe import Recipe, read_recipe
from pixelwise.training.two_stages import Statistics

RUNS, SYSTEMS = "runs", "systems"
"""Where a reproduction's folder holds a folder for each training, and one for each system."""


@dataclass(frozen=True)
class Training:
    """One training: a recipe by name with `key=value` changes, or two of them for DeconvNet's two stages.

    after       the training of the same reproduction whose model it starts from; None: what the recipe says
    statistics  of two stages: how the statistics of batch norms are taken anew; None: as published
    """

    name: str
    recipe: str | tuple[str, str]
    changes: tuple[str, ...] = ()
    after: str | None = None
    statistics: Statistics | None = None

    def recipes(self) -> tuple[Recipe, ...]:
        """The recipe with its changes, or both stages'; raises `InputError` as `read_recipe` does."""
        names = (self.recipe,) if isinstance(self.recipe, str) else self.recipe
        return tuple(read_recipe(name, self.changes) for name in names)


@dataclass(frozen=True)
class Row:
    """A line of a table.

    system     the training or the system that is measured; None: a published line of which there is nothing here
    published  mean IoU in percent, as printed; None: the paper has no such number
    source     paper and table of it
    """

    name: str
    system: str | None
    published: float | None = None
    source: str = ""


@dataclass(frozen=True)
class Table:
    """Lines that were measured on one `split`; `pictured` are the systems whose predictions are shown below it."""

    title: str
    split: str
    rows: tuple[Row, ...]
    pictured: tuple[str, ...]


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
            assert training.after is None or training.after in names[:place], training
        for table in self.tables:
            measured = {row.system for row in table.rows}
            assert measured <= {*names, *self.systems, None}, table.title
            assert set(table.pictured) <= measured, table.title

    def system(self, name: str) -> Node:
        """The system of that name, as it is written into `systems/NAME`."""
        return self.systems.get(name) or trained(name)

    def measured(self) -> list[tuple[str, str]]:
        """Each system with the split that it is measured on, once, in the order of the tables."""
        pairs = ((row.system, table.split) for table in self.tables for row in table.rows)
        return list(dict.fromkeys((system, split) for system, split in pairs if system is not None))


def trained(name: str) -> Node:
    """The model of a training, as one image at a time; a part of systems, seen from their own folders."""
    return Node(whole_image=place_of(name))


def place_of(name: str) -> str:
    """The place of a training's model, seen from a system's folder."""
    return f"../../{RUNS}/{name}"
