"""Modules of the device code as syntax trees: what each defines, imports and holds constant."""

import ast
from pathlib import Path

PACKAGE = "cistern"


class BundleError(Exception):
    """Device code is written in a way that the bundler cannot keep the meaning of."""


class Module:
    """One file. name: dotted. tree: without docstrings.

    names: what it binds at its top level, without imports; functions and classes: some of them.
    imports: local name → (module, name)
    for what it takes from the package at its top level; outside: the same for other modules, with
    None as the name of a module itself.
    constants: name → int, those of names that are bound once, to a known number.
    """

    def __init__(self, name: str, source: str, native: bool) -> None:
        self.name = name
        self.tree = ast.parse(source, name)
        _drop_docstrings(self.tree)
        self.tree.body = [s for old in self.tree.body for s in _settled(old, native)]
        self.imports: dict[str, tuple[str, str | None]] = {}
        self.outside: dict[str, tuple[str, str | None]] = {}
        bound: dict[str, list[ast.AST]] = {}
        for statement in self.tree.body:
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                self.imports.update(imported(statement))
                self.outside.update(_from_outside(statement))
            else:
                for name_, value in _bindings(statement):
                    bound.setdefault(name_, []).append(value)
        self.names = list(bound)
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        self.functions = {s.name for s in self.tree.body if isinstance(s, functions)}
        self.classes = {s.name for s in self.tree.body if isinstance(s, ast.ClassDef)}
        changed = {n for x in ast.walk(self.tree) if isinstance(x, ast.Global) for n in x.names}
        self.constants: dict[str, int] = {}
        for name_, values in bound.items():
            if len(values) == 1 and name_ not in changed:
                number = self.number(values[0])
                if number is not None:
                    self.constants[name_] = number

    def number(self, node: ast.AST) -> int | None:
        """The int that an expression of literals and constants has, or None."""
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "const":
            return self.number(node.args[0])
        known = (ast.Constant, ast.BinOp, ast.UnaryOp, ast.Name, ast.operator, ast.unaryop)
        for part in ast.walk(node):
            if not isinstance(part, (*known, ast.expr_context)):
                return None
            if isinstance(part, ast.Name) and part.id not in self.constants:
                return None
            if isinstance(part, ast.Constant) and type(part.value) is not int:
                return None
        code = compile(ast.fix_missing_locations(ast.Expression(node)), self.name, "eval")
        number = eval(code, {"__builtins__": {}}, self.constants)
        return number if type(number) is int else None


def load(library: Path, names: list[str], native: bool) -> dict[str, Module]:
    """The modules of these names, from the folder that has the package."""
    made = {}
    for name in names:
        path = path_of(library, name)
        made[name] = Module(name, path.read_text("utf-8"), native)
    return made


def path_of(library: Path, name: str) -> Path:
    """The file of a module."""
    path = library.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def name_of(library: Path, path: Path) -> str:
    """The dotted name of a file."""
    parts = path.relative_to(library).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(statement: ast.stmt) -> dict[str, tuple[str, str | None]]:
    """What a statement imports from the package: local name → (module, name)."""
    if not isinstance(statement, ast.ImportFrom) or not statement.module:
        return {}
    if statement.module.split(".")[0] != PACKAGE:
        return {}
    return {a.asname or a.name: (statement.module, a.name) for a in statement.names}


def _from_outside(statement: ast.Import | ast.ImportFrom) -> dict[str, tuple[str, str | None]]:
    if imported(statement):
        return {}
    if isinstance(statement, ast.Import):
        return {a.asname or a.name: (a.name, None) for a in statement.names}
    return {a.asname or a.name: (str(statement.module), a.name) for a in statement.names}


def _settled(statement: ast.stmt, native: bool) -> list[ast.stmt]:
    """Top-level choices between runtimes, made: what MicroPython's compiler sees of them."""
    if isinstance(statement, ast.Try) and all(_is_import(s) for s in statement.body):
        if _makes_const(statement.body[0]):
            return []
        chosen = statement.body if native else statement.handlers[0].body
        return chosen if any(imported(s) for s in statement.body) else [statement]
    return [] if _makes_const(statement) else [statement]


def _is_import(statement: ast.stmt) -> bool:
    return isinstance(statement, (ast.Import, ast.ImportFrom))


def _makes_const(statement: ast.stmt) -> bool:
    """Whether it is there for CPython only: the compiler knows const() by its name."""
    if isinstance(statement, ast.ImportFrom):
        return [a.name for a in statement.names] == ["const"]
    if isinstance(statement, ast.Assign):
        return [getattr(t, "id", None) for t in statement.targets] == ["const"]
    return False


def _bindings(statement: ast.stmt) -> list[tuple[str, ast.AST]]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [(statement.name, statement)]
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        if isinstance(target, ast.Name):
            return [(target.id, statement.value)]
        first = _first_of_range(statement.value)
        if isinstance(target, ast.Tuple) and first is not None:
            return [(t.id, ast.Constant(first + i)) for i, t in enumerate(target.elts)]
    stored = [n for n in ast.walk(statement) if isinstance(n, ast.Name)]
    found = [(n.id, statement) for n in stored if isinstance(n.ctx, ast.Store)]
    for part in ast.walk(statement):
        if isinstance(part, (ast.Import, ast.ImportFrom)):
            found += [((a.asname or a.name).split(".")[0], part) for a in part.names]
    return found


def _first_of_range(value: ast.expr) -> int | None:
    """The first number of range(n) or range(first, n), which names are numbered with."""
    if not isinstance(value, ast.Call) or getattr(value.func, "id", None) != "range":
        return None
    given = [getattr(a, "value", None) for a in value.args]
    return {1: 0, 2: given[0]}.get(len(given))


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and isinstance(node, (ast.Module, ast.ClassDef)):
            body[:] = [s for s in body if not _is_text(s)]
        if isinstance(node, ast.ClassDef):
            # MicroPython ignores it.
            body[:] = [s for s in body if "__slots__" not in [n for n, _ in _bindings(s)]]
            body[:] = body or [ast.Pass()]
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _is_text(body[0]):
            body[:1] = [] if len(body) > 1 else [ast.Pass()]


def _is_text(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Constant):
        return False
    return isinstance(statement.value.value, str)
