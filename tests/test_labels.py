"""The words for classes, and `classes.txt`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import Refuses

from pixelwise.errors import InputError
from pixelwise.labels import IGNORE, LabelSpec, pack_colour, read_classes, voc_palette, write_classes

words = st.text("abcXYZ019äß-_.()", min_size=1, max_size=8)
names = st.lists(words, min_size=1, max_size=3).map(" ".join)
specs = st.lists(names, min_size=1, max_size=12, unique=True).map(lambda chosen: LabelSpec(tuple(chosen)))


def classes(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "classes.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_vocs_first_colours() -> None:
    assert [tuple(colour) for colour in voc_palette(5)] == [
        (0, 0, 0),
        (128, 0, 0),
        (0, 128, 0),
        (128, 128, 0),
        (0, 0, 128),
    ]
    assert tuple(voc_palette()[20]) == (0, 64, 128)  # tvmonitor
    assert tuple(voc_palette()[255]) == (224, 224, 192)  # the pale border


def test_vocs_colours_all_differ() -> None:
    assert len({tuple(colour) for colour in voc_palette()}) == 256


def test_without_values_the_index_is_the_value_and_255_is_ignored() -> None:
    spec = LabelSpec(("sky", "road"))
    assert spec.raw == {0: 0, 1: 1, 255: IGNORE}
    assert spec.colours == ((0, 0, 0), (128, 0, 0))
    assert len(spec) == 2


def test_a_subset_has_the_order_asked_for_and_ignores_the_rest() -> None:
    spec = LabelSpec(("sky", "road", "car"), raw={0: 0, 7: 1, 8: 2, 9: 2}).subset(["car", "sky"])
    assert spec.names == ("car", "sky")
    assert spec.raw == {0: 1, 7: IGNORE, 8: 0, 9: 0}
    assert spec.colours == ((0, 128, 0), (0, 0, 0))


def test_a_subset_of_unknown_classes_is_refused(refuses: Refuses) -> None:
    with refuses("class 'rod'", "did you mean 'road'"):
        LabelSpec(("sky", "road")).subset(["rod"])


@pytest.mark.parametrize(
    ("names", "colours", "part"),
    [
        ((), (), "1 to 254 classes"),
        (tuple(f"c{i}" for i in range(255)), (), "1 to 254 classes, got 255"),
        (("cat", "dog", "cat"), (), "twice: cat"),
        (("cat", "dog"), ((0, 0, 0),), "one colour a class (2), got 1"),
        (("cat", ""), (), "''"),
        (("two  blanks",), (), "rename the class"),
        (("wide ignore",), (), "'ignore'"),
    ],
)
def test_names_and_colours_that_cannot_be(
    names: tuple[str, ...], colours: tuple[tuple[int, int, int], ...], part: str, refuses: Refuses
) -> None:
    with refuses(part):
        LabelSpec(names, colours)


@given(specs)
def test_json_brings_names_and_colours_back(spec: LabelSpec) -> None:
    assert LabelSpec.from_json(spec.to_json()) == spec


@given(specs)
def test_written_classes_are_read_back(tmp_path_factory: pytest.TempPathFactory, spec: LabelSpec) -> None:
    path = tmp_path_factory.mktemp("spec") / "classes.txt"
    write_classes(path, spec)
    assert read_classes(path) == spec


def test_classes_called_like_colours_are_read_back(tmp_path: Path) -> None:
    spec = LabelSpec(("#000000", "#ff8000"), ((0, 0, 0), (255, 128, 0)))
    write_classes(tmp_path / "classes.txt", spec)
    assert read_classes(tmp_path / "classes.txt") == spec


def test_every_form_of_a_line(tmp_path: Path) -> None:
    spec = read_classes(
        classes(
            tmp_path, "\ufeff# a comment\n\n0 background\n7 traffic light #010203\n8 traffic light\n9 void ignore\n"
        )
    )
    assert spec.names == ("background", "traffic light")
    assert spec.colours == ((0, 0, 0), (1, 2, 3))
    assert spec.raw == {0: 0, 7: 1, 8: 1, 9: IGNORE, 255: IGNORE}
    assert spec.coding == "index"


def test_the_word_ignore_alone_is_no_class(tmp_path: Path) -> None:
    spec = read_classes(classes(tmp_path, "0 cat\n3 ignore\n"))
    assert spec.names == ("cat",)
    assert spec.raw[3] == IGNORE


def test_255_may_be_a_class(tmp_path: Path) -> None:
    assert read_classes(classes(tmp_path, "0 background\n255 object\n")).raw == {0: 0, 255: 1}


def test_colours_as_values(tmp_path: Path) -> None:
    spec = read_classes(classes(tmp_path, "#000000 background\n#80ff00 tree\n#ffffff void ignore\n"))
    assert spec.coding == "colour"
    assert spec.raw == {0: 0, 0x80FF00: 1, 0xFFFFFF: IGNORE}
    assert spec.colours[1] == (0x80, 0xFF, 0)
    assert pack_colour(0x80, 0xFF, 0) == 0x80FF00


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("0 cat\n0 dog\n", ["line 2", "stands twice", "one line"]),
        ("0 cat\n#ffffff dog\n", ["line 2", "numbers or colours, not both"]),
        ("cat\ndog\n", ["line 1", "got 'cat'", "'0 cat'"]),
        ("70000 cat\n", ["line 1", "0..65535"]),
        ("0\n", ["line 1", "value name [ignore]"]),
        ("# nothing\n", ["no classes in it", "one 'value name' a line"]),
        ("255 void ignore\n", ["no classes in it"]),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_line(
    tmp_path: Path, text: str, parts: list[str], refuses: Refuses
) -> None:
    with refuses("classes.txt", *parts):
        read_classes(classes(tmp_path, text))


def test_a_missing_or_foreign_file_is_refused(tmp_path: Path, refuses: Refuses) -> None:
    with refuses("none.txt", "not a readable text file"):
        read_classes(tmp_path / "none.txt")
    (tmp_path / "picture.txt").write_bytes(b"\x89PNG\xff\xfe")
    with refuses("picture.txt", "not a readable text file"):
        read_classes(tmp_path / "picture.txt")


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "classes.txt"
    path.write_text(text, encoding="utf-8", errors="ignore")
    with suppress(InputError):
        assert len(read_classes(path)) >= 1
