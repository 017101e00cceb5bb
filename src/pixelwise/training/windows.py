"""A plan in, the same plan with windows for its samples out: squares around objects, or around proposals.

Source: DeconvNet (Noh, Hong & Han, ICCV 2015), section 4.2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pixelwise.data.window_index import Centred, Proposed, Stage, index_windows, refuse_no_background
from pixelwise.data.windows import Windows
from pixelwise.errors import InputError
from pixelwise.labels import LabelSpec
from pixelwise.proposals.edge_boxes import EdgeBoxes, edge_boxes_module
from pixelwise.proposals.edges import edges_of
from pixelwise.training.plan import Plan
from pixelwise.training.recipe import Recipe
from pixelwise.training.run import create_accelerator
from pixelwise.weights.hed import load_hed


def with_windows(
    plan: Plan,
    cache: Path,
    *,
    hed: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """The plan with the windows that its recipe asks for as its source; a plan of whole images is given back as it is.

    Where the windows are is kept in the file `cache`, and `progress(done, of)` is told of each image that is searched. Of
    several processes the first one searches while the others wait. `hed` are HED's weights, for `edges: hed`.

    Raises `InputError` where those are missing, where there is nothing to draw windows around, and, for windows of one
    class, where the data set has no class called background.
    """
    recipe = plan.recipe
    if recipe.windows == "none":
        return plan
    refuse_without_windows(recipe, plan.training.label_spec, hed)
    stage = _stage(recipe, hed)
    with create_accelerator(recipe.precision).main_process_first():
        index = index_windows(plan.training, stage, cache, workers=recipe.workers or 1, progress=progress)
    fill = plan.network.fill
    source = Windows(plan.training, index, one_class=stage.one_class, fill=fill, side=recipe.window_side)
    return replace(plan, source=source)


def refuse_without_windows(recipe: Recipe, spec: LabelSpec, hed: Path | None) -> None:
    """Raise `InputError` where no image of a data set of these classes can have the windows of a recipe; reads none of them.

    That is where OpenCV cannot propose, HED's weights are missing, or windows of one class find no class called background.
    """
    if recipe.windows == "objects":
        refuse_no_background(spec)
    if recipe.windows == "proposals":
        edge_boxes_module()  # or what to install
        if recipe.edges == "hed" and hed is None:
            raise InputError("edges=hed needs the network's trained weights: give their file by  --hed FILE")


def _stage(recipe: Recipe, hed: Path | None) -> Stage:
    """What windows are drawn around, and the words that change whenever they would."""
    if recipe.windows == "objects":
        return Centred()
    propose, words = EdgeBoxes(), "gradient"
    if recipe.edges == "hed":
        assert hed is not None
        network = load_hed(hed)
        propose = EdgeBoxes(lambda image: edges_of(network.edges(image)))
        words = f"unweighed hed {hashlib.sha256(hed.read_bytes()).hexdigest()}"
    return Proposed(lambda image: propose(image).boxes, f"{words} {propose.settings}")
