"""Models of the user's own: Python files in the folder `models` of the device's filesystem.

Such a file calls register() with a factory; examples/models/ has some to start from. Everything
that it needs of Cistern can be imported from here. A mistake in a file is reported with its line,
and stops neither the other files nor the built-in models.
"""

import sys

from cistern.borrow import borrow
from cistern.resources import ResourceError, Sensor, Source, fields, own_models
from cistern.resources.attributes import check as check_table
from cistern.resources.guarded import GuardedSource, as_own, from_console, named, place

__all__ = ("ResourceError", "Sensor", "Source", "fields", "load", "register")

# They are found on a board, and importing one would start everything again.
_PROGRAMS = ("main", "boot")

_loading = ""
_BOM = b"\xef\xbb\xbf"


def register(kind, triplet, build, attributes=None):
    """Add a model of a component type ("sensor", "movement_sensor", …).

    triplet: its name, "namespace:family:model". build(component, port, others): the factory; see
    resources.catalog.build. attributes: what it takes, as attributes.py has it, which is then
    checked with the rest of the configuration; None: anything.
    """
    types = borrow("cistern.resources.catalog").types
    if kind not in types:
        raise ValueError("%r is no component type: %s" % (kind, ", ".join(sorted(types))))
    parts = triplet.split(":")
    if len(parts) != 3 or not all(parts) or parts[0] == "rdk" or set(triplet) & set(" |="):
        raise ValueError(
            "%r is no name for a model: namespace:family:model, with a namespace of your own"
            % triplet
        )
    if triplet in own_models:
        raise ValueError("%s is registered by %s already" % (triplet, own_models[triplet].path))
    if attributes is not None:
        for name in attributes:
            _kind, _required, _low, _high = attributes[name]
    own_models[triplet] = Model(kind, _loading, build, attributes)


def load(paths, log, exists=None, import_=None):
    """Import each file; what is wrong with one goes to log(level, text).

    exists(name), import_(name, path): to be used instead of this interpreter's own.
    """
    global _loading
    for path in paths:
        folder, _, file = path.rpartition("/")
        name = file.rsplit(".", 1)[0]
        added = False
        try:
            if (exists or _exists)(name):
                text = "%s: a module named %s exists already: rename the file"
                log("error", text % (path, name))
                continue
            known = len(own_models)
            _loading = path
            sys.path.insert(0, folder)
            added = True
            (import_ or import_file)(name, path)
            if len(own_models) == known:
                log("warning", "%s: registers no model: it must call register()" % path)
        except BaseException as e:  # whatever a user's file does, the others are loaded
            if from_console(e):
                raise
            log("error", place(e, path))
        finally:
            if added and folder in sys.path:
                sys.path.remove(folder)


def _exists(name):
    """Whether an import would find, or hide, something that is not the user's file."""
    if name in _PROGRAMS:
        return True
    try:
        __import__(name)
    except ImportError:
        return "." in name
    return True


def import_file(name, path):
    """Run a model's file."""
    with open(path, "rb") as f:
        marked = f.read(len(_BOM)) == _BOM
        text = f.read() if marked and path.endswith(".py") else None
    if text is None:
        __import__(name)
    else:  # which MicroPython's import does not take
        exec(compile(text.decode(), path, "exec"), {"__name__": name})


class Model:
    """A registered model of a component type; path: the file that did it.

    Whatever its code raises becomes a ResourceError that tells the file and the line, but for a
    Ctrl-C of the console: also what would end the program or a task, such as SystemExit.
    """

    def __init__(self, kind, path, build, attributes):
        self.kind = kind
        self.path = path
        self._build = build
        self._attributes = attributes

    def check(self, kind, model, attributes):
        """Problems of the attributes."""
        try:
            return [] if self._attributes is None else check_table(self._attributes, attributes)
        except Exception as e:
            text = "%s: the table of attributes that it gives to register() is none: %s: %s"
            return [("", text % (self.path, type(e).__name__, e))]

    def build(self, component, port, others):
        """Make the component; a mistake of the factory, or of its sources, tells its line."""
        hung = None
        if port.reset_cause == "watchdog":
            hung = borrow("cistern.resources.hung").Hung(port, self.path, component.name)
            return hung.first(self._made, component, port, others, hung)
        return self._made(component, port, others, hung)

    def _made(self, component, port, others, hung):
        # A copy: what a factory does to it is no business of the others.
        made = self._call(self._build, component, port, dict(others))
        if not self._call(hasattr, made, "source"):
            raise ResourceError(
                "%s: the factory of %s returned %s, which has no source(method, params)"
                % (self.path, component.model, named(made))
            )
        self._call(self._guard, made, hung)
        return made

    def _guard(self, made, hung):
        source = made.source

        def guarded(method, params):
            given = self._call(source, method, params)
            return self._call(GuardedSource, self._call, self.path, given, method, hung)

        made.source = guarded
        close = getattr(made, "close", None)
        if close:
            made.close = lambda: self._call(close)

    def _call(self, call, *args):
        try:
            return call(*args)
        except BaseException as e:
            if from_console(e):
                raise
            raise as_own(e, self.path)  # noqa: B904 - MicroPython warns of a cause
