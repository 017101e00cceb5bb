"""A trained DeconvNet and an image in, the pictures of its paper out: activations, score maps, a segmentation that grows.

Source: DeconvNet (Noh, Hong & Han, ICCV 2015), figures 4 to 6; its figure 7 is an ordinary strip of images.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pixelwise.data.dataset import DataSet
from pixelwise.data.objects import BACKGROUND, Objects, objects_of
from pixelwise.data.sample import Sample
from pixelwise.errors import InputError
from pixelwise.geometry import Box, crop, resize_image, square_around
from pixelwise.inference.model import Model
from pixelwise.inference.predictors import WholeImage
from pixelwise.inference.proposal_wise import ProposalWise
from pixelwise.labels import IGNORE, MAIN, LabelSpec
from pixelwise.models.decoders.deconvnet import DeconvDecoder, Unpool
from pixelwise.proposals.boxes import Proposals
from pixelwise.report.markup import Markup, element
from pixelwise.report.page import Section
from pixelwise.report.strips import heat_panel, label_panel, legend, photograph_panel, row

COUNTS = (1, 2, 5, 10, 20, 50)
"""Numbers of windows after which a growing segmentation is shown; 50 is all."""

LOOKED_AT = 50
"""So many images are looked at for those with the most classes."""


@dataclass(frozen=True)
class Activation:
    """What one channel of a layer answered: `plane` `(h, w)` float32, 0..1, of the channel `channel` of `layer`."""

    layer: str
    channel: int
    plane: NDArray[np.float32]


def activations(network: WholeImage, window: NDArray) -> list[Activation]:
    """What the deconvolution network does with a window `(S, S, 3)`, 0..255, layer by layer, coarse to fine.

    Each stage is seen twice, behind its unpooling and behind its last deconvolution; the coarsest only there. Of a
    layer's channels the one with the most energy is taken, over its largest value. Raises `InputError` for a network
    without unpooling, and a window that it does not take.

    Source: DeconvNet, figure 4, which takes "the most representative activation" and does not say how.
    """
    decoder = network.network.decoder
    if not isinstance(decoder, DeconvDecoder):
        raise InputError(
            "activations are drawn of DeconvNet's layers, and this network has no unpooling: give a DeconvNet"
        )
    named = list(decoder.layers.named_children())
    unpools = [place for place, (_, layer) in enumerate(named) if isinstance(layer, Unpool)][1:]
    shown = sorted({*unpools, *(place - 1 for place in unpools), len(named) - 1})
    seen: dict[str, torch.Tensor] = {}
    hooks = []
    for name, layer in (named[place] for place in shown):

        def keep(_: torch.nn.Module, __: object, answer: torch.Tensor, name: str = name) -> None:
            seen[name.removesuffix("_relu")] = answer[0].detach().float().cpu()

        hooks.append(layer.register_forward_hook(keep))
    try:
        network.score(window[None].astype(np.float32))
    finally:
        for hook in hooks:
            hook.remove()
    return [_strongest(name, answer) for name, answer in seen.items()]


def _strongest(layer: str, answer: torch.Tensor) -> Activation:
    channel = int(answer.square().sum(dim=(1, 2)).argmax())
    plane = answer[channel].clamp(min=0)
    return Activation(layer, channel, (plane / plane.max().clamp(min=1e-12)).numpy())


def growing(
    predictor: ProposalWise, image: NDArray, counts: Sequence[int] = COUNTS
) -> list[tuple[int, NDArray[np.float32]]]:
    """The scores of an image `(H, W, 3)` from the first so many of its windows alone, largest first.

    Gives `(count, scores)` for each of `counts` up to the number of its windows, which comes last whatever it is; one
    pair, of the whole image, where there is none. Source: DeconvNet, figure 6.
    """
    proposals = predictor.proposer(np.rint(image).clip(0, 255).astype(np.uint8))
    squares = [square_around(proposals.box(rank), predictor.enlarged) for rank in range(len(proposals))]
    best = [rank for rank, square in enumerate(squares) if square.size[0] >= predictor.minimum_side][: predictor.boxes]
    if not best:
        return [(0, predictor(image))]
    best.sort(key=lambda rank: -squares[rank].size[0])
    sorted_by_size = Proposals(proposals.boxes[best], proposals.objectness[best])
    grown = copy.copy(predictor)
    grown.proposer = lambda _: sorted_by_size
    grown.boxes = len(best)
    steps = sorted({*(count for count in counts if count < len(best)), len(best)})
    answers = grown.answers(image, [(count, grown.merge) for count in steps])
    return [(count, answers[count, grown.merge]) for count in steps]


def pictures(deconvnet: Model, by_proposals: Model, others: dict[str, Model], samples: Sequence[Sample]) -> Section:
    """The paper's figures 4 to 6 of some samples with truth, as a section of a page.

    deconvnet     one network, whose layers are shown
    by_proposals  the same by proposals, whose segmentation grows
    others        by name, what is shown beside it as probabilities of a class: FCN-8s in the paper
    """
    spec = deconvnet.label_spec
    network, predictor = deconvnet.predictor, by_proposals.predictor
    if not isinstance(network, WholeImage) or not isinstance(predictor, ProposalWise):
        raise InputError("DeconvNet's pictures need its network, and the same by proposals: give these two models")
    everywhere = list(range(len(spec)))
    content: list[Markup] = [legend(everywhere, spec), element("h3", "Inside the deconvolution network")]
    content += [_inside(network, predictor.side, sample, spec) for sample in samples]
    content.append(element("h3", "How likely each class is"))
    compared = {**others, "DeconvNet": by_proposals}
    content += [figure for sample in samples for figure in _likelihoods(compared, sample, spec)]
    content.append(element("h3", "From large windows to small ones"))
    content += [_growth(predictor, sample, spec) for sample in samples]
    return Section("pictures", "The paper's pictures", content)


def telling(data: DataSet, count: int = 2) -> list[Sample]:
    """The `count` samples with the most classes of objects, of the first `LOOKED_AT`; of equal ones the first."""
    seen = [data[place] for place in range(min(LOOKED_AT, len(data)))]
    return sorted(seen, key=lambda sample: -len(set(objects_of(sample, data.label_spec).classes.tolist())))[:count]


def _inside(network: WholeImage, side: int, sample: Sample, spec: LabelSpec) -> Markup:
    window = _around_largest(sample, objects_of(sample, spec))
    shown = resize_image(crop(sample.image.astype(np.float32), window, network.network.fill), (side, side))
    panels = [photograph_panel("window", np.rint(shown).clip(0, 255).astype(np.uint8), f"{sample.name}: the window")]
    for one in activations(network, shown):
        size = f"{one.plane.shape[0]} x {one.plane.shape[1]}"
        panels.append(
            heat_panel(f"{one.layer}, {size}", one.plane, f"{sample.name}: channel {one.channel} of {one.layer}")
        )
    return row(panels, f"{sample.name}: of each layer the channel with the most energy, over its largest value")


def _around_largest(sample: Sample, objects: Objects) -> Box:
    whole = Box(0, 0, *sample.size)
    if not len(objects):
        return square_around(whole)
    sides = objects.boxes[:, 2:] - objects.boxes[:, :2]
    return square_around(Box(*map(int, objects.boxes[sides.prod(axis=1).argmax()])), 1.2)


def _likelihoods(models: dict[str, Model], sample: Sample, spec: LabelSpec) -> Iterator[Markup]:
    """For each class of objects in the truth a line of panels: the image, and every model's probabilities."""
    truth = sample.labels[MAIN]
    answers = {name: model.predict(sample.image).probabilities() for name, model in models.items()}
    for index in np.unique(truth[truth != IGNORE]):
        name = spec.names[index]
        if name == BACKGROUND:
            continue
        panels = [photograph_panel("image", sample.image, f"{sample.name}: the image")]
        panels += [
            heat_panel(f"{name} by {model}", planes[index], f"{sample.name}: how likely {name} is, by {model}")
            for model, planes in answers.items()
        ]
        yield row(panels, f"{sample.name}: probability of {name}, black is 0 and white is 1")


def _growth(predictor: ProposalWise, sample: Sample, spec: LabelSpec) -> Markup:
    panels = [photograph_panel("image", sample.image, f"{sample.name}: the image")]
    panels.append(label_panel("truth", sample.labels[MAIN], spec, f"{sample.name}: the truth"))
    for count, scores in growing(predictor, sample.image):
        title = f"{count} window{'' if count == 1 else 's'}" if count else "no window: whole image"
        labels = scores.argmax(0).astype(np.uint8)
        panels.append(label_panel(title, labels, spec, f"{sample.name}: predicted from {title}"))
    return row(panels, f"{sample.name}: windows are added from the largest to the smallest")
