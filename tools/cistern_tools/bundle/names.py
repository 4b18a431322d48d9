"""Short names for what only this code calls by its name.

On stock firmware a name that the firmware does not have costs its letters and 8 bytes of heap.
"""

import ast
import itertools
import string
from collections.abc import Iterable, Iterator

# Names that .mpy files refer to by number (py/makeqstrdata.py), which cost nothing.
_FREE = """
    abs all any append args bool builtins bytearray bytecode bytes callable chr clear close copy
    count dict dir divmod end endswith eval exec extend find format from_bytes get getattr
    globals hasattr hash id index insert int isalpha isdigit isinstance islower isspace
    issubclass isupper items iter join key keys len list little locals lower lstrip main map
    micropython next object open ord pop popitem pow print range read readinto readline remove
    replace repr reverse rfind rindex round rsplit rstrip send sep set setattr setdefault sort
    sorted split start startswith step stop str strip sum to_bytes tuple type update upper value
    values write zip
""".split()  # noqa: SIM905


class ShortNames:
    """Gives short names to what is private in `trees`, to globals and to parameters.

    Private attributes that no class has together share a name.
    """

    def __init__(self, trees: list[ast.Module]) -> None:
        self._read: set[str] = set()
        self._keywords: set[str] = set()
        members: set[str] = set()
        for tree in trees:
            for node in ast.walk(tree):
                if isinstance(node, (ast.Name, ast.arg)):
                    self._read.add(node.id if isinstance(node, ast.Name) else node.arg)
                elif isinstance(node, ast.keyword) and node.arg:
                    self._keywords.add(node.arg)
                else:
                    members |= _names([node])
        self._read |= members
        # Private attributes of others, such as asyncio.core._io_queue, are only read here.
        own = set().union(*(_names(ast.walk(tree), ast.Store) for tree in trees))
        together: dict[str, set[str]] = {}
        for family in _families(trees):
            for name in family & own:
                together.setdefault(name, set()).update(family)
        self._short: dict[str, str] = {}
        # Those with the most neighbours first, so that few names are needed.
        for name in sorted(together, key=lambda n: (-len(together[n]), n)):
            taken = members | {self._short.get(other, "") for other in together[name]}
            self._short[name] = next(c for c in _candidates() if c not in taken)

    def of(self, name: str) -> str:
        """The short name of a private one; others stay."""
        return self._short.get(name, name)

    def fresh(self) -> Iterator[str]:
        """Names for the globals of a unit."""
        return (c for c in _candidates() if c not in self._read)

    def parameters(self, names: list[str], used: set[str]) -> dict[str, str]:
        """New names for the parameters of a function, unless they are given by name somewhere."""
        fresh = (c for c in _candidates() if c not in used)
        found = [n for n in names if n != "self" and n not in self._keywords and n not in _FREE]
        return {name: next(fresh) for name in found}


def _candidates() -> Iterator[str]:
    yield from _FREE
    for size in itertools.count(1):
        for letters in itertools.product(string.ascii_lowercase, repeat=size):
            yield "_" + "".join(letters)


def _families(trees: list[ast.Module]) -> Iterable[set[str]]:
    """Private members by classes that derive from each other, and those in functions."""
    family: dict[str, set[str]] = {}
    classes = []
    for tree in trees:
        for node in tree.body:
            names = {n for n in _names(ast.walk(node)) if _is_private(n)}
            if isinstance(node, ast.ClassDef):
                family.setdefault(node.name, set()).update(names)
                classes.append((node.name, [b.id for b in node.bases if isinstance(b, ast.Name)]))
            else:
                yield names
    # Until nothing changes: a base has what those that derive from it have, and they have its.
    before = None
    while before != sum(map(len, family.values())):
        before = sum(map(len, family.values()))
        for name, bases in classes:
            for base in bases:
                family[name] = family[base] = family.setdefault(base, set()) | family[name]
    yield from family.values()


def _names(nodes: Iterable[ast.AST], context: type = ast.expr_context) -> set[str]:
    """What nodes call members of objects, or functions, which may be such.

    context: ast.Store for those only that are made here.
    """
    found = set()
    for node in nodes:
        if isinstance(node, ast.Attribute):
            found |= {node.attr} if isinstance(node.ctx, context) else set()
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            for statement in node.body:
                if isinstance(statement, ast.Assign):
                    stored = [n for t in statement.targets for n in ast.walk(t)]
                    found.update(n.id for n in stored if isinstance(n, ast.Name))
    return found


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and len(name) > 1
