"""A recipe: every choice of a training, as one record that is read from YAML, checked, and saved in the run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from pixelwise.data.augment import Augmentation
from pixelwise.errors import InputError, unknown_name
from pixelwise.files import write_text
from pixelwise.geometry import IMAGE_GRID, Grid
from pixelwise.training.schedule import Kind

PACKAGED = Path(__file__).parent.parent / "recipes"
CHECKOUT = Path(__file__).parents[3] / "recipes"


class Recipe(BaseModel):
    """Every choice of a training. Rates, sizes and steps are for one joined batch over all processes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: str = Field("fcn8s_lite0", description="a name of `pixelwise models`")
    options: dict[str, Any] = Field(default_factory=dict, description="the network's own options, such as width")
    init: Literal["imagenet", "none", "model"] = Field(
        "imagenet", description="what the weights start from: imagenet (the trunk), none, or the model of --init-from"
    )
    learn: Literal["all", "decoder", "added", "last"] = Field(
        "all",
        description="all, decoder (all but the trunk), added (to the network it starts from) or last (the scores)",
    )
    still_stages: int = Field(0, ge=0, description="stages of a VGG trunk, from the first on, that do not learn")
    classes: tuple[str, ...] | None = Field(None, description="classes to learn, in order; the rest is ignored")

    colours: tuple[str, ...] | None = Field(None, description="how the classes are drawn, #rrggbb one a class")

    steps: int = Field(2000, ge=1, description="updates of the weights")
    batch_size: int = Field(8, ge=1, description="images a batch, over all processes")
    accumulate: int = Field(1, ge=1, description="batches an update")
    optimiser: Literal["sgd", "caffe", "adamw"] = Field("sgd", description="sgd, the same in Caffe's form, or adamw")
    learning_rate: float = Field(0.02, gt=0, description="rate of the new layers, which the schedule multiplies")
    backbone_rate: float = Field(1.0, ge=0, description="the trunk's rate as a multiple of learning_rate")
    last_rate: float = Field(1.0, ge=0, description="the score layers' rate as a multiple of learning_rate")
    bias_rate: float = Field(1.0, ge=0, description="the biases' rate as a multiple of their layer's")
    plain_biases: bool = Field(False, description="biases but the score layers' learn and decay as weights do")
    momentum: float = Field(0.9, ge=0, lt=1, description="for adamw, its first beta")
    weight_decay: float = Field(1e-4, ge=0, description="decay of the weights; biases and normalisations have none")
    schedule: Kind = Field("poly", description="constant, step, poly, cosine or plateau")
    warmup: int = Field(50, ge=0, description="steps over which the rate rises")
    power: float = Field(0.9, ge=0, description="of poly")
    milestones: tuple[float, ...] = Field((0.6, 0.85), description="of step: where the rate drops, as parts of the run")
    drop: float = Field(0.1, gt=0, le=1, description="of step and plateau: what the rate drops to, as a multiple")
    patience: int = Field(3, ge=1, description="of plateau: validations without a better score before a drop")
    clip: float | None = Field(None, gt=0, description="largest norm of the gradient")
    average: float = Field(0.0, ge=0, lt=1, description="how much the running mean of the weights keeps; 0 has none")

    objective: Literal["pixels", "cells", "scales"] = Field(
        "pixels", description="where scores meet labels: pixels, the network's own cells, or cells at several scales"
    )
    loss_scales: tuple[float, ...] = Field(
        (0.5, 0.75, 1.0),  # Source: DeepLab v2 (PAMI 2018), section 4.1.2
        description="of scales: what the sides of the images are multiplied by",
    )
    link: Literal["softmax", "sigmoid"] = Field("softmax", description="one class of all, or each for itself")
    divide_by: Literal["places", "batch", "images"] = Field(
        "places", description="what a step's loss is divided by: its labelled places, each batch's own, or its images"
    )
    label_loss: float = Field(0.0, ge=0, description="what the loss of GDN's label head weighs; 0 has none")
    sampled: float = Field(1.0, gt=0, le=1, description="part of the network's cells whose pixels count, by chance")
    class_weights: Literal["none", "median_frequency", "effective_number"] = Field(
        "none", description="none, median_frequency or effective_number: what a pixel of a rare class weighs more"
    )
    hardest: float | None = Field(None, gt=0, le=1, description="part of the labelled pixels that counts, the hardest")
    smoothing: float = Field(0.0, ge=0, lt=1, description="part of the target that is spread over all classes")

    windows: Literal["none", "objects", "proposals"] = Field(
        "none", description="what to learn from: none (whole images), or squares around objects or around proposals"
    )
    window_side: int = Field(
        250,  # Source: DeconvNet (ICCV 2015), section 4.2
        ge=1,
        description="side in pixels to which the squares are brought",
    )
    edges: Literal["gradient", "hed"] = Field(
        "gradient", description="of proposals: edges from changes of colour, or from HED with the weights of --hed"
    )
    stretch: int | None = Field(None, ge=1, description="side to which both sides of an image are resized first")
    scale: tuple[float, float] = Field((0.6, 1.6), description="resize by a factor between these")
    crop: int | None = Field(320, ge=1, description="side of the training window in pixels; null takes whole images")
    overhang: Literal["around", "behind"] = Field(
        "around", description="where a window larger than the image hangs over: at chance, or right and below"
    )
    jitter: int = Field(0, ge=0, description="largest shift of the window in pixels, on top of where it lies")
    flip: float = Field(0.5, ge=0, le=1, description="probability of mirroring left and right")
    brightness: float = Field(0.2, ge=0, lt=1, description="largest relative change of brightness")
    contrast: float = Field(0.0, ge=0, lt=1, description="largest relative change of contrast")
    saturation: float = Field(0.0, ge=0, lt=1, description="largest relative change of saturation")

    split: str | None = Field(None, description="the split to learn from; null takes train, or all where there is none")
    final: bool = Field(False, description="learn from train and val together, and select by nothing")
    select: Literal["auto", "val", "train"] = Field(
        "auto", description="images to select by: the split val, a part held out of training, or whichever there is"
    )
    hold_out: float = Field(0.1, ge=0, lt=1, description="the part held out of training; 0 selects by nothing")
    validate_every: int = Field(500, ge=1, description="steps between two looks at the selection images")
    save_every: int = Field(200, ge=1, description="steps between two saved states")
    precision: Annotated[
        Literal["auto", "no", "bf16", "fp16"], BeforeValidator(lambda value: "no" if value is False else value)
    ] = Field(
        "auto",
        description="arithmetic of the forward pass: auto is bf16 where the machine has it, else no, which is 32 bits",
    )
    stored: Literal["float32", "float16", "int8"] = Field(
        "float32", description="float32, float16 or int8: number type of the finished model's file"
    )
    terms: str = Field("", description="under which the finished model may be used; a sentence that travels with it")
    seed: int = Field(0, description="of everything random; the same seed gives the same run")
    workers: int | None = Field(
        None, ge=0, description="processes that prepare batches; null has one where a core is free for it"
    )

    @field_validator("scale")
    @classmethod
    def _scale_rises(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not 0 < scale[0] <= scale[1]:
            raise ValueError("expected two factors, 0 < smallest <= largest")
        return scale

    @model_validator(mode="after")
    def _weighs_one_way(self) -> Recipe:
        if self.hardest is not None and self.class_weights != "none":
            raise ValueError("hardest and class_weights exclude each other: choose one")
        if self.link == "sigmoid" and self.smoothing:
            raise ValueError("smoothing spreads the one target of a softmax: leave it out with link: sigmoid")
        if self.label_loss and self.objective != "pixels":
            raise ValueError("label_loss goes with objective: pixels")
        return self

    @model_validator(mode="after")
    def _windows_hold_the_crop(self) -> Recipe:
        if self.windows != "none" and self.crop is not None and self.crop > self.window_side * self.scale[0]:
            raise ValueError(f"crop={self.crop} is cut out of windows of window_side={self.window_side}: choose less")
        if self.edges != "gradient" and self.windows != "proposals":
            raise ValueError(f"edges={self.edges} goes with windows: proposals")
        return self

    @field_validator("loss_scales")
    @classmethod
    def _scales_hold_the_image(cls, scales: tuple[float, ...]) -> tuple[float, ...]:
        if 1 not in scales or min(scales) <= 0:
            raise ValueError("expected factors above 0, 1 among them")
        return scales

    def augmentation(self, cells: Grid = IMAGE_GRID) -> Augmentation:
        """The part of the recipe that the data room understands; `cells` are the network's."""
        colours = (self.brightness, self.contrast, self.saturation)
        window = (self.scale, self.crop, self.jitter, self.flip)
        return Augmentation(*window, *colours, self.stretch, self.overhang, self.sampled, cells)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the recipe, every key spelled out, as YAML."""
        write_text(path, yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False))


def list_recipes() -> dict[str, Path]:
    """The recipes that come with the library: name -> file; our own first, then those of the papers, folder by folder."""
    folder = PACKAGED if PACKAGED.is_dir() else CHECKOUT
    files = sorted(folder.rglob("*.yaml"), key=lambda path: (len(path.parts), path))
    assert len({path.stem for path in files}) == len(files), "recipes are found by their names"
    return {path.stem: path for path in files}


def read_recipe(name: str | os.PathLike[str] | None, overrides: tuple[str, ...] = ()) -> Recipe:
    """A recipe by name or file (None: the defaults), changed by `key=value` words.

    Raises `InputError`, one line, for unknown names and keys ("did you mean") and for values of the wrong kind.
    """
    where, values, changed = "recipe", dict[str, Any](), set[str]()
    if name is not None:
        path = _find(name)
        where, values = str(path), _with_base(path)
    for word in overrides:
        key, value = read_word(word, example="steps=500")
        values[key] = value
        changed.add(key)
    for key in values:
        if key not in Recipe.model_fields:
            raise unknown_name("recipe key", str(key), Recipe.model_fields)
    try:
        return Recipe(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        place = "" if changed and (not key or str(first["loc"][0]) in changed) else f"{where}: "
        wanted = "expected a list, such as [a, b]" if first["type"] == "tuple_type" else first["msg"]
        wanted = wanted.removeprefix("Value error, ")
        raise InputError(f"{place}recipe key '{key}': {wanted}, got {first['input']!r}") from error


def read_word(word: str, example: str) -> tuple[str, Any]:
    """The key and the value, read as YAML, of a `key=value` word.

    Raises `InputError`, which offers `example`, for a word of another form and for a value that is no YAML.
    """
    key, equals, value = word.partition("=")
    if not (key and equals):
        raise InputError(f"expected key=value, got '{word}'; write for example {example}")
    return key, _yaml(value, where=f"'{word}'", remedy=f"; write key=value, for example {example}")


def _find(name: str | os.PathLike[str]) -> Path:
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise InputError(f"{path}: no such recipe file; `pixelwise recipes` lists those that come with the library")
        return path
    recipes = list_recipes()
    if str(name) not in recipes:
        raise unknown_name("recipe", str(name), recipes)
    return recipes[str(name)]


def _with_base(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The keys of a recipe file, on top of those of the recipe that its key `like` names."""
    if path in above:
        raise InputError(
            f"{path}: is like itself, by way of {', '.join(file.stem for file in above)}; take one like away"
        )
    values = _read_yaml(path)
    like = values.pop("like", None)
    return values if like is None else _with_base(_find(str(like)), (*above, path)) | values


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable text file ({error})") from error
    values = _yaml(text, where=str(path))
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected 'key: value' lines, got {type(values).__name__}")
    return values


def _yaml(text: str, where: str, remedy: str = "") -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # a date that is none is a ValueError
        raise InputError(f"{where}: not readable as YAML ({' '.join(str(error).split())}){remedy}") from error
