"""The shape of the house: floors, no cycles, no grab bags, short files and functions, documented names, light imports.

What is allowed stands as data at the top; every exemption carries its reason. Each rule is a function from a source tree
to the sentences that say what breaks it; the real tree must give none, and a small wrong tree must give one.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "pixelwise"
SOURCE = Path(__file__).parents[1] / "src" / PACKAGE

# A room is a module or package directly under the package. It imports from lower floors only, never from its own;
# on the ground floor the rooms are small and may use each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("version", "errors", "files", "labels", "label_maps", "geometry"),
    ("data", "models", "proposals", "refinement"),
    ("weights",),
    ("training", "inference"),
    ("evaluation",),
    ("report",),
    ("analysis",),
    ("cli", "serving", "export"),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# The public face and `python -m pixelwise` stand in front of the house.
FRONT = ("__init__", "__main__")

# "importing room -> imported room": reason. Empty is the aim.
EXEMPT_IMPORTS: dict[str, str] = {}

GRAB_BAGS = ("utils", "util", "misc", "common", "shared", "helpers", "core")

MAX_FILE_LINES = 400
HABIT_FILE_LINES = 250
MAX_FUNCTION_LINES = 60
# "file" or "file::function": reason.
EXEMPT_LENGTHS: dict[str, str] = {}

BANNED_PACKAGES = {"torchvision": "its wheels are tied to one torch build"}
# These work where torch is not installed, or must start at once: torch only inside functions.
TORCH_FREE_ROOMS = (
    *FLOORS[0],
    "data",
    "proposals",
    "refinement",
    "evaluation",
    "report",
    "cli",
    *FRONT,
)
# Single modules of other rooms that do the same.
TORCH_FREE_MODULES = ("inference.contracts", "inference.model", "training.recipe")
HEAVY_PACKAGES = ("torch", "accelerate")
# "module": reason.
EXEMPT_HEAVY: dict[str, str] = {
    "data.batches": "makes the tensors that training is fed with; only training imports it",
    "refinement.torch_lattice": "filters tensors; imported only where tensors are given",
    "refinement.torch_field": "the mean field of tensors; imported only where tensors are given",
    "refinement.trainable": "a layer for networks; only who trains through it imports it",
}


@dataclass(frozen=True)
class Import:
    """One imported module name, as far as it can be read off: `a.b.c` for `from a.b import c`."""

    name: str
    line: int
    at_top: bool  # runs when the module is imported, so not inside a function and not only for type checkers


@dataclass(frozen=True)
class Module:
    """One file of the tree: its dotted name below the package (`data.voc`), and what is in it."""

    name: str
    path: Path
    tree: ast.Module
    lines: int

    @property
    def room(self) -> str:
        return self.name.split(".")[0]

    @property
    def imports(self) -> list[Import]:
        return list(_imports(self.tree, at_top=True))


def _imports(node: ast.AST, at_top: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, at_top) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: relative import; write the full name"
            yield from (Import(f"{child.module}.{alias.name}", child.lineno, at_top) for alias in child.names)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _imports(child, at_top=False)
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from _imports(ast.Module(child.body, []), at_top=False)
            yield from _imports(ast.Module(child.orelse, []), at_top=at_top)
        else:
            yield from _imports(child, at_top)


def read_tree(source: Path) -> list[Module]:
    """Every Python file under a package's folder, by name."""
    modules = []
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        text = path.read_text(encoding="utf-8")
        modules.append(Module(name, path, ast.parse(text, str(path)), text.count("\n")))
    return modules


def imported_modules(module: Module, names: set[str]) -> dict[str, Import]:
    """Modules of the package that a module imports: name below the package -> the import that does it."""
    found: dict[str, Import] = {}
    for entry in module.imports:
        parts = entry.name.split(".")
        if parts[0] != PACKAGE:
            continue
        # The longest part of the name that is a module; the rest is a name inside it.
        prefixes = (".".join(parts[1:end]) for end in range(len(parts), 1, -1))
        found.setdefault(next((prefix for prefix in prefixes if prefix in names), "__init__"), entry)
    return found


def rooms_off_the_floors(modules: list[Module]) -> list[str]:
    """Every room stands on a floor."""
    rooms = sorted({module.room for module in modules} - FLOOR_OF.keys() - set(FRONT))
    return [f"{room}: no floor; give it one in FLOORS" for room in rooms]


def imports_against_the_floors(modules: list[Module]) -> list[str]:
    """A room imports from lower floors only; the front may import anything, and nobody imports the front."""
    names = {module.name for module in modules}
    wrong = []
    for module in modules:
        for target, entry in imported_modules(module, names).items():
            room, arrow = target.split(".")[0], f"{module.room} -> {target.split('.')[0]}"
            if module.room in FRONT or room == module.room or arrow in EXEMPT_IMPORTS:
                continue
            mine, other = FLOOR_OF.get(module.room, -1), FLOOR_OF.get(room, len(FLOORS))
            if not (other < mine or other == mine == 0):
                where = "the front" if room in FRONT else f"{room} (floor {other})"
                wrong.append(f"{module.name}, line {entry.line}: {module.room} (floor {mine}) imports {where}")
    return wrong


