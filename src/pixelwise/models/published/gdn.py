"""The networks of GDN (Nekrasov, Ju & Choi, BMVC 2016)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pixelwise.models.network import Network

NETWORKS: Mapping[str, Callable[..., Network]] = {}
