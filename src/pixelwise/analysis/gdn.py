"""GDN (Nekrasov, Ju & Choi, BMVC 2016): learned interpolation, label loss and an ensemble on two networks: its table 1."""

from __future__ import annotations

from pixelwise.analysis.reproduction import Reproduction, Row, Table, Training, trained
from pixelwise.inference.systems import Members, Node

TABLE_1 = "GDN (BMVC 2016), table 1"


def gdn(small: bool) -> Reproduction:
    """The reproduction at full size, on PASCAL VOC with SBD; or `small`, on any data with the splits train and val."""
    return Reproduction(
        name="gdn",
        title="Global deconvolutional networks",
        trainings=_small() if small else _full(),
        systems={"gdn_and_fc": Node(ensemble=Members(of=(trained("gdn"), trained("fc"))))},
        tables=(
            Table(
                "On FCN-32s",
                "val" if small else "seg11valid",
                (
                    Row("FCN-32s", "fcn32s", 59.4, TABLE_1),
                    Row("FCN-32s + Label Loss", "label", 59.8, TABLE_1),
                    Row("FCN-32s + Global Interp.", "interpolation", 60.9, TABLE_1),
                    Row("FCN-32s + GDN", "gdn", 61.2, TABLE_1),
                    Row("FCN-32s + GDN + FC", "gdn_and_fc", 62.5, TABLE_1),
                ),
                pictured=("fcn32s", "gdn", "gdn_and_fc"),
            ),
            Table(
                "On DeepLab-LargeFOV",
                "val",
                (
                    Row("DL-LargeFOV", "largefov", 73.3, TABLE_1),
                    Row("DL-LargeFOV + Label Loss", "largefov_label", 73.9, TABLE_1),
                    Row("DL-LargeFOV + Global Interp.", "largefov_interpolation", 74.2, TABLE_1),
                    Row("DL-LargeFOV + GDN", "largefov_gdn", 75.1, TABLE_1),
                ),
                pictured=("largefov", "largefov_interpolation", "largefov_gdn"),
            ),
        ),
        remarks=(
            "The published numbers on LargeFOV are of networks that had likely seen val: only their differences compare.",
            *(SMALL_REMARKS if small else ()),
        ),
    )


def _full() -> tuple[Training, ...]:
    return (
        Training("fcn32s", "fcn32s_voc"),
        Training("label_new", "gdn_label_fcn32s_voc_new", after="fcn32s"),
        Training("label", "gdn_label_fcn32s_voc", after="label_new"),
        Training("interpolation_new", "gdn_interpolation_fcn32s_voc_new", after="fcn32s"),
        Training("interpolation", "gdn_interpolation_fcn32s_voc", after="interpolation_new"),
        Training("gdn_new", "gdn_fcn32s_voc_new", after="fcn32s"),
        Training("gdn", "gdn_fcn32s_voc", after="gdn_new"),
        Training("fc_new", "gdn_fc_fcn32s_voc_new", after="fcn32s"),
        Training("fc", "gdn_fc_fcn32s_voc", after="fc_new"),
        Training("largefov", "deeplab_v1_largefov_voc"),
        Training("largefov_label_new", "gdn_label_largefov_voc_new", after="largefov"),
        Training("largefov_label", "gdn_label_largefov_voc", after="largefov_label_new"),
        Training("largefov_interpolation_new", "gdn_interpolation_largefov_voc_new", after="largefov"),
        Training("largefov_interpolation", "gdn_interpolation_largefov_voc", after="largefov_interpolation_new"),
        Training("largefov_gdn_new", "gdn_largefov_voc_new", after="largefov"),
        Training("largefov_gdn", "gdn_largefov_voc", after="largefov_gdn_new"),
    )


