"""What a process of several works out of one step and of one evaluation; `test_processes` compares it with one alone.

Run by torchrun, and called without it. Usage: one_of_several.py FILE; the first process writes the file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tests.training.trainings import SHAPES, still_network

from pixelwise.cli.processes import together
from pixelwise.data.augment import Augmentation
from pixelwise.data.batches import Batches
from pixelwise.evaluation.evaluate import evaluate
from pixelwise.inference.predictors import WholeImage
from pixelwise.training.loop import learn
from pixelwise.training.losses import Loss
from pixelwise.training.objectives import PixelObjective, Trainee
from pixelwise.training.run import create_accelerator

PARTLY = SHAPES.with_classes(("disc", "square", "triangle"))  # the background is ignored: more here than there
OBJECTIVES = {"plain": PixelObjective(), "weighted": PixelObjective(Loss((0.2, 1.0, 3.0)))}
BATCH_SIZE = 6


def worked_out() -> dict[str, torch.Tensor]:
    """Gradients, losses and weights of two batches joined to a step, and the counts of an evaluation of seven images."""
    accelerator = create_accelerator("no")
    part, parts = accelerator.process_index, accelerator.num_processes
    results = {"processes": torch.tensor(parts)}
    for name, objective in OBJECTIVES.items():
        network = still_network(3)
        trainee = accelerator.prepare(Trainee(network, objective))
        batches = Batches(PARTLY, BATCH_SIZE, Augmentation(crop=48), (0.0,) * 3, seed=4, part=part, parts=parts)
        group = [batches[number].to(accelerator.device) for number in (0, 1)]
        means, weight = learn(accelerator, trainee, objective, group)
        results[f"{name}: weight"], results[f"{name}: loss"] = torch.tensor(weight), torch.tensor(means["pixels"])
        for parameter, tensor in network.named_parameters():
            if tensor.grad is not None:
                results[f"{name}: {parameter}"] = tensor.grad
    few = PARTLY.subset(PARTLY.names[:7])
    counts = evaluate(WholeImage(network, accelerator.device), few, part=part, parts=parts).counts
    results["counts"] = accelerator.reduce(torch.from_numpy(counts), "sum")
    if accelerator.is_main_process and len(sys.argv) == 2:
        torch.save(results, Path(sys.argv[1]))
    return results


if __name__ == "__main__":
    with together():
        worked_out()
