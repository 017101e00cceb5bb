"""The model card: what a model is, how it was made and how far to trust it, for people and for hubs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from pixelwise.labels import LabelSpec
from pixelwise.weights.checkpoint import NetworkConfig

HOME = "https://pypi.org/project/pixelwise/"


def model_card(config: NetworkConfig, spec: LabelSpec, record: Mapping[str, Any]) -> str:
    """The card of a model that was trained here, as Markdown with the hub's YAML head; `record` is that of the training."""
    score, selection = record["selection_score"], record["selection_images"]
    chosen = (
        f"mean IoU {score:.4f} on {selection} selection images (it was chosen by them: not a test result)"
        if selection and score is not None
        else "no images were held out: measure it with `pixelwise evaluate`"
    )
    facts = [
        ("Classes", ", ".join(spec.names)),
        ("Started from", record["started_from"]),
        (
            "Trained on",
            f"{record['training_images']:,} images (SHA-256 of the sorted names: `{record['training_ids_sha256']}`)",
        ),
        ("Score", chosen),
        ("Terms of use", record["recipe"]["terms"] or "not stated"),
        (
            "Took",
            f"{record['step']} steps, {record['minutes']} minutes on {record['machine']}; torch {record['torch']}",
        ),
    ]
    recipe = yaml.safe_dump(dict(record["recipe"]), sort_keys=False)
    origin = f"Semantic segmentation, trained with [pixelwise]({HOME}) {record['pixelwise']}."
    return f"{_card(config, spec, origin, facts)}\n## Recipe\n\n```yaml\n{recipe}```\n"


def imported_card(config: NetworkConfig, spec: LabelSpec, record: Mapping[str, Any]) -> str:
    """The same for weights that were released elsewhere; `record` says of which files, what was taken, what to know."""
    facts = [
        *(("From", f"`{name}` (SHA-256 `{digest}`)") for name, digest in record["imported_from"].items()),
        ("What was taken", record["started_from"]),
        ("Classes", ", ".join(spec.names)),
        ("Terms of use", "those of whoever published the file"),
        *(("Note", note) for note in record["notes"]),
    ]
    return _card(config, spec, f"Weights of others, brought into [pixelwise]({HOME}) {record['pixelwise']}.", facts)


def _card(config: NetworkConfig, spec: LabelSpec, origin: str, facts: Sequence[tuple[str, str]]) -> str:
    """What every card has: the head, a title, a sentence on where the model comes from, its facts, how to use it."""
    head = {"library_name": "pixelwise", "pipeline_tag": "image-segmentation", "tags": [config.name]}
    listed = "\n".join(f"* **{name}:** {fact}" for name, fact in facts)
    return f"""---
{yaml.safe_dump(head, sort_keys=False)}---

# {config.name}, {len(spec)} classes

{origin}

{listed}

Use it: `pixelwise predict THIS_FOLDER photo.jpg --out predictions`
"""
