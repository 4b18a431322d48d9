"""Modules out of their packages, where only this code imports them.

On stock firmware a module costs heap for its path, its dotted name and its name in its package,
and each of them a place among the names: a board that has more than 620 needs 4.5 KB in one piece
for the next of them (py/qstr.c). "cistern.cloud.kept" becomes "_kept", of /lib/_kept.mpy; and what
is borrowed only becomes a number, of /lib/17.mpy (lib/cistern/shelf.py).
"""

import ast

from cistern_tools.bundle.resolve import INNER, OPEN
from cistern_tools.bundle.units import ROOTS

# Of rooms whose modules others import by name, or the port and the catalog by a part of it.
_MOVABLE = (
    *INNER,
    "cistern.resources.board_check",
    "cistern.resources.board_setup",
    "cistern.resources.catalog",
    "cistern.resources.pin_rules",
    "cistern.resources.tables",
    "cistern.resources.words",
)
# What begins so stays. The units of ROOTS, for those who look for the code on a chip.
_STAY = (*OPEN, "cistern.port", *(unit for unit in ROOTS if unit.count(".") == 1))


def flatten(
    sources: dict[str, str], programs: dict[str, str]
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """The same as `sources`, {path below the library: source}, and `programs`, {name: source},
    with other paths, and {name: new name} of the modules that have another one. What nobody
    mentions stays where it is.
    """
    trees = {path: ast.parse(text) for path, text in sources.items()}
    scripts = {name: ast.parse(text) for name, text in programs.items()}
    everything = (*trees.values(), *scripts.values())
    used = {name for tree in everything for node in ast.walk(tree) for name in _mentioned(node)}
    named = {name for tree in everything for node in ast.walk(tree) for name in _by_name(node)}
    moved: dict[str, str | int] = {}
    # Those of few parts first, for whom there is no other name.
    for path in sorted(trees, key=lambda p: (p.count("/"), p)):
        name = _dotted(path)
        if name in used and _may_move(path):
            if name not in named:
                moved[name] = sum(isinstance(m, int) for m in moved.values())
                continue
            parts = name.split(".")
            short = "_" + parts[-1]
            moved[name] = short if short not in moved.values() else "_" + "_".join(parts[1:])
    made = {}
    for path, tree in trees.items():
        name = _dotted(path)
        made[f"{moved[name]}.py" if name in moved else path] = _renamed(tree, moved)
    left = {path: text for path, text in made.items() if text.strip() or _has_more(path, made)}
    programs = {name: _renamed(tree, moved) for name, tree in scripts.items()}
    return left, programs, {name: str(new) for name, new in moved.items()}


def _may_move(path: str) -> bool:
    name = _dotted(path)
    stays = path.endswith("/__init__.py") or name.startswith(_STAY)
    return name in _MOVABLE or not stays


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _has_more(path: str, paths: dict[str, str]) -> bool:
    """Whether its folder has other modules."""
    folder = path.rpartition("/")[0] + "/"
    return any(p.startswith(folder) and p != path for p in paths)


def _mentioned(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
    if isinstance(node, ast.Import):
        return [a.name for a in node.names]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    return []


def _by_name(node: ast.AST) -> list[str]:
    """Modules that are imported or, if it is a call, given to another function than borrow()."""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id == "borrow":
            return []
        return [name for given in node.args for name in _mentioned(given)]
    return [] if isinstance(node, ast.Constant) else _mentioned(node)


def _renamed(tree: ast.Module, moved: dict[str, str | int]) -> str:
    return ast.unparse(ast.fix_missing_locations(_Mover(moved).visit(tree))) + "\n"


class _Mover(ast.NodeTransformer):
    """Puts the new names of modules into a tree."""

    def __init__(self, moved: dict[str, str | int]) -> None:
        self._moved = moved

    def visit_Constant(self, node):
        if isinstance(node.value, str):
            node.value = self._moved.get(node.value, node.value)
        return node

    def visit_Import(self, node):
        for alias in node.names:
            if alias.name in self._moved:
                alias.asname = alias.asname or alias.name
                alias.name = self._moved[alias.name]
        return node

    def visit_ImportFrom(self, node):
        whole = [a for a in node.names if f"{node.module}.{a.name}" in self._moved]
        node.names = [a for a in node.names if a not in whole]
        found = [node] if node.names else []
        if node.module in self._moved:
            node.module = self._moved[node.module]
            return found
        for alias in whole:
            new = self._moved[f"{node.module}.{alias.name}"]
            found.append(ast.Import([ast.alias(new, alias.asname or alias.name)]))
        return found
