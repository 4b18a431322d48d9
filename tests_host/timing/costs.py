"""What Python costs on the chip, in ns: weights of the parts of a statement.

The table below was measured on stock MicroPython v1.25 for the ESP32 in an emulator that counts
instructions. Each row of it contains the loop around it. The weights are fitted to it, and
test_timing.py holds them to it.
"""

import ast
import re

US = 1000

# µs each; the statement, in a loop over range(n).
TABLE = {
    "pass": 2.2,
    "f()": 9.2,
    "bound(x)": 10.7,
    "pack_into('<If', buf, 0, i, x)": 9.9,
    "ticks_us()": 3.9,
    "ticks_diff(a, b)": 3.4,
    "buf[i] = x": 4.9,
    "for k in two: pass": 8.9,
    "{'a': i, 'b': x}": 7.9,
    "view[a:b]": 7.8,
}
WAKE_NS = 122 * US  # an asyncio task, up to its next await; the table has 122 to 125
CRC_BYTE_NS = 120  # binascii.crc32: 35 µs for 256 B, 500 µs for 4096 B
ADC_US = 15.4  # ADC.read_u16() with its loop; cistern.port.simulated charges it
GC_NS = 1800 * US  # with most of the heap live; 930 µs with 150 KB of it free
TIMER_NS = 12 * US  # interrupt and scheduler 3.5 (assumed), call of a bound method 8.5

_LOCAL = 245
_GLOBAL = 700
_ATTRIBUTE = 1000
_SUBSCRIPT = 1500
_SLICE = 4600
_OPERATOR = 600
_CALL = 750
_MAKE = 2600
_ITEM = 1300
_JUMP = 300
_RANGE = 2200
_ITERATE = 2900
_ENTRY = 5800  # beyond the call itself, of a function of ours
_METHOD = 6900
_FORMAT = 15000  # a text with values in it
_RAISE = 15000

# Calls into C that do more than the call itself.
_EXTRA = {
    "pack_into": 5200,
    "unpack_from": 5200,
    "pack": 6000,
    "memoryview": 3000,
    "bytearray": 3000,
    "bytes": 3000,
    "sorted": 20000,
    "dumps": 40000,  # of a dict with three items; assumed
    "uptime_us": 16000,  # a time above 30 bits: two additions of 8.0 µs
}
# Bytes of heap, in blocks of 16.
BLOCK = 16
_CONSTANT = re.compile("_[A-Z][A-Z0-9_]*$")


class Prices:
    """Costs of the statements of one function; names: its local names.

    allocated: bytes of heap that cost() met since it was last set to 0.
    """

    def __init__(self, names):
        self.names = names
        self.allocated = 0

    def name(self, name):
        """A name that is read; constants with an underscore are compiled in."""
        return _LOCAL if name in self.names or _CONSTANT.match(name) else _GLOBAL

    def of(self, node):
        """An expression or a simple statement, without the bodies of functions in it."""
        if node is None:
            return 0
        if isinstance(node, list):
            return sum(map(self.of, node))
        found = getattr(self, "_" + type(node).__name__, None)
        if found:
            return found(node)
        return sum(self.of(child) for child in ast.iter_child_nodes(node)) + _LOCAL

    def _Name(self, node):  # noqa: N802  the names of ast, here and below
        return _LOCAL if isinstance(node.ctx, ast.Store) else self.name(node.id)

    def _Constant(self, node):  # noqa: N802
        return _LOCAL

    def _Attribute(self, node):  # noqa: N802
        return self.of(node.value) + _ATTRIBUTE

    def _Subscript(self, node):  # noqa: N802
        if isinstance(node.slice, ast.Slice):
            self.allocated += BLOCK
            return self.of(node.value) + self.of(node.slice) + _SLICE
        return self.of(node.value) + self.of(node.slice) + _SUBSCRIPT

    def _BinOp(self, node):  # noqa: N802
        both = self.of(node.left) + self.of(node.right)
        if isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant):
            self.allocated += 4 * BLOCK
            return both + _FORMAT
        return both + _OPERATOR

    def _Compare(self, node):  # noqa: N802
        return self.of(node.left) + self.of(node.comparators) + _OPERATOR * len(node.ops)

    def _BoolOp(self, node):  # noqa: N802
        return self.of(node.values) + _JUMP * (len(node.values) - 1)

    def _IfExp(self, node):  # noqa: N802
        return self.of(node.test) + _JUMP + (self.of(node.body) + self.of(node.orelse)) // 2

    def _Call(self, node):  # noqa: N802
        name = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
        self.allocated += BLOCK if name in _EXTRA else 0
        arguments = self.of(node.args) + sum(self.of(k.value) + _LOCAL for k in node.keywords)
        return self.of(node.func) + arguments + _CALL + _EXTRA.get(name, 0)

    def _made(self, items, each):
        self.allocated += BLOCK * (1 + len(items) // 2)
        return self.of(items) + _MAKE + each * len(items)

    def _Tuple(self, node):  # noqa: N802
        if isinstance(node.ctx, ast.Store) or all(isinstance(e, ast.Constant) for e in node.elts):
            return self.of(node.elts)
        return self._made(node.elts, 0)

    def _List(self, node):  # noqa: N802
        return self._made(node.elts, 0)

    def _Set(self, node):  # noqa: N802
        return self._made(node.elts, _ITEM)

    def _Dict(self, node):  # noqa: N802
        return self.of([k for k in node.keys if k]) + self._made(node.values, _ITEM)

    def _JoinedStr(self, node):  # noqa: N802
        self.allocated += 4 * BLOCK
        return _FORMAT + sum(self.of(v) for v in node.values)

    def _comprehension(self, node):
        """Without the turns of its loop, for which see turn()."""
        self.allocated += 4 * BLOCK
        return self.of(node.generators[0].iter) + _ENTRY + _MAKE

    _ListComp = _SetComp = _DictComp = _GeneratorExp = _comprehension

    def turn(self, node):
        """One turn of the loop of a comprehension."""
        parts = [node.elt] if hasattr(node, "elt") else [node.key, node.value]
        return _ITERATE + self.of(parts) + self.of(node.generators[0].ifs)

    def _Lambda(self, node):  # noqa: N802
        self.allocated += 2 * BLOCK
        return _MAKE

    def lambda_body(self, node):
        """A call of it, beyond the call itself."""
        return _ENTRY + self.of(node.body)

    def _AugAssign(self, node):  # noqa: N802
        # The target is read and written.
        return 2 * self.of(node.target) + self.of(node.value) + _OPERATOR

    def _Raise(self, node):  # noqa: N802
        return _RAISE + self.of(node.exc)

    def _Assert(self, node):  # noqa: N802
        return 0  # -O3 leaves them out

    def _FunctionDef(self, node):  # noqa: N802
        self.allocated += 2 * BLOCK
        return _MAKE

    _AsyncFunctionDef = _ClassDef = _FunctionDef

    def loop(self, iterator):
        """A turn of a for loop over it."""
        name = getattr(getattr(iterator, "func", None), "id", "")
        return _RANGE if name == "range" else _ITERATE


def entry(arguments):
    """A function is entered."""
    return _METHOD if arguments and arguments[0].arg == "self" else _ENTRY


def branch():
    """A test that was made."""
    return _JUMP