SMALL = (
    "split=null", "select=train", "hold_out=0", "init=model", "learn=all", "optimiser=adamw", "learning_rate=0.003",
    "bias_rate=1", "momentum=0.9", "weight_decay=0.0001", "divide_by=places", "schedule=poly", "warmup=5", "steps=30",
    "save_every=10", "accumulate=1", "batch_size=8", "crop=160", "stretch=null", "flip=0.5", "workers=0",
)  # fmt: skip
"""What makes minutes of the published trainings: few steps of small windows, from random weights."""

LITE0 = ("network=gdn_lite0", "options={width: 0.25, side: 160}")
LABELLED = ("network=gdn_lite0", "options={width: 0.25, side: 160, label_loss: true}", "label_loss=1")
LABEL_ALONE = (
    "network=gdn_lite0",
    "options={width: 0.25, side: 160, label_loss: true, global_interpolation: false}",
    "label_loss=1",
)
LONGER = ("steps=100", "batch_size=4", "learning_rate=0.005")
VGG16 = ("options={width: 0.0625, side: 160}", "last_rate=0.03", "batch_size=4")
VGG16_LABELLED = ("options={width: 0.0625, side: 160, label_loss: true}", "last_rate=0.03", "batch_size=4")
VGG16_LABEL_ALONE = (
    "options={width: 0.0625, side: 160, label_loss: true, global_interpolation: false}",
    "last_rate=0.03",
    "batch_size=4",
)

SMALL_REMARKS = (
    "Small: FCN-32s is on EfficientNet-Lite0 at a quarter of its width; its fully connected half, and LargeFOV, are on VGG16 "
    "at a sixteenth. All begin from random weights.",
)


def _small() -> tuple[Training, ...]:
    base = (*SMALL, "init=none", "options={width: 0.25}", "learning_rate=0.01", "batch_size=4", "steps=200")
    view = (*SMALL, "init=none", "options={width: 0.0625}", "crop=97", "last_rate=0.03", "batch_size=4")
    return (
        Training("fcn32s", "fcn32s_voc", (*base, "network=fcn32s_lite0")),
        Training("label_new", "gdn_label_fcn32s_voc_new", (*SMALL, *LABEL_ALONE, "learn=added"), "fcn32s"),
        Training("label", "gdn_label_fcn32s_voc", (*SMALL, *LABEL_ALONE, *LONGER), "label_new"),
        Training("interpolation_new", "gdn_interpolation_fcn32s_voc_new", (*SMALL, *LITE0, "learn=added"), "fcn32s"),
        Training("interpolation", "gdn_interpolation_fcn32s_voc", (*SMALL, *LITE0, *LONGER), "interpolation_new"),
        Training("gdn_new", "gdn_fcn32s_voc_new", (*SMALL, *LABELLED, "learn=added"), "fcn32s"),
        Training("gdn", "gdn_fcn32s_voc", (*SMALL, *LABELLED, *LONGER), "gdn_new"),
        Training("fc_new", "gdn_fc_fcn32s_voc_new", (*SMALL, *VGG16, "init=none")),
        Training("fc", "gdn_fc_fcn32s_voc", (*SMALL, *VGG16), "fc_new"),
        Training("largefov", "deeplab_v1_largefov_voc", view),
        Training(
            "largefov_label_new", "gdn_label_largefov_voc_new", (*SMALL, *VGG16_LABEL_ALONE, "learn=added"), "largefov"
        ),
        Training("largefov_label", "gdn_label_largefov_voc", (*SMALL, *VGG16_LABEL_ALONE), "largefov_label_new"),
        Training(
            "largefov_interpolation_new",
            "gdn_interpolation_largefov_voc_new",
            (*SMALL, *VGG16, "learn=added"),
            "largefov",
        ),
        Training(
            "largefov_interpolation", "gdn_interpolation_largefov_voc", (*SMALL, *VGG16), "largefov_interpolation_new"
        ),
        Training("largefov_gdn_new", "gdn_largefov_voc_new", (*SMALL, *VGG16_LABELLED, "learn=added"), "largefov"),
        Training("largefov_gdn", "gdn_largefov_voc", (*SMALL, *VGG16_LABELLED), "largefov_gdn_new"),
    )
