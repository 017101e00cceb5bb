"""FCN: classes scored on the coarsest map, refined by scores of finer maps, enlarged by transposed convolutions.

Source: FCN (Shelhamer et al., PAMI 2017), section 4; layers and crops as in the released `voc-fcn{32,16,8}s/net.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from pixelwise.errors import unknown_name
from pixelwise.geometry import IMAGE_GRID, Grid, Size
from pixelwise.labels import MAIN
from pixelwise.models.layers import BilinearUpsample, common_grid, crop_both, crop_to, grid_through
from pixelwise.models.network import Features, Outputs

FUSIONS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"sum": torch.add, "max": torch.maximum}
"""How scores that were enlarged and those of a finer map become one, by name."""


class SkipDecoder(nn.Module):
    """Scores of the coarsest map, enlarged step by step and joined with the scores of finer maps that are skipped to.

    head      what stands between the coarsest map and its score (fc6 and fc7 as convolutions, or a small context block)
    channels  of the coarsest map behind `head`, then of the trunk's maps that are skipped to, coarse to fine
    grids     of the trunk's maps, coarse to fine: the one that `head` reads, then those that are skipped to
    border    cells repeated around a map before it is enlarged: 0 for trunks with FCN's padding of 100
    fusion    a name of `FUSIONS`; `InputError` for any other
    factors   fixed numbers that the skipped-to maps are multiplied by before they are scored; none: 1 for each
    learned   whether the steps between maps learn their kernels; the last one, to the image, never does
    null_background  whether the first class, the background, has no classifier: its score is 0 everywhere
    others    further heads and their numbers of classes: each has scores and enlarging layers of its own behind `head`

    Source of `others`: FCN (PAMI 2017), section 5, SIFT Flow, and its released `siftflow-fcn{32,16,8}s/net.py`.
    """

    def __init__(
        self,
        classes: int,
        head: nn.Sequential,
        channels: Sequence[int],
        grids: Sequence[Grid],
        *,
        border: int = 0,
        fusion: str = "sum",
        factors: Sequence[float] = (),
        learned: bool = False,
        null_background: bool = False,
        others: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        if fusion not in FUSIONS:
            raise unknown_name("fusion", fusion, FUSIONS)
        self.heads = {MAIN: classes, **(others or {})}
        self.head = head
        score = _NullBackground if null_background else nn.Conv2d
        self.score = _zeroed(score(channels[0], classes, 1))
        self.skip_scores = nn.ModuleList(_zeroed(score(count, classes, 1)) for count in channels[1:])
        self.enlarge = nn.ModuleList()
        self.fusion = fusion
        self.factors = tuple(factors) or (1.0,) * len(self.skip_scores)
        self.learned = learned
        enlarged_grids = []
        grid = grid_through(head, grids[0])
        self.skip_grids = tuple(grids[1:])
        for skip_grid in self.skip_grids:
            upsample = BilinearUpsample(classes, grid, skip_grid, border=border, learned=learned)
            self.enlarge.append(upsample)
            enlarged_grids.append(upsample.grid)
            grid = common_grid(upsample.grid, skip_grid)
        self.enlarged_grids = tuple(enlarged_grids)
        self.grid = grid
        self.to_image = BilinearUpsample(classes, grid, IMAGE_GRID, border=border)
        behind = [grid_through(head, grids[0]), *grids[1:]]
        self.others = nn.ModuleDict(
            {
                name: SkipDecoder(
                    count,
                    nn.Sequential(),
                    channels,
                    behind,
                    border=border,
                    fusion=fusion,
                    factors=factors,
                    learned=learned,
                )
                for name, count in (others or {}).items()
            }
        )

    @property
    def last_layers(self) -> tuple[nn.Module, ...]:
        """The 1x1 convolutions that score the maps, and the enlarging layers if they learn: all that is a class's own."""
        own = (self.score, *self.skip_scores, *(self.enlarge if self.learned else ()))
        return (*own, *(layer for other in self._others.values() for layer in other.last_layers))

    def forward(self, features: Features) -> Outputs:
        """Scores of every head at the stride of the finest map used."""
        coarsest, *finer = reversed(features.maps)
        seen = self.head(coarsest)
        scores = {MAIN: self._fused(seen, finer)}
        scores |= {name: other._fused(seen, finer) for name, other in self._others.items()}
        return Outputs(scores, dict.fromkeys(scores, self.grid))

    def upsample(self, outputs: Outputs, size: Size) -> dict[str, Tensor]:
        """The scores of every head at the image's size `(H, W)`."""
        full = {MAIN: self._enlarged(outputs.scores[MAIN], size)}
        return full | {name: other._enlarged(outputs.scores[name], size) for name, other in self._others.items()}

    @property
    def _others(self) -> Mapping[str, SkipDecoder]:
        return cast(Mapping[str, SkipDecoder], self.others)  # which nn.ModuleDict's typing cannot say

    def _fused(self, seen: Tensor, finer: Sequence[Tensor]) -> Tensor:
        """The scores of what `head` made of the coarsest map, joined with those of the finer maps, coarse to fine."""
        scores = self.score(seen)
        fuse, steps = FUSIONS[self.fusion], len(self.skip_scores)
        for step, skipped in enumerate(finer[:steps]):  # a trunk may have finer maps still
            factor = self.factors[step]
            skipped_scores = self.skip_scores[step](skipped if factor == 1 else factor * skipped)
            enlarged = self.enlarge[step](scores)
            scores = fuse(*crop_both(enlarged, self.enlarged_grids[step], skipped_scores, self.skip_grids[step]))
        return scores

    def _enlarged(self, scores: Tensor, size: Size) -> Tensor:
        return crop_to(self.to_image(scores), self.to_image.grid, IMAGE_GRID, size)


class _NullBackground(nn.Conv2d):
    """A score layer whose first score is 0. Its weights are there, as in every score layer, and stay what they are.

    Source: FCN (PAMI 2017), section 6.
    """

    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        return torch.cat((torch.zeros_like(scores[:, :1]), scores[:, 1:]), dim=1)


def _zeroed(score: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(score.weight)
    nn.init.zeros_(score.bias)  # type: ignore[arg-type]  # there is a bias: the default
    return score
