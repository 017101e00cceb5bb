"""FCN (Shelhamer, Long & Darrell, PAMI 2017): base networks, ways of learning, and strides: its tables 1 to 3."""

from __future__ import annotations

from pixelwise.analysis.reproduction import Reproduction, Row, Table, Training

PAPER = "FCN (PAMI 2017)"
TABLE_1, TABLE_2, TABLE_3 = (f"{PAPER}, table {number}" for number in (1, 2, 3))


def fcn(small: bool) -> Reproduction:
    """The reproduction at full size, on PASCAL VOC 2011 with SBD; or `small`, on any data with the splits train and val."""
    return Reproduction(
        name="fcn",
        title="Fully convolutional networks",
        trainings=_small() if small else _full(),
        tables=(
            Table(
                "Base networks",
                "val",
                (
                    Row("FCN-AlexNet", "alexnet", 39.8, TABLE_1),
                    Row("FCN-VGG16", "vgg16", 56.0, TABLE_1),
                    Row("FCN-GoogLeNet", "googlenet", 42.5, TABLE_1),
                ),
                pictured=("alexnet", "vgg16", "googlenet"),
            ),
            Table(
                "Ways of learning",
                "val" if small else "seg11valid",
                (
                    Row("FCN-accum", "accum", 51.9, TABLE_2),
                    Row("FCN-online", "online", 60.7, TABLE_2),
                    Row("FCN-heavy", "fcn32s", 63.6, TABLE_2),
                ),
                pictured=("accum", "online", "fcn32s"),
            ),
            Table(
                "Strides",
                "val" if small else "seg11valid",
                (
                    Row("FCN-32s", "fcn32s", 63.6, TABLE_3),
                    Row("FCN-16s", "fcn16s", 65.0, TABLE_3),
                    Row("FCN-8s at-once", "fcn8s_atonce", 65.4, TABLE_3),
                    Row("FCN-8s staged", "fcn8s", 65.5, TABLE_3),
                    Row("FCN-32s fixed", "fixed", 46.6, TABLE_3),
                    Row("FCN-pool5", "pool5", 50.0, TABLE_3),
                    Row("FCN-pool4", "pool4", 22.4, TABLE_3),
                    Row("FCN-pool3", "pool3", 9.2, TABLE_3),
                ),
                pictured=("fcn32s", "fcn16s", "fcn8s"),
            ),
        ),
        remarks=SMALL_REMARKS if small else ("The split val of base networks is that of VOC 2011.",),
    )


def _full() -> tuple[Training, ...]:
    return (
        Training("alexnet", "fcn_table1_alexnet_voc"),
        Training("vgg16", "fcn_table1_vgg16_voc"),
        Training("googlenet", "fcn_table1_googlenet_voc"),
        Training("accum", "fcn32s_accum_voc"),
        Training("online", "fcn32s_online_voc"),
        Training("fcn32s", "fcn32s_voc"),
        Training("fcn16s", "fcn16s_voc", after="fcn32s"),
        Training("fcn8s", "fcn8s_voc", after="fcn16s"),
        Training("fcn8s_atonce", "fcn8s_atonce_voc"),
        Training("fixed", "fcn32s_fixed_voc"),
        Training("pool5", "fcn_pool5_voc"),
        Training("pool4", "fcn_pool4_voc"),
        Training("pool3", "fcn_pool3_voc"),
    )


SMALL = (
    "split=null", "select=train", "init=none", "options={width: 0.25}", "optimiser=adamw", "learning_rate=0.01", "bias_rate=1",
    "momentum=0.9", "weight_decay=0.0001", "divide_by=places", "schedule=poly", "warmup=5", "steps=80", "save_every=20",
    "accumulate=1", "batch_size=8", "crop=96", "flip=0.5", "workers=0",
)  # fmt: skip
"""What makes minutes of the published trainings: few steps of small windows, from random weights."""

NARROW = ("options={width: 0.0625}", "learning_rate=0.003", "last_rate=0.03", "batch_size=4", "steps=40")
"""For trunks without batch norm: their scores see features of some hundreds, for pixels are not divided by anything."""

SMALL_REMARKS = (
    "Small: strides and ways of learning are compared on EfficientNet-Lite0 at a quarter of its width, base networks and "
    "trunks cut off behind a pool at a sixteenth of theirs, all from random weights.",
)


def _small() -> tuple[Training, ...]:
    strides = {stride: (*SMALL, f"network={stride}_lite0") for stride in ("fcn32s", "fcn16s", "fcn8s")}
    return (
        Training("alexnet", "fcn_table1_alexnet_voc", (*SMALL, *NARROW)),
        Training("vgg16", "fcn_table1_vgg16_voc", (*SMALL, *NARROW)),
        Training("googlenet", "fcn_table1_googlenet_voc", (*SMALL, *NARROW)),
        Training("accum", "fcn32s_accum_voc", (*strides["fcn32s"], "batch_size=8", "accumulate=4", "steps=20")),
        Training("online", "fcn32s_online_voc", strides["fcn32s"]),
        Training("fcn32s", "fcn32s_voc", (*strides["fcn32s"], "momentum=0.99")),
        Training("fcn16s", "fcn16s_voc", (*strides["fcn16s"], "init=model", "steps=160"), after="fcn32s"),
        Training("fcn8s", "fcn8s_voc", (*strides["fcn8s"], "init=model", "steps=160"), after="fcn16s"),
        Training("fcn8s_atonce", "fcn8s_atonce_voc", strides["fcn8s"]),
        Training("fixed", "fcn32s_fixed_voc", strides["fcn32s"]),
        Training("pool5", "fcn_pool5_voc", (*SMALL, *NARROW)),
        Training("pool4", "fcn_pool4_voc", (*SMALL, *NARROW)),
        Training("pool3", "fcn_pool3_voc", (*SMALL, *NARROW)),
    )