def import_cycles(modules: list[Module]) -> list[str]:
    """No file imports itself by way of others, not even inside functions.

    The front is left out: it imports the house, and a package's `__init__` is run before its modules anyway.
    """
    names = {module.name for module in modules}
    edges = {
        module.name: sorted(set(imported_modules(module, names)) - set(FRONT) - {module.name})
        for module in modules
        if module.name not in FRONT
    }
    cycles: set[tuple[str, ...]] = set()
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            cycle = trail[trail.index(name) :]
            first = cycle.index(min(cycle))
            cycles.add(cycle[first:] + cycle[:first])
        elif name not in done:
            for target in edges[name]:
                walk(target, (*trail, name))
            done.add(name)

    for name in edges:
        walk(name, ())
    return [f"cycle: {' -> '.join((*cycle, cycle[0]))}" for cycle in sorted(cycles)]


def grab_bags(modules: list[Module]) -> list[str]:
    """No module or package is named after nothing in particular."""
    return [
        f"{module.path}: '{part}' says nothing about what is in it"
        for module in modules
        for part in module.name.split(".")
        if part.strip("_") in GRAB_BAGS
    ]


def functions_of(module: Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function and method of a module, also inside others."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{module.name}::{node.name}", node


def long_files(modules: list[Module]) -> list[str]:
    """No file is longer than the limit."""
    return [
        f"{module.name}: {module.lines} lines, at most {MAX_FILE_LINES}; split it by what it holds"
        for module in modules
        if module.lines > MAX_FILE_LINES and module.name not in EXEMPT_LENGTHS
    ]


def long_functions(modules: list[Module]) -> list[str]:
    """No function is longer than the limit, decorators and docstring counted in."""
    wrong = []
    for module in modules:
        for name, node in functions_of(module):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            lines = (node.end_lineno or first) - first + 1
            if lines > MAX_FUNCTION_LINES and name not in EXEMPT_LENGTHS:
                wrong.append(f"{name}: {lines} lines, at most {MAX_FUNCTION_LINES}")
    return wrong


def undocumented_names(modules: list[Module]) -> list[str]:
    """Every module, and every public class, function and method, has a docstring.

    Left out: special methods, setters and overloads, methods of private classes, and what stands inside a function.
    """

    def public(node: ast.AST, prefix: str) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if child.name.startswith("_"):
                continue
            marks = [ast.unparse(decorator) for decorator in child.decorator_list]
            if any(mark.endswith((".setter", "overload", "override")) for mark in marks):
                continue
            if ast.get_docstring(child) is None and not forwards_to_a_documented_name(child.name, node):
                yield f"{prefix}{child.name}, line {child.lineno}: no docstring"
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{prefix}{child.name}.")

    wrong = []
    for module in modules:
        if ast.get_docstring(module.tree) is None:
            wrong.append(f"{module.name}: no docstring; one sentence: what goes in, what comes out")
        wrong.extend(public(module.tree, f"{module.name}::"))
    return wrong


def forwards_to_a_documented_name(name: str, owner: ast.AST) -> bool:
    """`forward` of a network or layer is documented by its class: it is how torch spells `__call__`."""
    return name == "forward" and isinstance(owner, ast.ClassDef) and ast.get_docstring(owner) is not None


def banned_imports(modules: list[Module]) -> list[str]:
    """Packages that are used nowhere, not even inside functions."""
    return [
        f"{module.name}, line {entry.line}: {root} is not used here: {BANNED_PACKAGES[root]}"
        for module in modules
        for entry in module.imports
        if (root := entry.name.split(".")[0]) in BANNED_PACKAGES
    ]


def heavy_imports(modules: list[Module]) -> list[str]:
    """Torch-free rooms import torch inside functions only, and at their top import no room that imports it at its own."""
    names = {module.name: module for module in modules}
    heavy: dict[str, str] = {}
    for module in modules:
        for entry in module.imports:
            if entry.at_top and entry.name.split(".")[0] in HEAVY_PACKAGES:
                heavy.setdefault(module.name, f"line {entry.line} imports {entry.name.split('.')[0]}")
    changed = True
    while changed:  # follow the imports until nothing new is found
        changed = False
        for module in modules:
            for target, entry in imported_modules(module, set(names)).items():
                if entry.at_top and module.name not in heavy and target in heavy:
                    heavy[module.name] = f"line {entry.line} imports {target}, which imports torch"
                    changed = True
    return [
        f"{name}, {why}: this works without torch; import it inside the function that needs it"
        for name, why in sorted(heavy.items())
        if (names[name].room in TORCH_FREE_ROOMS or name in TORCH_FREE_MODULES) and name not in EXEMPT_HEAVY
    ]


Rule = Callable[[list[Module]], list[str]]
RULES: tuple[Rule, ...] = (
    rooms_off_the_floors,
    imports_against_the_floors,
    import_cycles,
    grab_bags,
    long_files,
    long_functions,
    undocumented_names,
    banned_imports,
    heavy_imports,
)
