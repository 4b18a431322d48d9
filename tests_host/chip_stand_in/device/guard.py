"""Modules of a chip for MicroPython on a PC: what they do is ours, what may be called is the
stubs'. A name that the firmware lacks is an AttributeError, a wrong call a TypeError.
"""
# ruff: noqa: UP031 - the chip's names, and
# MicroPython's ways

import sys


class _Module:
    """What `import` gives."""


def install(name, spec, behaviour):
    """Make `behaviour` importable as `name`, held to the stub's table `spec`."""
    made = _Module()
    made.__name__ = name
    for key, value in spec["constants"].items():
        if value is not None:
            setattr(made, key, value)
    for key in dir(behaviour):
        value = getattr(behaviour, key)
        if key[0] == "_" or type(value) not in (type, type(install)):
            continue
        if isinstance(value, type):
            if key not in spec["classes"]:
                raise AttributeError(name + " has no class " + key)
            setattr(made, key, _guarded(name + "." + key, spec["classes"][key], value))
        else:
            if key not in spec["functions"]:
                raise AttributeError(name + " has no function " + key)
            setattr(made, key, checked(name + "." + key, spec["functions"][key], value))
    sys.modules[name] = made
    return made


def narrow(name, spec, instead=None):
    """Hide what a module of the PC has and the chip's lacks; `instead`: {name: what to have}."""
    real = __import__(name)
    made = _Module()
    made.__name__ = name
    for kind in ("constants", "functions", "classes"):
        for key in spec[kind]:
            if hasattr(real, key):
                setattr(made, key, getattr(real, key))
    for key in spec["names"]:
        if hasattr(real, key):
            setattr(made, key, getattr(real, key))
    for key, value in (instead or {}).items():
        setattr(made, key, value)
    sys.modules[name] = made


def _guarded(name, spec, behaviour):
    """A class with the constants of the stub and, checked, those of its methods that we have."""
    members = {k: v for k, v in spec["constants"].items() if v is not None}
    for key, value in behaviour.__dict__.items():
        if key in ("__module__", "__qualname__", "__name__", "__dict__"):
            continue
        overloads = spec["methods"].get(key)
        if overloads:
            static = overloads[0]["static"]
            function = getattr(behaviour, key) if static else value
            made = checked(name + "." + key, overloads, function, not static)
            members[key] = staticmethod(made) if static else made
        elif key[0] != "_":
            raise AttributeError(name + " has no " + key)
    return type(name.split(".")[-1], (behaviour,), members)


def checked(name, overloads, function, method=False):
    """`function`, called only with arguments that an overload takes."""

    def call(*args, **keywords):
        n = len(args) - (1 if method else 0)
        if not any(fits(o, n, keywords) for o in overloads) and not fits(
            _merged(overloads), n, keywords
        ):
            raise TypeError(
                "%s() of the chip does not take %d arguments and %s" % (name, n, list(keywords))
            )
        return function(*args, **keywords)

    return call


def _merged(overloads):
    """One overload with the keywords of all, none needed: stubs list keywords that go together,
    such as a timer's period and tick_hz, apart.
    """
    made = dict(overloads[0])
    made["keywords"] = {k: False for o in overloads for k in o["keywords"]}
    return made


def fits(overload, n, keywords):
    """Whether n positional arguments and these keywords suit an overload."""
    names = overload["names"]
    if n > len(names) and not overload["more"]:
        return False
    for key in keywords:
        if key in names:
            at = names.index(key)
            if at < overload["only"] or at < n:
                return False
        elif key not in overload["keywords"] and not overload["any"]:
            return False
    for key in names[n : overload["required"]]:
        if key not in keywords:
            return False
    return all(not needed or k in keywords for k, needed in overload["keywords"].items())
