"""Models to judge: they see the truth and err in a known way, on a few generated images; no network is needed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.shapes import LABEL_SPEC, Shapes
from pixelwise.evaluation.evaluate import evaluate
from pixelwise.inference.contracts import Predictor
from pixelwise.labels import MAIN
from pixelwise.report.judged import Judged

DATA = Shapes(count=12, size=(48, 64))


def shifted(right: int, data: Shapes = DATA) -> Predictor:
    """A model that sees everything so many pixels too far to the right, and is 87 % sure of it."""
    samples = [data[index] for index in range(len(data))]
    truths = {sample.image.tobytes(): sample.labels[MAIN] for sample in samples}

    def predict(image: NDArray) -> NDArray[np.float32]:
        seen = np.roll(truths[image.tobytes()], right, axis=1)
        return (3.5 * (seen == np.arange(len(LABEL_SPEC))[:, None, None])).astype(np.float32)

    return predict


MODELS: Mapping[str, Predictor] = {"near": shifted(1), "far <off>": shifted(5)}


def judge(name: str, data: Shapes = DATA, *, thorough: bool = True, predictor: Predictor | None = None) -> Judged:
    """One of the models, judged."""
    facts = {"model": name, "data": "shapes", "split": "all"}
    return Judged.of(name, evaluate(predictor or MODELS[name], data, thorough=thorough, facts=facts))
