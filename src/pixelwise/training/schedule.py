"""How the learning rate changes with the steps: one factor for all groups, a function of the step and of the scores so far."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["constant", "step", "poly", "cosine", "plateau"]


@dataclass
class RateFactor:
    """What every group's rate is multiplied by at a step (from 0); the rise over `warmup` steps comes on top.

    constant  1
    step      `drop` at each of `milestones`, which are fractions of the run
    poly      (1 - step / steps) ** power. Source: DeepLab v2 (Chen et al., PAMI 2018), section 4.1.1
    cosine    half a cosine from 1 to 0
    plateau   `drop` whenever `patience` validations in a row brought nothing better

    An object rather than a function, so that torch saves its fields with the schedule.
    """

    kind: Kind
    steps: int
    warmup: int = 0
    power: float = 0.9
    milestones: tuple[float, ...] = (0.6, 0.85)
    drop: float = 0.1
    patience: int = 3
    best: float | None = field(default=None, init=False)
    waited: int = field(default=0, init=False)
    drops: int = field(default=0, init=False)

    def __call__(self, step: int) -> float:
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        return rise * self._fall(step)

    def _fall(self, step: int) -> float:
        part = min(1.0, step / self.steps)
        match self.kind:
            case "constant":
                return 1.0
            case "step":
                return self.drop ** sum(part >= milestone for milestone in self.milestones)
            case "poly":
                return (1 - part) ** self.power
            case "cosine":
                return 0.5 * (1 + math.cos(math.pi * part))
            case "plateau":
                return self.drop**self.drops

    def observe(self, score: float) -> None:
        """Tell the factor a validation score; larger is better."""
        if self.best is None or score > self.best:
            self.best, self.waited = score, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.waited, self.drops = 0, self.drops + 1
