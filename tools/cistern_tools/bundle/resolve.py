"""What the names of one module become in its unit."""

import ast

from cistern_tools.bundle.modules import PACKAGE, BundleError, Module, imported

# Rooms that the user's own models import from: their modules stay as they are.
OPEN = ("cistern.resources",)
# Modules of the rooms below that only Cistern itself imports.
INNER = (
    "cistern.port.code_mpy",
    "cistern.port.dial_mpy",
    "cistern.port.dns",
    "cistern.port.esp32_connect",
    "cistern.port.esp32_net",
    "cistern.port.esp32_ntp",
    "cistern.port.esp32_reserve",
    "cistern.port.esp32_restart",
    "cistern.port.esp32_spare",
    "cistern.port.esp32_start",
    "cistern.port.link_why",
    "cistern.port.names_mpy",
    "cistern.port.ntp",
    "cistern.port.pem",
    "cistern.port.stream_mpy",
)
# Beside them, what is called by people at the REPL, and by those models and MicroPython.
_FACES = ("cistern.port",)


def is_open(module: str) -> bool:
    """Whether other code than the package's uses a module's members by their names."""
    if module in INNER:
        return False
    return module == PACKAGE or module.startswith(OPEN + _FACES)


class Names:
    """What one module's names become (scopes.Renamer)."""

    def __init__(self, bundle, module: Module) -> None:
        self._bundle = bundle
        self._module = module
        self._unit = bundle.unit_of.get(module.name)

    def _global(self, home: tuple[str, str | None]) -> ast.expr | None:
        """The expression for what is defined in a module of this unit, or a number of any."""
        owner, name = home
        module = self._bundle.modules.get(owner)
        if module and name in module.constants:
            return ast.Constant(module.constants[name])
        if name is None or self._bundle.unit_of.get(owner) != self._unit:
            return None
        return ast.Name(self._bundle.names.get((owner, name), name), ast.Load())

    def read(self, name):
        module = self._module
        if name == "__name__":
            return ast.Constant(module.name)
        if name in module.imports:
            home = self._bundle.home(*module.imports[name])
            if home[1] is None and self._is_merged(home[0]):
                raise BundleError(f"{module.name}: the module {name} is used as a value")
            return self._global(home) or ast.Name(self.bind(name), ast.Load())
        if name in module.outside:
            return ast.Name(self.bind(name), ast.Load())
        return self._global((module.name, name)) if name in module.names else None

    def _is_merged(self, name: str) -> bool:
        return self._bundle.unit_of.get(name, name) != name

    def member(self, name, attribute):
        if name not in self._module.imports:
            return None
        home = self._bundle.home(*self._module.imports[name])
        if home[1] is not None:
            return None
        return self._global(self._bundle.home(home[0], attribute))

    def bind(self, name):
        return self._bundle.names.get((self._module.name, name), name)

    def attribute(self, name):
        return self._bundle.short.of(name)

    def parameters(self, names, used):
        if self._module.name.startswith(OPEN):
            return {}
        return self._bundle.short.parameters(names, used)

    def is_constant(self, statement):
        """Whether all that a statement does is to name numbers."""
        if not isinstance(statement, ast.Assign) or self._module.name.startswith(OPEN):
            return False
        names = [n.id for n in ast.walk(statement.targets[0]) if isinstance(n, ast.Name)]
        return bool(names) and all(n in self._module.constants for n in names)

    def from_unit(self, source, name):
        """[(unit, name there)] of something that another unit has, else []."""
        owner, name = self._bundle.home(source, name)
        unit = self._bundle.unit_of.get(owner)
        if unit is None:
            raise BundleError(f"{self._module.name}: there is no module {owner}")
        if name is None:
            if not self._is_merged(owner):
                parent, _, last = owner.rpartition(".")
                return [(parent, last)]
            if unit != self._unit:
                raise BundleError(f"{self._module.name}: {owner} is part of a unit")
            return []
        module = self._bundle.modules[owner]
        if name not in module.names and name not in module.outside:
            raise BundleError(f"{self._module.name}: {owner} has no {name}")
        if unit == self._unit or name in module.constants:
            return []
        return [(unit, self._bundle.names[owner, name])]

    def elsewhere(self, statement):
        """The statements for what an import takes from other units."""
        found = {}
        for local, source in imported(statement).items():
            found.update(dict.fromkeys(self.from_unit(*source), local))
        return statements(found)

    def moved(self, statement):
        names = {}
        for local, source in imported(statement).items():
            expression = self._global(self._bundle.home(*source))
            if expression is not None:
                names[local] = expression
        return (self.elsewhere(statement) if imported(statement) else [statement]), names


def statements(imports: dict[tuple[str, str | None], str]) -> list[ast.stmt]:
    """Import statements for {(module, name or None): local name}."""
    whole: list[ast.stmt] = []
    parts: dict[str, list[ast.alias]] = {}
    for (module, name), local in imports.items():
        alias = ast.alias(name or module, None if local == (name or module) else local)
        if name is None:
            whole.append(ast.Import([alias]))
        else:
            parts.setdefault(module, []).append(alias)
    return whole + [ast.ImportFrom(module, names, 0) for module, names in parts.items()]
