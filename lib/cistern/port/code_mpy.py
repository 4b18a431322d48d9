"""Bytecode beside the heap: on stock firmware what a .mpy file has is copied to Python's heap, and
from there goes to memory that the heap does not have; borrowed.

A function is the words type, module, children, bytecode (py/objfun.h, mp_obj_fun_bc_t; the same in
v1.25 to v1.29), and its bytecode has no pointers: names and constants are reached through the
module. So a function runs as well from a copy. That these words are what they are thought to be is
seen before anything is changed: the second has to be the module, and where the fourth points to
must be what the file has.
"""

import struct
import sys
from array import array

import uctypes

const = int  # MicroPython's compiler knows const() by its name

_WORD = struct.calcsize("P")
# Kinds of code in a .mpy file (py/emitglue.h) and of constants (py/persistentcode.h).
_BYTECODE = const(0)
_NATIVE = const(1)
_TEXTS = const(5)  # up to MP_PERSISTENT_OBJ_NONE no text follows
_BYTES = const(6)
_TUPLE = const(10)
# MP_SCOPE_FLAG_VIPERRELOC, _VIPERRODATA, _VIPERBSS (py/runtime0.h), which mpy-cross never sets.
_MORE = const(0x70)


def place(name, put):
    """Have the functions of the module `name` run from copies; none of them may be under way.

    put(data): the address of a copy of the bytes, or None where there is no room.
    """
    module = sys.modules[name]
    try:
        f = open(module.__file__, "rb")
    except (AttributeError, OSError):
        return  # frozen: it is not in the heap
    if f.read(1) != b"M":
        f.close()
        return  # source
    functions = array("L")
    for value in module.__dict__.values():
        _gather(value, id(module), functions)
        if isinstance(value, type):
            for member in value.__dict__.values():
                _gather(member, id(module), functions)
    beginnings = bytearray(4 * len(functions))
    for i, function in enumerate(functions):
        beginnings[4 * i : 4 * i + 4] = _at(_words(function)[3], 4)
    with f:
        for code in _codes(f):
            at = None
            i = beginnings.find(code[:4])
            while i >= 0:
                if not i & 3 and _at(_words(functions[i >> 2])[3], len(code)) == code:
                    at = at or put(code)
                    if not at:
                        break
                    struct.pack_into("P", _at(functions[i >> 2], 4 * _WORD), 3 * _WORD, at)
                i = beginnings.find(code[:4], i + 1)


def _at(address, size):
    return uctypes.bytearray_at(address, size)


def _words(address):
    return struct.unpack_from("4P", _at(address, 4 * _WORD))


def _gather(value, module, functions):
    """Append the addresses of the bytecode functions of `module` that `value` is or wraps."""
    kind = type(value)
    if kind in (_FUNCTION, _GENERATOR):
        if _words(id(value))[1] == module:
            functions.append(id(value))
    elif kind in (property, staticmethod, classmethod):
        n = 3 if kind is property else 1
        for word in struct.unpack_from("%dP" % n, _at(id(value) + _WORD, n * _WORD)):
            # Others are small numbers and None.
            if word and not word & 3 and _words(word)[:2] == (id(_FUNCTION), module):
                functions.append(word)


def _yields():
    yield


_FUNCTION = type(place)
_GENERATOR = type(_yields)


def _codes(f):
    """The bytecode of each function in a .mpy file (py/persistentcode.c, load_raw_code)."""
    f.read(3)  # after the magic: version, architecture, bits of small numbers
    texts, constants = _uint(f), _uint(f)
    for _ in range(texts):
        n = _uint(f)
        if not n & 1:  # else it is the number of a text that the firmware has
            f.seek((n >> 1) + 1, 1)
    _skip(f, constants)
    left = 1
    while left:
        left -= 1
        kind = _uint(f)
        if kind & 3 == _BYTECODE:
            yield f.read(kind >> 3)
        else:
            f.seek(kind >> 3, 1)
            # Where its prelude is, or flags.
            if _uint(f) & _MORE and kind & 3 != _NATIVE:
                return
        if kind & 4:
            left += _uint(f)


def _skip(f, constants):
    for _ in range(constants):
        kind = f.read(1)[0]
        if kind >= _TEXTS:
            n = _uint(f)
            if kind == _TUPLE:
                _skip(f, n)
            else:
                f.seek(n + 1 if kind <= _BYTES else n, 1)  # texts end with a zero


def _uint(f):
    n = 0
    while True:
        b = f.read(1)[0]
        n = n << 7 | b & 127
        if b < 128:
            return n
