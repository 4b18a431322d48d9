"""Models of the user's own: Python files in the folder `models` of the device's filesystem.

Such a file calls register() with a factory; examples/models/ has some to start from. Everything
that it needs of Cistern can be imported from here. A mistake in a file is reported with its line,
and stops neither the other files nor the built-in models.
"""

import sys

from cistern.borrow import borrow
from cistern.resources import ResourceError, Sensor, Source, fields, own_models
from cistern.resources.attributes import check as check_table

__all__ = ("ResourceError", "Sensor", "Source", "fields", "load", "register")

# They are found on a board, and importing one would start everything again.
_PROGRAMS = ("main", "boot")

_loading = ""


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
    own_models[triplet] = Model(kind, _loading, build, attributes)


def load(paths, log):
    """Import each file; what is wrong with one goes to log(level, text)."""
    global _loading
    for path in paths:
        folder, _, file = path.rpartition("/")
        name = file.rsplit(".", 1)[0]
        added = False
        try:
            if _exists(name):
                text = "%s: a module named %s exists already: rename the file"
                log("error", text % (path, name))
                continue
            known = len(own_models)
            _loading = path
            sys.path.insert(0, folder)
            added = True
            __import__(name)
            if len(own_models) == known:
                log("warning", "%s: registers no model: it must call register()" % path)
        except KeyboardInterrupt:
            raise  # somebody wants the REPL
        except BaseException as e:  # whatever a user's file does, the others are loaded
            log("error", place(e, path))
        finally:
            if added:
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


def place(error, path):
    """An exception as "models/soil.py:12: NameError: …"; the line is the last one in that file
    that led to it.
    """
    if isinstance(error, ResourceError):
        return "%s: %s" % (path, error)
    if hasattr(sys, "print_exception"):  # MicroPython
        from io import StringIO

        out = StringIO()
        sys.print_exception(error, out)
        text = out.getvalue()
    else:
        import traceback

        text = "".join(traceback.format_exception(error))
    line = ""
    file = path.rsplit("/", 1)[-1] + '", line '
    for part in text.split(file)[1:]:
        line = ":"
        for c in part:
            if not c.isdigit():
                break
            line += c
    return "%s%s: %s: %s" % (path, line, type(error).__name__, error)


class Model:
    """A registered model of a component type; path: the file that did it."""

    def __init__(self, kind, path, build, attributes):
        self.kind = kind
        self.path = path
        self._build = build
        self._attributes = attributes

    def check(self, kind, model, attributes):
        """Problems of the attributes."""
        return [] if self._attributes is None else check_table(self._attributes, attributes)

    def build(self, component, port, others):
        """Make the component; a mistake of the factory, or of its sources, tells its line."""
        made = self._guarded(self._build)(component, port, others)
        if not hasattr(made, "source"):
            raise ResourceError(
                "%s: the factory of %s returned %r, which has no source(method, params)"
                % (self.path, component.model, made)
            )
        source = self._guarded(made.source)

        def guarded(method, params):
            given = source(method, params)
            name = "read_into" if given.fields else "read"
            guard = self._waiting if given.waits else self._guarded
            setattr(given, name, guard(getattr(given, name)))
            return given

        made.source = guarded
        return made

    def _guarded(self, call):
        def guarded(*args):
            try:
                return call(*args)
            except ResourceError:
                raise
            except Exception as e:  # a user's code may raise anything
                raise ResourceError(place(e, self.path)) from e

        return guarded

    def _waiting(self, call):
        async def guarded(*args):
            try:
                return await call(*args)
            except ResourceError:
                raise
            except Exception as e:  # a user's code may raise anything
                raise ResourceError(place(e, self.path)) from e

        return guarded
