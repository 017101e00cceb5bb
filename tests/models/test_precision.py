"""What is said of a device's arithmetic against its clock, and who asks."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
import torch
from torch import nn

from pixelwise.inference.predictors import WholeImage
from pixelwise.models.precision import has_bfloat16
from pixelwise.models.published import create_model
from pixelwise.training.run import create_accelerator

CPU = torch.device("cpu")


def answering(monkeypatch: pytest.MonkeyPatch, capabilities: Mapping[str, object]) -> bool:
    """What is said of a processor that calls these its own."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    return has_bfloat16(CPU)


def seconds(kind: torch.dtype) -> float:
    """The least of five that a convolution takes."""
    layer, images = nn.Conv2d(64, 64, 3, padding=1).to(kind), torch.randn(2, 64, 96, 96, dtype=kind)
    taken = []
    with torch.inference_mode():
        for _ in range(5):
            begun = time.perf_counter()
            layer(images)
            taken.append(time.perf_counter() - begun)
    return min(taken)


def test_the_clock_agrees() -> None:
    """Built in, it is not much slower than float32 on the busiest of machines, and imitated, not quicker."""
    ratio = seconds(torch.bfloat16) / seconds(torch.float32)
    print(f"a convolution in bfloat16 takes {ratio:.2f} times what it takes in float32")
    assert ratio < 1.5 if has_bfloat16(CPU) else ratio > 0.75


def test_processors_with_the_instructions_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    laptop = {"architecture": "x86_64", "avx2": True, "avx512_f": False, "avx512_bf16": False, "amx_bf16": False}
    assert not answering(monkeypatch, laptop)
    assert not answering(monkeypatch, laptop | {"avx512_f": True})  # it is imitated there
    assert answering(monkeypatch, laptop | {"avx512_f": True, "avx512_bf16": True})
    assert answering(monkeypatch, laptop | {"amx_bf16": True})
    assert not answering(monkeypatch, {"architecture": "aarch64", "bf16": True})  # not tried


def test_what_cannot_be_asked_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not has_bfloat16(CPU)
    assert not has_bfloat16(torch.device("mps"))


@pytest.mark.parametrize("built_in", [True, False])
def test_auto_is_what_is_quicker(built_in: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": built_in}, raising=False)
    network = create_model("fcn32s_vgg16", 2, width=1 / 16)
    predictor = WholeImage(network, CPU, precision="auto")
    assert predictor.precision == predictor.faster("auto").precision == ("bfloat16" if built_in else "float32")
    assert predictor.faster().precision == "float32"
    if not torch.accelerator.is_available():
        assert create_accelerator("auto").mixed_precision == ("bf16" if built_in else "no")
    assert create_accelerator("bf16").mixed_precision == "bf16"
