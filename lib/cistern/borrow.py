"""Code that is needed now and then only, on a chip where code is heap (docs/DESIGN.md, law 8)."""

import gc
import sys


def borrow(name):
    """A module that the interpreter does not keep: its heap is free after use.

    That is so as long as nothing that stays refers to a function of it, or to a class with
    methods: these keep all of their module.
    """
    # What it makes, and some of it stays, goes into holes that are there, not behind garbage,
    # where it would split the room for a ring or for TLS.
    gc.collect()
    __import__(name)
    module = sys.modules.pop(name)
    room, _, name = name.rpartition(".")
    delattr(sys.modules[room], name)  # an import also binds it there
    return module
