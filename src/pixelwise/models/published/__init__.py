"""Every network by name; each paper's are built in a file of their own, where each number stands with its source."""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pixelwise.errors import InputError, nearest, unknown_name
from pixelwise.models.network import Network
from pixelwise.models.published import deconvnet, deeplab, fcn, gdn

_NETWORKS: Mapping[str, Callable[..., Network]] = {
    **fcn.NETWORKS,
    **deconvnet.NETWORKS,
    **deeplab.NETWORKS,
    **gdn.NETWORKS,
}


def create_model(name: str, classes: int, **options: Any) -> Network:
    """Build a network by name with `classes` outputs; weights are random, as the paper of the network begins.

    Raises `InputError` for an unknown name (with the nearest one), an option the network does not have, or no classes.
    """
    if name not in _NETWORKS:
        raise unknown_name("network", name, _NETWORKS)
    if classes < 1:
        raise InputError(f"a network needs at least 1 class, got {classes}")
    build = _NETWORKS[name]
    known = [one.name for one in inspect.signature(build).parameters.values() if one.kind is one.KEYWORD_ONLY]
    for option in options:
        if option not in known:
            raise InputError(f"network '{name}' has no such option: '{option}'; {nearest(option, known)}")
    try:
        return build(classes, **options)
    except (TypeError, ValueError) as error:
        if not options or isinstance(error, InputError):
            raise
        raise InputError(f"network '{name}' cannot be built with the options {options} ({error})") from error


def list_models(pattern: str = "*") -> list[str]:
    """The names that `create_model` knows, in order; `pattern` as in a shell: `fcn*`."""
    return [name for name in _NETWORKS if fnmatch.fnmatch(name, pattern)]
