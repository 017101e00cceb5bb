"""The house keeps the rules of tests/architecture.py, and each rule finds what breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.architecture import (
    EXEMPT_HEAVY,
    EXEMPT_IMPORTS,
    EXEMPT_LENGTHS,
    HABIT_FILE_LINES,
    MAX_FILE_LINES,
    MAX_FUNCTION_LINES,
    RULES,
    SOURCE,
    TORCH_FREE_MODULES,
    Module,
    Rule,
    banned_imports,
    functions_of,
    grab_bags,
    heavy_imports,
    import_cycles,
    imports_against_the_floors,
    long_files,
    long_functions,
    read_tree,
    rooms_off_the_floors,
    undocumented_names,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps(rule):
    wrong = rule(read_tree(SOURCE))
    assert not wrong, "\n" + "\n".join(wrong)


def test_files_over_the_habit_are_named(capsys):
    """No failure: a list for whoever has time to split one."""
    long = [module for module in read_tree(SOURCE) if module.lines > HABIT_FILE_LINES]
    with capsys.disabled():
        for module in sorted(long, key=lambda module: -module.lines):
            print(f"\n  over {HABIT_FILE_LINES} lines: {module.name} ({module.lines})", end="")


def test_exemptions_carry_a_reason_and_are_needed():
    modules = read_tree(SOURCE)
    known = {module.name for module in modules} | {name for module in modules for name, _ in functions_of(module)}
    for name, reason in (EXEMPT_LENGTHS | EXEMPT_HEAVY).items():
        assert name in known, f"{name}: exempt, but not there any more"
        assert len(reason.split()) > 2, f"{name}: say why"
    assert known.issuperset(TORCH_FREE_MODULES)
    for arrow, reason in EXEMPT_IMPORTS.items():
        assert set(arrow.split(" -> ")) <= {module.room for module in modules}
        assert len(reason.split()) > 2, f"{arrow}: say why"


# What each rule must find: files (path -> text), and a part of the sentence. `OK` files show what it must let pass.
DOC = '"""A module."""\n'
LONG_BODY = "".join(f"    x = {i}\n" for i in range(MAX_FUNCTION_LINES - 1))
WRONG: list[tuple[Rule, dict[str, str], str]] = [
    (rooms_off_the_floors, {"attic/rafters.py": DOC}, "attic: no floor"),
    (
        imports_against_the_floors,
        {"data/a.py": "from pixelwise.models import vgg", "models/vgg.py": DOC},
        "data (floor 1)",
    ),
    (
        imports_against_the_floors,
        {"models/a.py": "import pixelwise.training", "training/__init__.py": DOC},
        "models (floor 1)",
    ),
    (
        imports_against_the_floors,
        {"labels.py": "def f():\n    from pixelwise.data.voc import read", "data/voc.py": DOC},
        "labels, line 2: labels (floor 0) imports data (floor 1)",
    ),
    (
        imports_against_the_floors,
        {"cli/a.py": "import pixelwise.serving.app", "serving/app.py": DOC},
        "imports serving",
    ),
    (imports_against_the_floors, {"data/a.py": "import pixelwise", "__init__.py": DOC}, "imports the front"),
    (
        import_cycles,
        {"labels.py": "import pixelwise.geometry", "geometry.py": "def f():\n    from pixelwise import labels"},
        "geometry -> labels -> geometry",
    ),
    (
        import_cycles,
        {
            "data/a.py": "from pixelwise.data.b import x",
            "data/b.py": "from pixelwise.data import c",
            "data/c.py": "import pixelwise.data.a",
            "data/__init__.py": DOC,
        },
        "data.a -> data.b -> data.c -> data.a",
    ),
    (grab_bags, {"data/utils.py": DOC}, "'utils' says nothing"),
    (grab_bags, {"models/_common/vgg.py": DOC}, "'_common' says nothing"),
    (long_files, {"labels.py": DOC + "\n" * MAX_FILE_LINES}, "labels: 401 lines"),
    (long_functions, {"labels.py": f"def f():\n{LONG_BODY}    return x\n"}, "labels::f: 61 lines"),
    (
        long_functions,
        {"labels.py": f"class A:\n    @property\n    def f(self):\n{LONG_BODY.replace('    ', '        ')}"},
        "61",
    ),
    (undocumented_names, {"labels.py": "x = 1\n"}, "labels: no docstring"),
    (undocumented_names, {"labels.py": DOC + "def f(): pass\n"}, "labels::f, line 2"),
    (undocumented_names, {"labels.py": DOC + "class A: pass\n"}, "labels::A, line 2"),
    (undocumented_names, {"labels.py": DOC + "class A:\n    'A.'\n    def f(self): pass\n"}, "labels::A.f, line 4"),
    (banned_imports, {"models/a.py": "def f():\n    import torchvision.ops\n"}, "models.a, line 2: torchvision"),
    (heavy_imports, {"labels.py": "import torch\n"}, "labels, line 1 imports torch"),
    (heavy_imports, {"cli/a.py": "from torch import nn\n"}, "cli.a, line 1"),
    (
        heavy_imports,
        {"evaluation/a.py": "try:\n    import torch.nn as nn\nexcept ImportError:\n    nn = None\n"},
        "line 2",
    ),
    (heavy_imports, {"inference/model.py": "import torch\n"}, "inference.model, line 1"),
    (
        heavy_imports,
        {"cli/a.py": "import pixelwise.inference.b\n", "inference/b.py": "import torch\n"},
        "cli.a, line 1 imports inference.b",
    ),
]
RIGHT = {
    "__init__.py": DOC + "def __getattr__(name):\n    import pixelwise.cli.a\n    import pixelwise.training.a\n",
    "labels.py": DOC + "import numpy\nfrom pixelwise.geometry import Grid\n",
    "geometry.py": DOC + f"def _f():\n{LONG_BODY}",
    "data/__init__.py": DOC,
    "data/a.py": DOC + "from pixelwise.data.b import x\nfrom pixelwise import labels\n",
    "data/b.py": DOC
    + "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\ndef _f():\n    import torch\n",
    "models/a.py": DOC
    + "import torch\nclass A:\n    'A.'\n    def __init__(self): pass\n    def forward(self): pass\n",
    "training/a.py": DOC + "import pixelwise.data.a\nfrom pixelwise.models import a\n",
    "cli/a.py": DOC + "class _P:\n    def f(self): pass\ndef _f():\n    import pixelwise.training.a\n",
}


def write_tree(folder: Path, files: dict[str, str]) -> list[Module]:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_tree(folder)


@pytest.mark.parametrize(
    ("rule", "files", "sentence"), WRONG, ids=[f"{rule.__name__}-{said}" for rule, _, said in WRONG]
)
def test_each_rule_can_fail(rule, files, sentence, tmp_path):
    wrong = rule(write_tree(tmp_path, files))
    assert len(wrong) == 1
    assert sentence in wrong[0]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_rule_fails_a_good_house(rule, tmp_path):
    assert rule(write_tree(tmp_path, RIGHT)) == []


def test_every_rule_has_a_failing_example():
    assert {rule for rule, _, _ in WRONG} == set(RULES)


def test_relative_imports_are_refused(tmp_path):
    (module,) = write_tree(tmp_path, {"data.py": "from . import labels"})
    with pytest.raises(AssertionError, match="relative import"):
        _ = module.imports
