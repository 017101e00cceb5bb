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
                    Row("FCN-32s + Label Loss", None, 59.8, TABLE_1),
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
                    Row("DL-LargeFOV + Label Loss", None, 73.9, TABLE_1),
                    Row("DL-LargeFOV + Global Interp.", "largefov_interpolation", 74.2, TABLE_1),
                    Row("DL-LargeFOV + GDN", "largefov_gdn", 75.1, TABLE_1),
                ),
                pictured=("largefov", "largefov_interpolation", "largefov_gdn"),
            ),
        ),
        remarks=(
            "The label loss alone was not tried: there is no network here with the label head and without the matrices.",
            "The published numbers on LargeFOV are of networks that had likely seen val: only their differences compare.",
            *(SMALL_REMARKS if small else ()),
        ),
    )


def _full() -> tuple[Training, ...]:
    return (
        Training("fcn32s", "fcn32s_voc"),
        Training("interpolation_new", "gdn_interpolation_fcn32s_voc_new", after="fcn32s"),
        Training("interpolation", "gdn_interpolation_fcn32s_voc", after="interpolation_new"),
        Training("gdn_new", "gdn_fcn32s_voc_new", after="fcn32s"),
        Training("gdn", "gdn_fcn32s_voc", after="gdn_new"),
        Training("fc_new", "gdn_fc_fcn32s_voc_new", after="fcn32s"),
        Training("fc", "gdn_fc_fcn32s_voc", after="fc_new"),
        Training("largefov", "deeplab_v1_largefov_voc"),
        Training("largefov_interpolation_new", "gdn_interpolation_largefov_voc_new", after="largefov"),
        Training("largefov_interpolation", "gdn_interpolation_largefov_voc", after="largefov_interpolation_new"),
        Training("largefov_gdn_new", "gdn_largefov_voc_new", after="largefov"),
        Training("largefov_gdn", "gdn_largefov_voc", after="largefov_gdn_new"),
    )


SMALL_REMARKS = ()


def _small() -> tuple[Training, ...]:
    return ()
