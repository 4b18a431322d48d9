"""Units: the files that a board loads, each made of one module or of many that always go together.

In a unit of many, modules share one namespace: their imports of each other are gone, names that
nobody outside needs are short, and numbers stand where constants were named. On stock firmware
code lives in the heap, so each of these is heap for readings (docs/DESIGN.md, law 8).
"""

import ast
import copy
from collections.abc import Iterator
from pathlib import Path

from cistern_tools.bundle.modules import (
    PACKAGE,
    Module,
    imported,
    load,
    name_of,
    path_of,
)
from cistern_tools.bundle.names import ShortNames, is_private
from cistern_tools.bundle.resolve import OPEN, Names, is_open, statements
from cistern_tools.bundle.scopes import Renamer

# What a board with a cloud loads later than the rest: unit → the modules it is loaded for. What
# they import at their top level goes with them.
ROOTS = {
    # The port has it before there is an app.
    "cistern.borrow": ("cistern.borrow",),
    "cistern.app": (
        "cistern.app",
        "cistern.capture.engine",
        "cistern.config",
        "cistern.record",
        "cistern.store",
        "cistern.sync.clock",
    ),
    "cistern.link": (
        "cistern.net.channel",
        "cistern.cloud.client",
        "cistern.cloud.robot",
        "cistern.sync.uploader",
        "cistern.sync.polite",
    ),
    "cistern.port.stream_mpy": ("cistern.port.stream_mpy",),
    "cistern.port.dial_mpy": ("cistern.port.dial_mpy",),
    "cistern.port.names_mpy": ("cistern.port.names_mpy",),
}


class Bundle:
    """All device code of a board.

    library: the folder with the package. native: whether the board runs machine code. roots: as
    ROOTS. leave_out: prefixes of modules that the board has no use for. programs: files that use
    the package.
    """

    def __init__(
        self,
        library: Path,
        native: bool,
        roots: dict[str, tuple[str, ...]] = ROOTS,
        leave_out: tuple[str, ...] = (),
        programs: tuple[Path, ...] = (),
    ) -> None:
        paths = sorted((library / PACKAGE).rglob("*.py"))
        found = [name_of(library, p) for p in paths]
        wanted = [n for n in found if not n.startswith(leave_out or ("-",))]
        self._library = library
        self.modules = load(library, wanted, native)
        self.unit_of: dict[str, str] = {}
        self._members: dict[str, list[str]] = {}
        for unit, names in roots.items():
            self._members[unit] = []
            for name in names:
                self._gather(unit, name)
        for name in self.modules:
            if name not in self.unit_of:
                self.unit_of[name] = name
                self._members[name] = [name]
        self._programs = {p: Module("__main__", p.read_text("utf-8"), native) for p in programs}
        everything = (*self.modules.values(), *self._programs.values())
        self.short = ShortNames(everything, is_open)
        # (module, name) → what it is called in its unit.
        self.names: dict[tuple[str, str], str] = {}
        # By unit: (module, name) → local name, of what it imports; and the names that are left.
        self._outside: dict[str, dict[tuple[str, str | None], str]] = {}
        self._taken: dict[str, set[str]] = {}
        self._fresh: dict[str, Iterator[str]] = {}
        for unit in self._members:
            self._name(unit)
        for unit in self._members:
            self._name_imports(unit)

    def _gather(self, unit: str, name: str) -> None:
        """Put a module into a unit, after those that it imports."""
        if name not in self.modules or name in self.unit_of or name.startswith(OPEN):
            return
        self.unit_of[name] = unit
        for module, member in self.modules[name].imports.values():
            whole = f"{module}.{member}"
            self._gather(unit, whole if whole in self.modules else module)
        self._members[unit].append(name)

    def home(self, module: str, name: str | None) -> tuple[str, str | None]:
        """Where a name that is imported from a module was defined; (module, None) for a module."""
        whole = f"{module}.{name}"
        if whole in self.modules:
            return whole, None
        passed_on = self.modules[module].imports if module in self.modules else {}
        return self.home(*passed_on[name]) if name in passed_on else (module, name)

    def _name(self, unit: str) -> None:
        self._taken[unit] = set()
        self._fresh[unit] = self.short.fresh()
        self._outside[unit] = {}
        members = [self.modules[member] for member in self._members[unit]]
        module = self.modules.get(unit)
        if module:
            # Others may call what it has as members of it, so this comes first.
            for name in module.names:
                if not is_private(name):
                    self.names[unit, name] = self._take(unit, self.short.of(name))
        for module in members:
            for name, source in module.outside.items():
                self._import(unit, module.name, name, source)
            for name in module.names:
                # Numbers are written out; people read the names of errors.
                if (module.name, name) in self.names or (
                    name in module.constants and unit != module.name
                ):
                    continue
                keep = name in module.classes and name.endswith("Error")
                self.names[module.name, name] = self._take(unit, name if keep else None)

    def _name_imports(self, unit: str) -> None:
        for member in self._members[unit]:
            module = self.modules[member]
            for name, source in module.imports.items():
                for found in Names(self, module).from_unit(*source):
                    self._import(unit, member, name, found)

    def _import(self, unit: str, member: str, name: str, source: tuple[str, str | None]) -> None:
        outside = self._outside[unit]
        if source not in outside:
            outside[source] = self._take(unit, name)
        self.names[member, name] = outside[source]

    def _take(self, unit: str, wanted: str | None) -> str:
        taken = self._taken[unit]
        new = wanted
        while new is None or new in taken:
            new = next(self._fresh[unit])
        taken.add(new)
        return new

    def sources(self) -> dict[str, str]:
        """path of each file below the library → its source."""
        return {self._path(unit): self.source(unit) for unit in self._members}

    def _path(self, unit: str) -> str:
        if unit in self.modules:
            return str(path_of(self._library, unit).relative_to(self._library))
        return unit.replace(".", "/") + ".py"

    def source(self, unit: str) -> str:
        """The source of a unit."""
        body: list[ast.stmt] = []
        for member in self._members[unit]:
            module = self.modules[member]
            names = Names(self, module)
            for statement in copy.deepcopy(module.tree).body:
                is_import = isinstance(statement, (ast.Import, ast.ImportFrom))
                if not is_import and not names.is_constant(statement):
                    body.append(Renamer(names).visit(statement))
        tree = ast.fix_missing_locations(ast.Module([*statements(self._outside[unit]), *body], []))
        return ast.unparse(tree) + "\n"

    def scripts(self) -> dict[str, str]:
        """name of each program → its source."""
        return {path.name: self._script(module) for path, module in self._programs.items()}

    def _script(self, module: Module) -> str:
        names = Names(self, module)
        body: list[ast.stmt] = []
        for statement in module.tree.body:
            body += names.elsewhere(statement) if imported(statement) else [statement]
        tree = ast.Module([Renamer(names).visit(s) for s in body], [])
        return ast.unparse(ast.fix_missing_locations(tree)) + "\n"
