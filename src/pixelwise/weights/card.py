"""The model card: what a model is, how it was made and how far to trust it, for people and for hubs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from pixelwise.labels import LabelSpec
from pixelwise.weights.checkpoint import NetworkConfig


def model_card(config: NetworkConfig, spec: LabelSpec, record: Mapping[str, Any]) -> str:
    """The card as Markdown with the hub's YAML head."""
    head = yaml.safe_dump(
        {"library_name": "pixelwise", "pipeline_tag": "image-segmentation", "tags": [config.name]}, sort_keys=False
    )
    score, selection = record["selection_score"], record["selection_images"]
    chosen = (
        f"mean IoU {score:.4f} on {selection} selection images (it was chosen by them: not a test result)"
        if selection and score is not None
        else "no images were held out: measure it with `pixelwise evaluate`"
    )
    recipe = yaml.safe_dump(dict(record["recipe"]), sort_keys=False)
    return f"""---
{head}---

# {config.name}, {len(spec)} classes

Semantic segmentation, trained with [pixelwise](https://pypi.org/project/pixelwise/) {record["pixelwise"]}.

* **Classes:** {", ".join(spec.names)}
* **Started from:** {record["started_from"]}
* **Trained on:** {record["training_images"]:,} images (SHA-256 of the sorted names: `{record["training_ids_sha256"]}`)
* **Score:** {chosen}
* **Terms of use:** {record["recipe"]["terms"] or "not stated"}
* **Took:** {record["step"]} steps, {record["minutes"]} minutes on {record["machine"]}; torch {record["torch"]}

Use it: `pixelwise predict THIS_FOLDER photo.jpg --out predictions`

## Recipe

```yaml
{recipe}```
"""
