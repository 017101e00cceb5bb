"""DeepLab (Chen et al.): fields of view (ICLR 2015), schedules and atrous pyramids (PAMI 2018), before and behind a CRF."""

from __future__ import annotations

from pixelwise.analysis.reproduction import Reproduction, Row, Table, Training, trained
from pixelwise.inference.systems import Node, Refinement
from pixelwise.models.published.deeplab import ASPP_L, ASPP_S, LARGEFOV

VIEWS = "DeepLab v1 (ICLR 2015), table 2"
SCHEDULES = "DeepLab v2 (PAMI 2018), table 2"
PYRAMIDS = "DeepLab v2 (PAMI 2018), table 3"

V1_CRF, V2_CRF = "deeplab_v1", "deeplab_v2_vgg16"
"""Presets as released; the papers chose one for each network on 100 images of val."""


def deeplab(small: bool) -> Reproduction:
    """The reproduction at full size, on PASCAL VOC 2012 with SBD; or `small`, on any data with the splits train and val."""
    return Reproduction(
        name="deeplab",
        title="DeepLab",
        trainings=_small() if small else _full(),
        systems={
            **{
                f"{name}_crf": _refined(name, V1_CRF) for name in ("view_7x7", "view_4x4", "view_4x4_large", "largefov")
            },
            **{f"{name}_crf": _refined(name, V2_CRF) for name in ("poly_20k", "aspp_s", "aspp_l")},
        },
        tables=(
            Table(
                "Fields of view",
                "val",
                (
                    Row("7x7, rate 4", "view_7x7", 64.38, VIEWS),
                    Row("7x7, rate 4, CRF", "view_7x7_crf", 67.64, VIEWS),
                    Row("4x4, rate 4", "view_4x4", 59.80, VIEWS),
                    Row("4x4, rate 4, CRF", "view_4x4_crf", 63.74, VIEWS),
                    Row("4x4, rate 8", "view_4x4_large", 63.41, VIEWS),
                    Row("4x4, rate 8, CRF", "view_4x4_large_crf", 67.14, VIEWS),
                    Row("3x3, rate 12 (LargeFOV)", "largefov", 62.25, VIEWS),
                    Row("3x3, rate 12 (LargeFOV), CRF", "largefov_crf", 67.64, VIEWS),
                ),
                pictured=("view_4x4", "largefov", "largefov_crf"),
            ),
            Table(
                "Schedules, LargeFOV",
                "val",
                (
                    Row("step, batches of 30, 6,000 steps", "largefov", 62.25, SCHEDULES),
                    Row("poly, batches of 30, 6,000 steps", "poly_6k_30", 63.42, SCHEDULES),
                    Row("poly, batches of 30, 10,000 steps", "poly_10k_30", 64.90, SCHEDULES),
                    Row("poly, batches of 10, 10,000 steps", "poly_10k", 64.71, SCHEDULES),
                    Row("poly, batches of 10, 20,000 steps", "poly_20k", 65.88, SCHEDULES),
                ),
                pictured=("largefov", "poly_6k_30", "poly_20k"),
            ),
            Table(
                "Atrous spatial pyramid pooling",
                "val",
                (
                    Row("LargeFOV", "poly_20k", 65.76, PYRAMIDS),
                    Row("LargeFOV, CRF", "poly_20k_crf", 69.84, PYRAMIDS),
                    Row("ASPP-S", "aspp_s", 66.98, PYRAMIDS),
                    Row("ASPP-S, CRF", "aspp_s_crf", 69.73, PYRAMIDS),
                    Row("ASPP-L", "aspp_l", 68.96, PYRAMIDS),
                    Row("ASPP-L, CRF", "aspp_l_crf", 71.57, PYRAMIDS),
                ),
                pictured=("poly_20k", "aspp_l", "aspp_l_crf"),
            ),
        ),
        remarks=(
            f"The CRF is that of the presets {V1_CRF} and {V2_CRF}; the papers chose parameters for each network.",
            *(SMALL_REMARKS if small else ()),
        ),
    )


def _refined(name: str, crf: str) -> Node:
    return Node(refined=Refinement(of=trained(name), crf=crf))


def _full() -> tuple[Training, ...]:
    return (
        Training("view_7x7", "deeplab_v1_7x7_voc"),
        Training("view_4x4", "deeplab_v1_voc"),
        Training("view_4x4_large", "deeplab_v1_4x4_voc"),
        Training("largefov", "deeplab_v1_largefov_voc"),
        Training("poly_6k_30", "deeplab_v2_largefov_6k_batch30_voc"),
        Training("poly_10k_30", "deeplab_v2_largefov_10k_batch30_voc"),
        Training("poly_10k", "deeplab_v2_largefov_10k_batch10_voc"),
        Training("poly_20k", "deeplab_v2_largefov_voc"),
        Training("aspp_s", "deeplab_v2_aspp_s_voc"),
        Training("aspp_l", "deeplab_v2_aspp_l_voc"),
    )


SMALL = (
    "network=deeplab8s_lite0", "split=null", "select=train", "init=none", "optimiser=adamw", "learning_rate=0.01",
    "bias_rate=1", "last_rate=1", "weight_decay=0.0001", "save_every=20", "batch_size=8", "steps=80", "crop=97", "workers=0",
)  # fmt: skip
"""What makes minutes of the published trainings: few steps of small windows, from random weights."""

SMALL_REMARKS = (
    "Small: all networks are deeplab8s on EfficientNet-Lite0 at a quarter of its width, from random weights; fc6 of 7x7 or "
    "4x4 stands as the 3x3 kernels at the rates at which it would look. Batches and steps keep the order of the published ones.",
)


def _small() -> tuple[Training, ...]:
    def seen_at(*rates: int) -> tuple[str, ...]:
        return (*SMALL, f"options={{width: 0.25, rates: {list(rates)}}}")

    large = seen_at(*LARGEFOV)
    return (
        Training(
            "view_7x7", "deeplab_v1_7x7_voc", seen_at(4, 8, 12)
        ),  # rate 4: the places 0, 4, 8 and 12 on either side
        Training("view_4x4", "deeplab_v1_voc", seen_at(2, 6)),  # rate 4: the places 2 and 6 on either side
        Training("view_4x4_large", "deeplab_v1_4x4_voc", seen_at(4, 12)),  # rate 8: twice as far
        Training("largefov", "deeplab_v1_largefov_voc", large),
        Training("poly_6k_30", "deeplab_v2_largefov_6k_batch30_voc", large),
        Training("poly_10k_30", "deeplab_v2_largefov_10k_batch30_voc", (*large, "steps=130")),
        Training("poly_10k", "deeplab_v2_largefov_10k_batch10_voc", (*large, "steps=130", "batch_size=4")),
        Training("poly_20k", "deeplab_v2_largefov_voc", (*large, "steps=260", "batch_size=4")),
        Training("aspp_s", "deeplab_v2_aspp_s_voc", (*seen_at(*ASPP_S), "steps=260", "batch_size=4")),
        Training("aspp_l", "deeplab_v2_aspp_l_voc", (*seen_at(*ASPP_L), "steps=260", "batch_size=4")),
    )
