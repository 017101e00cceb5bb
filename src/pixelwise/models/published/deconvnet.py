"""The network of DeconvNet (Noh, Hong & Han, ICCV 2015)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pixelwise.models.network import Network

NETWORKS: Mapping[str, Callable[..., Network]] = {}
