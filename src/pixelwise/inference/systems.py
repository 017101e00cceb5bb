"""Systems: predictors put together from models by a file, `system.yaml`, in a directory that every verb takes as a model.

    ensemble:
      rule: mean
      of:
        - proposal_wise: {of: ../deconvnet, boxes: 50}
        - multi_scale: {of: ../fcn8s, scales: [0.5, 1.0]}
        - refined: {of: ../fcn8s, crf: deeplab_v1}

A node is the place of a model's directory (seen from the file's), or one key of `Node` with what it is made of.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from pixelwise.errors import InputError
from pixelwise.files import write_text
from pixelwise.inference.contracts import Predictor
from pixelwise.inference.ensemble import Ensemble
from pixelwise.inference.multi_scale import PUBLISHED_SCALES, MultiScale
from pixelwise.inference.refined import Refined

if TYPE_CHECKING:
    from pixelwise.inference.predictors import WholeImage

SYSTEM_FILE = "system.yaml"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Node(_Part):
    """One predictor of a system: exactly one of these keys, and below it what the predictor is made of.

    whole_image    a model: its directory, run or name
    padded         `of` a model of one network, images padded to `side` pixels at least, as `WholeImage` does it
    multi_scale    `of` a node, at `scales`, merged by `merge`
    proposal_wise  `of` a model of one network, on windows around the proposals that `edges` lead to
    ensemble       `of` nodes, combined by `rule`
    refined        `of` a node, by the dense CRF of a preset: its name, or its file's place
    """

    whole_image: str | None = None
    padded: Padding | None = None
    multi_scale: Scales | None = None
    proposal_wise: Windows | None = None
    ensemble: Members | None = None
    refined: Refinement | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> Node:
        if len(given := sorted(self.model_fields_set)) != 1:
            got = " and ".join(given) or "nothing"
            raise ValueError(f"expected exactly one of {', '.join(type(self).model_fields)}, got {got}")
        return self


Of = Annotated[Node, BeforeValidator(lambda value: {"whole_image": value} if isinstance(value, str) else value)]


class Padding(_Part):
    """A network that is shown images of `side` x `side` pixels at least: see `WholeImage`."""

    of: str
    side: int


class Scales(_Part):
    """A predictor at several scales: see `MultiScale`."""

    of: Of
    scales: tuple[float, ...] = PUBLISHED_SCALES
    merge: str = "max"


class Windows(_Part):
    """A network on windows around an image's proposals: see `ProposalWise`, for the defaults too.

    edges      what EdgeBoxes looks at: "gradient", or "hed" with its trained `weights`, a file seen from this one
    precision  what the network is computed in: "float32", "bfloat16" or "auto"; see `WholeImage`
    """

    of: str
    edges: Literal["gradient", "hed"] = "gradient"
    weights: str | None = None
    precision: str = "float32"
    boxes: int | None = None
    minimum_side: int | None = None
    enlarged: float | None = None
    side: int | None = None
    merge: str | None = None
    fill: tuple[float, float, float] | None = None
    batch: int | None = None

    @model_validator(mode="after")
    def _has_weights_for_hed(self) -> Windows:
        if (self.weights is None) == (self.edges == "hed"):
            raise ValueError(f"'weights' is HED's file and goes with 'edges: hed', got edges: {self.edges}")
        return self


class Members(_Part):
    """Several predictors as one: see `Ensemble`."""

    of: tuple[Of, ...] = Field(min_length=1)
    rule: str = "mean"


class Refinement(_Part):
    """A predictor with a dense CRF behind it: see `Refined` and `Preset`."""

    of: Of
    crf: str


_READER: TypeAdapter[Node] = TypeAdapter(Of)


def save_system(directory: str | os.PathLike[str], system: Node) -> None:
    """Write the directory of a system; places of models in it are seen from there, or absolute."""
    text = yaml.safe_dump(system.model_dump(mode="json", exclude_unset=True), sort_keys=False)
    write_text(Path(directory) / SYSTEM_FILE, text)


def read_system(directory: str | os.PathLike[str]) -> Node:
    """Read a directory's `system.yaml`; `InputError`, one line, for what is no system."""
    path = Path(directory) / SYSTEM_FILE
    try:
        return _READER.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        what = f"{first['msg'].removeprefix('Value error, ')}, got {first['input']!r}"
        raise InputError(f"{path}: {where + ': ' if where else ''}{what}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from error


def nodes_of(node: Node) -> Iterator[Node]:
    """A system, and all the nodes inside of it."""
    yield node
    for inner in _inside(node):
        yield from nodes_of(inner)


def places(node: Node) -> Iterator[str]:
    """The models that a system is made of, as they are named in it."""
    for one in nodes_of(node):
        if one.whole_image is not None:
            yield one.whole_image
        if one.padded is not None:
            yield one.padded.of
        if one.proposal_wise is not None:
            yield one.proposal_wise.of


def weight_files(node: Node, folder: Path) -> Iterator[Path]:
    """The files of weights that the system in `folder` reads besides its models: HED's."""
    for one in nodes_of(node):
        if one.proposal_wise is not None and one.proposal_wise.weights is not None:
            yield folder / one.proposal_wise.weights


def _inside(node: Node) -> tuple[Node, ...]:
    if node.ensemble is not None:
        return node.ensemble.of
    return tuple(part.of for part in (node.multi_scale, node.refined) if part is not None)


def compose(
    node: Node, models: Mapping[str, Predictor], folder: Path, part: Callable[[Node], Predictor] | None = None
) -> Predictor:
    """The predictor that the system in `folder` spells, made of those of its `places`.

    `part` makes the nodes inside of it; without one, they are composed like it. Raises `InputError` for what a part of it
    refuses, such as proposals of a model that is itself a system.
    """
    inner = part or (lambda node: compose(node, models, folder))
    if node.ensemble is not None:
        return Ensemble([inner(member) for member in node.ensemble.of], node.ensemble.rule)
    if node.multi_scale is not None:
        return MultiScale(inner(node.multi_scale.of), node.multi_scale.scales, node.multi_scale.merge)
    if node.padded is not None:
        return _network("padded", node.padded.of, models, folder).padded_to(node.padded.side)
    if node.proposal_wise is not None:
        network = _network("proposal_wise", node.proposal_wise.of, models, folder)
        return _proposal_wise(node.proposal_wise, network, folder)
    if node.refined is not None:
        from pixelwise.refinement.dense_crf import DenseCRF  # brings numba, which only this needs

        near = folder / node.refined.crf
        crf = DenseCRF.preset(near if near.is_file() else node.refined.crf)
        return Refined(inner(node.refined.of), crf)
    assert node.whole_image is not None
    return models[node.whole_image]


def _network(part: str, place: str, models: Mapping[str, Predictor], folder: Path) -> WholeImage:
    """The model that a part of the system in `folder` is made of, which must be one network."""
    from pixelwise.inference.predictors import WholeImage

    if not isinstance(predictor := models[place], WholeImage):
        raise InputError(
            f"{folder / SYSTEM_FILE}: {part} needs a model that is one network, but {place} is a system: "
            f"name the network, and put what is around it around {part}"
        )
    return predictor


def _proposal_wise(part: Windows, predictor: WholeImage, folder: Path) -> Predictor:
    from pixelwise.inference.proposal_wise import ProposalWise
    from pixelwise.proposals.edge_boxes import EdgeBoxes, edge_boxes_module
    from pixelwise.proposals.edges import edges_of, gradient_edges

    edge_boxes_module()
    if part.weights is None:
        proposer = EdgeBoxes(gradient_edges)
    else:
        from pixelwise.weights.hed import load_hed

        hed = load_hed(folder / part.weights).to(predictor.device)
        proposer = EdgeBoxes(lambda image: edges_of(hed.edges(image)))
    settings = part.model_dump(exclude_none=True, exclude={"of", "edges", "weights", "precision"})
    return ProposalWise(predictor.faster(part.precision), proposer, **settings)
