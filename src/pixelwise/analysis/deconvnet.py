"""DeconvNet (Noh, Hong & Han, ICCV 2015): two stages, proposals, the ensemble with FCN-8s, a CRF; its table 1 and pictures."""

from __future__ import annotations

from collections.abc import Callable

from pixelwise.analysis.inside_deconvnet import pictures, telling
from pixelwise.analysis.reproduction import Reproduction, Row, Table, Training, place_of, trained
from pixelwise.data.dataset import DataSet
from pixelwise.inference.model import Model
from pixelwise.inference.systems import Members, Node, Refinement, Windows
from pixelwise.report.page import Section
from pixelwise.training.two_stages import Statistics

TABLE_1 = "DeconvNet (ICCV 2015), table 1"
CRF = "deconvnet"
"""The preset of the release."""

SYSTEMS_TABLE = Table(
    "Systems",
    "val",
    (
        Row("FCN-8s", "fcn8s", 62.2, TABLE_1),
        Row("FCN-8s + CRF", "fcn8s_crf"),
        Row("DeconvNet", "by_proposals", 69.6, TABLE_1),
        Row("DeconvNet + CRF", "by_proposals_crf", 70.5, TABLE_1),
        Row("EDeconvNet", "ensemble", 71.7, TABLE_1),
        Row("EDeconvNet + CRF", "ensemble_crf", 72.5, TABLE_1),
    ),
    pictured=("fcn8s", "by_proposals", "ensemble", "ensemble_crf"),
)
"""The paper's table, whatever the networks' size."""


def deconvnet(small: bool) -> Reproduction:
    """The reproduction at full size, on PASCAL VOC with SBD; or `small`, on any data with train, val and a background."""
    windows = SMALL_WINDOWS if small else {}
    return Reproduction(
        name="deconvnet",
        title="DeconvNet",
        trainings=_small() if small else _full(),
        systems=_systems(windows),
        tables=(
            SYSTEMS_TABLE,
            Table(
                "Windows",
                "val",
                (
                    Row("the whole image", "deconvnet"),
                    Row("the best window", "best_window"),
                    Row("the best windows, their maximum", "by_proposals"),
                    Row("their sum", "by_sum"),
                    Row("their mean", "by_mean"),
                    Row("ensemble by the product of scores", "ensemble_product"),
                ),
                pictured=("deconvnet", "best_window", "by_proposals"),
            ),
        ),
        pictures=pictures_of,
        remarks=SMALL_REMARKS if small else REMARKS,
    )


REMARKS = (
    "Published numbers are of VOC 2012 test, whose truth is not public; ours are of val, which no training here sees, while "
    "the published networks learned from train and val. Fifty windows an image.",
)


def _full() -> tuple[Training, ...]:
    fair = ("split=train_aug",)
    return (
        Training("fcn32s", "fcn32s_voc", fair),
        Training("fcn16s", "fcn16s_voc", fair, after="fcn32s"),
        Training("fcn8s", "fcn8s_voc", fair, after="fcn16s"),
        Training("deconvnet", ("deconvnet_stage1_voc", "deconvnet_stage2_voc"), fair),
    )


SMALL = (
    "init=none", "split=null", "select=train", "hold_out=0", "options={width: 0.0625}", "workers=0", "optimiser=adamw",
    "schedule=poly", "warmup=5", "weight_decay=0.0001", "brightness=0", "save_every=20", "edges=gradient",
)  # fmt: skip
"""What makes a minute of the trainings: a sixteenth of the width, random weights, few steps."""

SMALL_WINDOWS = {"boxes": 6, "minimum_side": 48}
"""Generated images are about half as large as the least window of the release."""

SMALL_REMARKS = (
    "Small: trunks and decoders have a sixteenth of their width and learn from random weights; windows of 48 pixels and "
    "more count, six an image. FCN-8s learns at once. In so few steps neither learns more than the background.",
)


def _small() -> tuple[Training, ...]:
    stages = ("deconvnet_small_stage1", "deconvnet_small_stage2")
    learned = (
        "still_stages=0", "backbone_rate=1", "last_rate=1", "learning_rate=0.01", "batch_size=8", "steps=60",
    )  # fmt: skip
    fcn = (
        "learning_rate=0.003", "last_rate=10", "bias_rate=1", "momentum=0.9", "divide_by=places", "accumulate=1",
        "batch_size=4", "crop=96", "flip=0.5", "steps=40",
    )  # fmt: skip
    return (
        Training("fcn8s", "fcn8s_atonce_voc", (*SMALL, *fcn)),
        Training("deconvnet", stages, (*SMALL, *learned), statistics=Statistics(batch_size=8, passes=10)),
    )


def _systems(windows: dict[str, int]) -> dict[str, Node]:
    def seen(**changes: int | str) -> Node:
        return Node(proposal_wise=Windows.model_validate({"of": place_of("deconvnet")} | windows | changes))

    members = Members(of=(seen(), trained("fcn8s")))
    return {
        "by_proposals": seen(),
        "best_window": seen(boxes=1),
        "by_sum": seen(merge="sum"),
        "by_mean": seen(merge="mean"),
        "ensemble": Node(ensemble=members),
        "ensemble_product": Node(ensemble=members.model_copy(update={"rule": "product"})),
        "fcn8s_crf": refined(trained("fcn8s")),
        "by_proposals_crf": refined(seen()),
        "ensemble_crf": refined(Node(ensemble=members)),
    }


def refined(node: Node) -> Node:
    """A system with the release's CRF behind it."""
    return Node(refined=Refinement(of=node, crf=CRF))


def pictures_of(model: Callable[[str], Model], data: DataSet) -> Section:
    """The paper's pictures, from the systems by name and the images that they are measured on."""
    return pictures(model("deconvnet"), model("by_proposals"), {"FCN-8s": model("fcn8s")}, telling(data))
