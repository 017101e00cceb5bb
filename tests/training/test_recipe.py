"""Recipes: those that come with the library are read, mistakes are one line, and what is saved is what was read."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import Refuses

from pixelwise.models.published import list_models
from pixelwise.training.recipe import Recipe, list_recipes, read_recipe, read_word


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_there_are_recipes() -> None:
    assert {"laptop", "animals"} <= set(list_recipes())


@pytest.mark.parametrize("name", list_recipes())
def test_a_recipe_that_comes_with_the_library_is_read(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.network in list_models()
    assert recipe == read_recipe(list_recipes()[name])


def test_no_recipe_is_the_defaults() -> None:
    assert read_recipe(None) == Recipe()


def test_words_change_a_recipe(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.yaml", "steps: 10\nflip: 0.25\n")
    words = (
        "steps=20",
        "crop=null",
        "scale=[1, 2]",
        "classes=[cat, dog]",
        "learning_rate=1e-3",
        "options={width: 0.5}",
    )
    recipe = read_recipe(path, words)
    assert (recipe.steps, recipe.flip, recipe.crop, recipe.scale) == (20, 0.25, None, (1, 2))
    assert (recipe.classes, recipe.learning_rate, recipe.options) == (("cat", "dog"), 1e-3, {"width": 0.5})


def test_a_saved_recipe_is_read_back(tmp_path: Path) -> None:
    recipe = read_recipe("animals", ("classes=[a, 'no']", "options={context: 64}", "crop=null", "seed=3"))
    recipe.save(tmp_path / "run" / "recipe.yaml")
    assert read_recipe(tmp_path / "run" / "recipe.yaml") == recipe
    written = (tmp_path / "run" / "recipe.yaml").read_text()
    assert all(f"\n{key}:" in f"\n{written}" for key in Recipe.model_fields)


def test_an_augmentation_is_what_the_recipe_says() -> None:
    view = read_recipe(None, ("scale=[0.5, 2]", "crop=64", "flip=0.1", "brightness=0.3", "contrast=0.2")).augmentation()
    assert (view.scale, view.crop, view.flip, view.brightness, view.contrast) == ((0.5, 2), 64, 0.1, 0.3, 0.2)


def test_an_unknown_key_has_a_nearest_one(tmp_path: Path, refuses: Refuses) -> None:
    with refuses("unknown recipe key 'bach_size'", "did you mean 'batch_size'?"):
        read_recipe(None, ("bach_size=3",))
    with refuses("unknown recipe key 'step'", "did you mean 'steps'?"):
        read_recipe(write(tmp_path / "mine.yaml", "step: 10\n"))
    with refuses("unknown recipe key '7'"):
        read_recipe(write(tmp_path / "mine.yaml", "7: 10\n"))


@pytest.mark.parametrize(
    "word",
    [
        "steps=many", "steps=0", "steps=2.5", "steps=", "batch_size=-1", "learning_rate=0", "optimiser=adam",
        "init=coco", "scale=2", "scale=[1, 2, 3]", "scale=[2, 1]", "scale=[0, 1]", "crop=0", "flip=2", "hold_out=1",
        "precision=fp8", "classes=cat", "options=3",
    ],
)  # fmt: skip
def test_a_wrong_value_is_named(word: str, refuses: Refuses) -> None:
    with refuses(f"recipe key '{word.split('=')[0]}", "got"):
        read_recipe(None, (word,))


def test_a_wrong_value_is_said_with_its_file(tmp_path: Path, refuses: Refuses) -> None:
    path = write(tmp_path / "mine.yaml", "steps: many\n")
    with refuses(str(path), "recipe key 'steps'", "got 'many'"):
        read_recipe(path)
    assert read_recipe(path, ("steps=3",)).steps == 3


def test_the_word_no_is_a_precision(tmp_path: Path) -> None:
    # YAML reads it as false
    assert read_recipe(None, ("precision=no",)).precision == "no"
    assert read_recipe(write(tmp_path / "mine.yaml", "precision: no\n")).precision == "no"


def test_a_word_is_a_key_and_a_value_in_yaml(refuses: Refuses) -> None:
    assert read_word("rates=[6, 12]", example="a=1") == ("rates", [6, 12])
    assert read_word("a=b=c", example="a=1") == ("a", "b=c")
    assert read_word("a=", example="a=1") == ("a", None)
    for word in ("a", "=1", "a=2020-13-45"):
        with refuses(f"'{word}'", "key=value", "for example width=0.5"):
            read_word(word, example="width=0.5")


@pytest.mark.parametrize("word", ["steps", "", "--steps", "=3"])
def test_a_word_without_a_value_is_refused(word: str, refuses: Refuses) -> None:
    with refuses("expected key=value", f"got '{word}'"):
        read_recipe(None, (word,))


@pytest.mark.parametrize(
    "word", ["crop=[", "classes=[cat, 'dog]", "scale={", "seed=!!python/object:os.system {}", "seed=2026-02-31"]
)
def test_a_word_whose_value_is_no_yaml_is_refused(word: str, refuses: Refuses) -> None:
    with refuses(word.split("=")[0], "YAML"):
        read_recipe(None, (word,))


@pytest.mark.parametrize(
    "text", ["steps: [1\ncrop: 3\n", "a: b: c\n", "\tsteps: 1\n", "!!python/object:os.system {}\n"]
)
def test_a_file_that_is_no_yaml_is_named(tmp_path: Path, text: str, refuses: Refuses) -> None:
    path = write(tmp_path / "mine.yaml", text)
    with refuses(str(path), "not readable as YAML"):
        read_recipe(path)


@pytest.mark.parametrize("text", ["", "- steps\n", "steps\n"])
def test_a_file_of_anything_but_keys_is_named(tmp_path: Path, text: str, refuses: Refuses) -> None:
    path = write(tmp_path / "mine.yml", text)
    with refuses(str(path), "expected 'key: value' lines"):
        read_recipe(path)


def test_a_file_that_is_no_text_is_named(tmp_path: Path, refuses: Refuses) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with refuses(str(path), "readable"):
        read_recipe(path)


def test_recipes_that_are_not_there(tmp_path: Path, refuses: Refuses) -> None:
    with refuses("unknown recipe 'labtop'", "did you mean 'laptop'?"):
        read_recipe("labtop")
    with refuses(str(tmp_path / "mine.yaml"), "no such recipe file"):
        read_recipe(tmp_path / "mine.yaml")
