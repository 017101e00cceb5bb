"""The networks of DeepLab (Chen et al.): v1 (ICLR 2015), v2 (PAMI 2018), and their decoders on a laptop's trunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pixelwise.models.network import Network

NETWORKS: Mapping[str, Callable[..., Network]] = {}
