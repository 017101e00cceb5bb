"""The systems of the papers by name: the places of trained models in, the system that they make out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pixelwise.errors import InputError, unknown_name
from pixelwise.inference.systems import Node

ANY = "..."
"""Behind the last network of a system: as many models of it as one has."""


@dataclass(frozen=True)
class Published:
    """A system of a paper.

    title     what the paper calls it
    networks  what its models are in the paper, in the order in which they are given; others of the same classes may be taken
    part      the places of the models -> what the system is made of, but for the CRF
    crf       the preset behind it; None: there is none
    source    of its numbers
    """

    title: str
    networks: tuple[str, ...]
    part: Callable[..., Any]
    crf: str | None
    source: str


def _alone(model: str) -> Any:
    return {"whole_image": model}


def _at_513(model: str) -> Any:
    return {"padded": {"of": model, "side": 513}}  # Source: DeepLab v1's config/DeepLab-LargeFOV/test.prototxt


def _at_514(model: str) -> Any:
    return {"padded": {"of": model, "side": 514}}  # Source: DeepLab v1's config/DeepLab/test.prototxt


def _three_scales(model: str) -> Any:
    # Source: DeepLab v2 (PAMI 2018), sections 3.2 and 4.1.2
    return {"multi_scale": {"of": model, "scales": [0.5, 0.75, 1.0], "merge": "max"}}


def _mean(*parts: Any) -> Any:
    return {"ensemble": {"rule": "mean", "of": list(parts)}}


def _proposals(model: str, **settings: Any) -> Any:
    # Source: DeconvNet (ICCV 2015), section 5.1: 50 boxes, merged by the maximum
    return {"proposal_wise": {"of": model, "boxes": 50, "merge": "max"} | settings}


def _proposals_and_whole(deconvnet: str, fcn: str) -> Any:
    return _mean(_proposals(deconvnet), fcn)


def _released_edeconvnet(deconvnet: str, fcn: str) -> Any:
    # Source: the released generate_EDeconvNet_CRF_results.m: black around the image, FCN-8s at 500 x 500, a product
    windows = _proposals(deconvnet, minimum_side=112, fill=[0, 0, 0])
    return {"ensemble": {"rule": "product", "of": [windows, {"padded": {"of": fcn, "side": 500}}]}}


_BASE, _LARGEFOV, _MSC = "deeplab_vgg16", "deeplab_largefov_vgg16", "deeplab_msc_largefov_vgg16"
_SEVEN, _ASPP, _RESNET = "deeplab_7x7_vgg16", "deeplab_aspp_l_vgg16", "deeplab_aspp_resnet101"
_GDN, _GDN_FCN, _GDN_FC = "gdn_largefov_vgg16", "gdn_fcn32s_vgg16", "gdn_fc_fcn32s_vgg16"
_DECONVNET, _FCN8S = "deconvnet_vgg16", "fcn8s_vgg16"

_V1_TEST = "DeepLab v1 (ICLR 2015), released test.prototxt"
_V1_NONE = f"{_V1_TEST}; no numbers of its own CRF are published: those that its run_densecrf.sh begins with"
_V2_TEST = "DeepLab v2 (PAMI 2018), section 3.1, on images as v1's LargeFOV is tested"
_GDN_CRF = "GDN (BMVC 2016), table 2; the CRF's numbers are not given: DeepLab v1's, for want of any"
_OWN_CRF = "the CRF's numbers are published for the ensemble alone: those"

PUBLISHED: Mapping[str, Published] = {
    "deeplab_v1": Published("DeepLab", (_BASE,), _at_514, None, _V1_TEST),
    "deeplab_v1_crf": Published("DeepLab-CRF", (_BASE,), _at_514, "deeplab_v1", f"{_V1_TEST} and SetupEnv.m"),
    "deeplab_v1_7x7_crf": Published("DeepLab-CRF-7x7", (_SEVEN,), _at_514, "deeplab_v1_script", _V1_NONE),
    "deeplab_v1_largefov": Published("DeepLab-LargeFOV", (_LARGEFOV,), _at_513, None, _V1_TEST),
    "deeplab_v1_largefov_crf": Published(
        "DeepLab-CRF-LargeFOV", (_LARGEFOV,), _at_513, "deeplab_v1_script", _V1_NONE
    ),
    "deeplab_v1_msc_largefov": Published("DeepLab-MSc-LargeFOV", (_MSC,), _at_513, None, _V1_TEST),
    "deeplab_v1_msc_largefov_crf": Published(
        "DeepLab-MSc-CRF-LargeFOV", (_MSC,), _at_513, "deeplab_v1_msc", f"{_V1_TEST} and SetupEnv.m, DeepLab-MSc"
    ),
    "deeplab_v2_vgg16": Published("DeepLab-ASPP-L", (_ASPP,), _at_513, None, _V2_TEST),
    "deeplab_v2_vgg16_crf": Published(
        "DeepLab-ASPP-L, CRF", (_ASPP,), _at_513, "deeplab_v2_vgg16", f"{_V2_TEST} and its run_densecrf.sh"
    ),
    "deeplab_v2_resnet101": Published(
        "DeepLab on ResNet-101, MSC", (_RESNET,), _three_scales, None, "DeepLab v2 (PAMI 2018), sections 3.2 and 4.1.2"
    ),
    "deeplab_v2_resnet101_crf": Published(
        "DeepLab on ResNet-101, MSC, CRF", (_RESNET,), _three_scales, "deeplab_v2_resnet101",
        "DeepLab v2 (PAMI 2018), sections 3.2 and 4.1.2; the CRF's numbers are kazuto1011/deeplab-pytorch's",
    ),
    "gdn": Published("GDN", (_GDN,), _alone, None, "GDN (BMVC 2016), section 3.2"),
    "gdn_crf": Published("DL-LargeFOV-CRF + GDN", (_GDN,), _alone, "deeplab_v1_script", _GDN_CRF),
    "gdn_fc": Published(
        "FCN-32s + GDN + FC", (_GDN_FCN, _GDN_FC), _mean, None, "GDN (BMVC 2016), section 4.3; the rule is not stated: the mean"
    ),
    "gdn_ens_crf": Published("DL-LargeFOV-CRF + GDN_ENS", (_GDN, ANY), _mean, "deeplab_v1_script", _GDN_CRF),
    "deconvnet": Published("DeconvNet", (_DECONVNET,), _proposals, None, "DeconvNet (ICCV 2015), section 5.1"),
    "deconvnet_crf": Published(
        "DeconvNet+CRF", (_DECONVNET,), _proposals, "deconvnet", f"DeconvNet (ICCV 2015), section 5.1; {_OWN_CRF}"
    ),
    "edeconvnet": Published(
        "EDeconvNet", (_DECONVNET, _FCN8S), _proposals_and_whole, None, "DeconvNet (ICCV 2015), section 5.2"
    ),
    "edeconvnet_crf": Published(
        "EDeconvNet+CRF", (_DECONVNET, _FCN8S), _proposals_and_whole, "deconvnet",
        "DeconvNet (ICCV 2015), section 5.2; its release for the CRF",
    ),
    "edeconvnet_release_crf": Published(
        "EDeconvNet+CRF, as released", (_DECONVNET, _FCN8S), _released_edeconvnet, "deconvnet",
        "DeconvNet (ICCV 2015), its release: generate_EDeconvNet_CRF_results.m",
    ),
}  # fmt: skip
"""Every row of the papers that is more than a network on the image as it is, or that sees the image in a way of its own."""


def published(name: str, models: Sequence[str], crf: str | None = None) -> Node:
    """The system `name` of `models`: their places, as `save_system` wants them, in the order of its `networks`.

    crf  another preset than the published one, by its name or the place of its file

    Raises `InputError` for an unknown name, another number of models, and a preset for a system that has no CRF.
    """
    if name not in PUBLISHED:
        raise unknown_name("published system", name, PUBLISHED)
    system = PUBLISHED[name]
    wanted = [network for network in system.networks if network != ANY]
    if len(models) < len(wanted) or (len(models) > len(wanted) and ANY not in system.networks):
        raise InputError(
            f"{name} is made of {', '.join(system.networks)}, one model of each, got {len(models)}: "
            f"name {'at least ' if ANY in system.networks else ''}{len(wanted)}, in this order"
        )
    part = system.part(*models)
    if system.crf is None:
        if crf is not None:
            raise InputError(f"{name} has no CRF: leave it out, or take one of {', '.join(_with_crf())}")
        return Node.model_validate(part)
    return Node.model_validate({"refined": {"of": part, "crf": crf or system.crf}})


def _with_crf() -> list[str]:
    return [name for name, system in PUBLISHED.items() if system.crf is not None]
