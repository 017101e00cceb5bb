"""Which arithmetic a device is quick at: bfloat16 is twice as fast as float32 where it is built in, else far slower."""

from __future__ import annotations

import torch

BUILT_IN = ("avx512_bf16", "amx_bf16")
"""What a processor of a PC must have, in `torch.cpu`'s words. Others have not been tried; without it a convolution was found to
take fifty times as long in bfloat16 as in float32."""


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 by itself, and does not imitate it: GPUs since Ampere, some processors.

    Before torch 2.12 processors cannot be asked by documented means, and are taken to have none.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in BUILT_IN)
