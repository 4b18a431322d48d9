"""Code on a chip where code is heap (docs/DESIGN.md, law 8): what is needed now and then only is
borrowed, and what stays lies beside the heap where the port has such memory.
"""

import gc
import sys

from cistern.shelf import MODULE, Shelf

_put = None
_shelf = None


def place_with(put):
    """Keep code beside the heap from now on, and that which is loaded already.

    put(data): the address of a copy of the bytes in memory beside the heap, None where it is full.
    """
    global _put
    if not _put:  # else this is not the first start, and all code is where it belongs
        _put = put
        _settle(())


def borrow(name):
    """A module that the interpreter does not keep: its heap is free after use. name: on a board
    it may be a number, which the bundler put there.

    That is so as long as nothing that stays refers to a function of it, or to a class with
    methods: these keep all of their module.
    """
    # What it makes, and some of it stays, goes into holes that are there, not behind garbage,
    # where it would split the room for a ring or for TLS.
    if hasattr(gc, "mem_free"):  # CPython has room, and takes long for it
        gc.collect()
    known = list(sys.modules)
    if isinstance(name, str):
        __import__(name)
        module = _forget(name)
    else:
        module = _numbered(name)
    _settle(known)
    return module


def _numbered(number):
    global _shelf
    _shelf = _shelf or Shelf()
    # A module may borrow others while it is loaded.
    before = _shelf.number
    loading = sys.modules.pop(MODULE, None)
    _shelf.number = number
    try:
        return __import__(MODULE)
    finally:
        sys.modules.pop(MODULE, None)
        _shelf.number = before
        if loading:
            sys.modules[MODULE] = loading


def lend(name):
    """A module that stays where something else keeps it, and is else borrowed."""
    return sys.modules.get(name) or borrow(name)


def _forget(name):
    module = sys.modules.pop(name)
    room, _, name = name.rpartition(".")
    if room:
        delattr(sys.modules[room], name)  # an import also binds it there
    return module


def keep(name):
    """A module that stays."""
    if name not in sys.modules:
        known = list(sys.modules)
        __import__(name)
        _settle(known)
    return sys.modules[name]


def _settle(known):
    """Place the code of what was loaded beside `known`, before anything of it runs."""
    if _put:
        # This one runs, and so does the package, which starts it all.
        new = [n for n in sys.modules if n not in known and _is_ours(n) and n != __name__]
        if new:
            place = borrow("cistern.port.code_mpy").place
            for name in new:
                place(name, _put)


def _is_ours(name):
    # On a board, what only Cistern imports is in no package and begins with _.
    return name[:8] == "cistern." or name[0] == "_"
