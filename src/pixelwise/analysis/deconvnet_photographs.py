"""DeconvNet on two CPU cores and any photographs with masks: HED's VGG16 and a narrow mirror; its paper's claims, each tested."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pixelwise.analysis.deconvnet import SYSTEMS_TABLE, pictures_of, refined
from pixelwise.analysis.reproduction import Reproduction, Row, Table, Training, place_of, trained
from pixelwise.inference.systems import Members, Node, Windows
from pixelwise.training.two_stages import Statistics

STAGES = ("deconvnet_small_stage1", "deconvnet_small_stage2")

COUNTS = (1, 5, 10, 25, 50, 100)
"""Numbers of windows an image; 50 is the paper's."""

AS_LONG = ("init=model", "steps=2100")
"""FCN-8s goes on for as many minutes as DeconvNet takes."""

GENTLE = ("learning_rate=0.0005", "last_rate=1")
"""A network without norms does not stand the rate of one with them."""

STATISTICS = Statistics(batch_size=28, passes=40)
"""A twelfth of the released passes: statistics of 1,120 windows, in two minutes."""

EVERY = 4
"""What is taken away or exchanged in training is tried on a quarter of the images,"""

SHORT = (180, 300)
"""in so many steps of each stage,"""

FEW = 25
"""and measured with so many windows an image."""

REMARKS = (
    "Published numbers are of VOC 2012 test, by networks that learned for days from all of VOC: they say what the paper "
    "found better than what, and nothing of the size of ours.",
    f"What is exchanged in training is tried in short: on every {EVERY}th image, {sum(SHORT)} steps each, {FEW} windows an "
    "image.",
    "HED knows edges and no classes. What ImageNet is to the paper, a training of FCN-8s is here: DeconvNet begins with its "
    "trunk, fc6 and fc7, and FCN-8s goes on from it for as many minutes. Those are not the same number of images: FCN-8s keeps "
    "its padding of 100 pixels, which makes two of every three that its trunk sees.",
    "Intervals speak of the choice of images alone, not of training again.",
)


def photographs(hed: Path) -> Reproduction:
    """The reproduction on photographs, whose trunks start from HED's weights, the file `hed`."""
    return Reproduction(
        name="deconvnet",
        title="DeconvNet on photographs",
        trainings=_trainings(),
        systems=_systems(hed),
        tables=(
            SYSTEMS_TABLE,
            Table(
                "Windows",
                "val",
                (
                    Row("the whole image", "deconvnet"),
                    Row("the best windows, their maximum", "by_proposals"),
                    Row("their sum", "by_sum"),
                    Row("their mean", "by_mean"),
                    Row("ensemble by the product of scores", "ensemble_product"),
                ),
                pictured=("deconvnet", "by_proposals", "by_sum"),
            ),
            Table("Number of windows", "val", tuple(Row(str(count), _called(count)) for count in COUNTS)),
            Table(
                "Objects by size",
                "val",
                (
                    Row("DeconvNet, the whole image", "deconvnet"),
                    Row("DeconvNet, 50 windows", "by_proposals"),
                    Row("FCN-8s", "fcn8s"),
                    Row("EDeconvNet", "ensemble"),
                ),
                by_size=True,
            ),
            Table(
                "Training",
                "val",
                (
                    Row("two stages, switches, batch norm", "short_seen"),
                    Row("the second stage alone", "one_stage_seen"),
                    Row("unpooled by nearest neighbours", "nearest_seen"),
                    Row("without batch norm", "plain_seen"),
                ),
                pictured=("short_seen", "one_stage_seen", "nearest_seen", "plain_seen"),
            ),
            Table("Claims", "val", CLAIMS),
        ),
        pictures=pictures_of,
        remarks=REMARKS,
    )


CLAIMS = (
    Row("50 windows: better than the whole image", "by_proposals", against="deconvnet"),
    Row("50 windows: better than 10", "by_proposals", against="by_10"),
    Row("maximum: better than the sum", "by_proposals", against="by_sum"),
    Row("maximum: better than the mean", "by_proposals", against="by_mean"),
    Row("DeconvNet: better than FCN-8s", "by_proposals", against="fcn8s"),
    Row("EDeconvNet: better than DeconvNet", "ensemble", against="by_proposals"),
    Row("EDeconvNet: better than FCN-8s", "ensemble", against="fcn8s"),
    Row("CRF: better than DeconvNet alone", "by_proposals_crf", against="by_proposals"),
    Row("CRF: better than FCN-8s alone", "fcn8s_crf", against="fcn8s"),
    Row("CRF: better than EDeconvNet alone", "ensemble_crf", against="ensemble"),
    Row("two stages: better than the second alone", "short_seen", against="one_stage_seen"),
    Row("switches: better than nearest neighbours", "short_seen", against="nearest_seen"),
    Row("batch norm: better than none", "short_seen", against="plain_seen"),
)
"""What the paper says or takes for granted, a line each."""


def _trainings() -> tuple[Training, ...]:
    def deconvnet(name: str, *changes: str) -> Training:
        return Training(name, STAGES, changes, trunk="classes", statistics=STATISTICS)

    def short(name: str, *changes: str) -> Training:
        return replace(deconvnet(name, *changes), steps=SHORT, every=EVERY)

    width = "decoder_width: 0.25, initial_spread: null"
    return (
        Training("classes", "deconvnet_small_fcn8s"),
        Training("fcn8s", "deconvnet_small_fcn8s", AS_LONG, after="classes"),
        deconvnet("deconvnet"),
        short("short"),
        replace(short("one_stage", "init=imagenet"), recipe=STAGES[1:], steps=(sum(SHORT),)),
        short("nearest", f"options={{{width}, unpooling: nearest}}"),
        short("plain", f"options={{{width}, batch_norm: false}}", *GENTLE),
    )


def _systems(hed: Path) -> dict[str, Node]:
    def seen(of: str = "deconvnet", **changes: int | str) -> Node:
        settings = {"edges": "hed", "weights": str(hed.resolve()), "precision": "auto"}
        return Node(proposal_wise=Windows.model_validate({"of": place_of(of)} | settings | changes))

    members = Members(of=(seen(), trained("fcn8s")))
    systems = {
        "by_proposals": seen(),
        "by_sum": seen(merge="sum"),
        "by_mean": seen(merge="mean"),
        "ensemble": Node(ensemble=members),
        "ensemble_product": Node(ensemble=members.model_copy(update={"rule": "product"})),
        "fcn8s_crf": refined(trained("fcn8s")),
        "by_proposals_crf": refined(seen()),
        "ensemble_crf": refined(Node(ensemble=members)),
    }
    systems |= {_called(count): seen(boxes=count) for count in COUNTS if _called(count) not in systems}
    return systems | {f"{name}_seen": seen(name, boxes=FEW) for name in ("short", "one_stage", "nearest", "plain")}


def _called(count: int) -> str:
    """The system of so many windows; that of the paper's number is the one of the other tables."""
    return "by_proposals" if count == 50 else f"by_{count}"
