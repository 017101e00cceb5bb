"""FCN: classes scored on the coarsest map, refined by scores of finer maps, enlarged by transposed convolutions.

Source: FCN (Shelhamer et al., PAMI 2017), section 4; layers and crops as in the released `voc-fcn{32,16,8}s/net.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from pixelwise.geometry import IMAGE_GRID, Grid, Size
from pixelwise.labels import MAIN
from pixelwise.models.layers import BilinearUpsample, common_grid, crop_both, crop_to, grid_through
from pixelwise.models.network import Features, Outputs


class SkipDecoder(nn.Module):
    """Scores of the coarsest map, enlarged step by step and summed with the scores of `skips` finer maps.

    head      what stands between the coarsest map and its score (fc6 and fc7 as convolutions, or a small context block)
    channels  of the coarsest map behind `head`, then of the trunk's maps that are skipped to, coarse to fine
    grids     of the trunk's maps, coarse to fine: the one that `head` reads, then those that are skipped to
    border    cells repeated around a map before it is enlarged: 0 for trunks with FCN's padding of 100
    """

    def __init__(
        self, classes: int, head: nn.Sequential, channels: Sequence[int], grids: Sequence[Grid], *, border: int = 0
    ) -> None:
        super().__init__()
        self.heads = {MAIN: classes}
        self.head = head
        self.score = _zero_score(channels[0], classes)
        self.skip_scores = nn.ModuleList(_zero_score(count, classes) for count in channels[1:])
        self.enlarge = nn.ModuleList()
        enlarged_grids = []
        grid = grid_through(head, grids[0])
        self.skip_grids = tuple(grids[1:])
        for skip_grid in self.skip_grids:
            upsample = BilinearUpsample(classes, grid, skip_grid, border=border)
            self.enlarge.append(upsample)
            enlarged_grids.append(upsample.grid)
            grid = common_grid(upsample.grid, skip_grid)
        self.enlarged_grids = tuple(enlarged_grids)
        self.grid = grid
        self.to_image = BilinearUpsample(classes, grid, IMAGE_GRID, border=border)

    @property
    def last_layers(self) -> tuple[nn.Module, ...]:
        """The 1x1 convolutions that score the maps."""
        return (self.score, *self.skip_scores)

    def forward(self, features: Features) -> Outputs:
        """Scores at the stride of the finest map used."""
        coarsest, *finer = reversed(features.maps)
        scores = self.score(self.head(coarsest))
        steps = zip(self.skip_scores, self.enlarge, self.enlarged_grids, self.skip_grids, finer)  # noqa: B905
        for skip_score, enlarge, enlarged_grid, skip_grid, skipped in steps:  # a trunk may have finer maps still
            up, side = crop_both(enlarge(scores), enlarged_grid, skip_score(skipped), skip_grid)
            scores = up + side
        return Outputs({MAIN: scores}, {MAIN: self.grid})

    def upsample(self, outputs: Outputs, size: Size) -> dict[str, Tensor]:
        """The scores at the image's size `(H, W)`."""
        enlarged = self.to_image(outputs.scores[MAIN])
        return {MAIN: crop_to(enlarged, self.to_image.grid, IMAGE_GRID, size)}


def _zero_score(channels: int, classes: int) -> nn.Conv2d:
    score = nn.Conv2d(channels, classes, 1)
    nn.init.zeros_(score.weight)
    nn.init.zeros_(score.bias)  # type: ignore[arg-type]  # there is a bias: the default
    return score
