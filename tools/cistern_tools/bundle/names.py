"""Short names for what only this code calls by its name.

On stock firmware a name that the firmware does not have costs its letters and 8 bytes of heap.
"""

import ast
import itertools
import string
from collections.abc import Iterable, Iterator

from cistern_tools.bundle.members import bound, families, known, loose, mentioned
from cistern_tools.bundle.modules import Module

# Names that .mpy files refer to by number (py/makeqstrdata.py), which cost nothing. Without args
# and value, which exceptions have.
_FREE = """
    abs all any append bool builtins bytearray bytecode bytes callable chr clear close copy
    count dict dir divmod end endswith eval exec extend find format from_bytes get getattr
    globals hasattr hash id index insert int isalpha isdigit isinstance islower isspace
    issubclass isupper items iter join key keys len list little locals lower lstrip main map
    micropython next object open ord pop popitem pow print range read readinto readline remove
    replace repr reverse rfind rindex round rsplit rstrip send sep set setattr setdefault sort
    sorted split start startswith step stop str strip sum to_bytes tuple type update upper
    values write zip
""".split()  # noqa: SIM905
# Names that stock firmware has in flash for its own modules, which cost no heap either. None of
# them is used in lib/ (tests_host/test_bundle.py): what is called so is ours.
FIRMWARE = """
    cd wp erf gw4 lmk mdc ps1 ps2 ptr seq tau acos asin atan bind blit ceil coro dump erfc fabs
    fmod imag log2 mdio mem8 mkfs modf peek poly real sqrt usys acosh asinh atan2 atanh btree chdir
    cmath deque expm1 floor frexp group heapq hline ipoll isinf isnan ldexp log10 mem16 mem32 ptr16
    rmdir trunc uname union vline wbits center getcwd getter invert lgamma mktime scroll sendto
    single sizeof toggle txdone abs_tol closure deflate dupterm ellipse encrypt fromhex
    heapify heappop isclose popleft randint readbit rel_tol sendall subtype sysname uniform
    copysign execfile framebuf heappush isfinite issubset keepends makefile nodename pagesize
    progsize readonly recvfrom security writebit byteorder cachesize cryptolib dict_view
    fill_rect isenabled lookahead opt_level qstr_info randrange readlines recv_into sendbreak
    stack_use ticks_cpu websocket appendleft isdisjoint issuperset settimeout splitlines
    getpeercert getrandbits set_ciphers intersection version_info
""".split()  # noqa: SIM905


class ShortNames:
    """Gives short names to members, to globals and to parameters of `modules`.

    Those among them that `is_open` says other code uses, too, keep the names of their members.
    Members that no object has together share a name.
    """

    def __init__(self, modules: Iterable[Module], is_open) -> None:
        modules = list(modules)
        trees = [m.tree for m in modules]
        closed = [m for m in modules if not is_open(m.name)]
        nodes = [n for tree in trees for n in ast.walk(tree)]
        self._keywords = {n.arg for n in nodes if isinstance(n, ast.keyword) and n.arg}
        members = mentioned(nodes)
        self._read = {n.id if isinstance(n, ast.Name) else n.arg for n in nodes if _is_name(n)}
        self._read |= members
        kept = set().union(*(mentioned(ast.walk(m.tree)) for m in modules if is_open(m.name)))
        # A module is a member of the package that has it.
        kept |= known(nodes) | {part for m in modules for part in m.name.split(".")}
        # People read the names of classes.
        own = set().union(*(bound(ast.walk(m.tree)) | set(m.names) - m.classes for m in closed))
        own = {n for n in own - kept if not n.startswith("_")}
        # Private attributes of others, such as asyncio.core._io_queue, are only read here.
        own |= {n for t in trees for n in mentioned(ast.walk(t), ast.Store) if is_private(n)}
        together: dict[str, set[str]] = {name: set() for name in own}
        # What is stored from outside of a class may be anybody's.
        anywhere = loose(m.tree for m in closed) & own
        for family in (*families(trees, is_private), *(set(m.names) for m in closed)):
            for name in family & own:
                together[name] |= family & own | anywhere
        for name in anywhere:
            together[name] = own
        # In the body of a class and in a module they hide what they are named like.
        in_bodies = _read_in_bodies(trees)
        in_modules = set().union(*(m.names for m in closed))
        self._short: dict[str, str] = {}
        # Those with the most neighbours first, so that few names are needed.
        for name in sorted(together, key=lambda n: (-len(together[n]), n)):
            taken = members | in_bodies | {self._short.get(o, "") for o in together[name]}
            if name in in_modules:
                taken |= self._read
            self._short[name] = next(c for c in _candidates() if c not in taken)

    def of(self, name: str) -> str:
        """The short name of a member; those that are used elsewhere stay."""
        return self._short.get(name, name)

    def fresh(self) -> Iterator[str]:
        """Names for the globals of a unit."""
        return (c for c in _candidates() if c not in self._read)

    def parameters(self, names: list[str], used: set[str]) -> dict[str, str]:
        """New names for the parameters of a function, unless they are given by name somewhere."""
        fresh = (c for c in _candidates() if c not in used)
        found = [n for n in names if n != "self" and n not in self._keywords and n not in _FREE]
        return {name: next(fresh) for name in found}


def is_private(name: str) -> bool:
    """Whether its name says that only its own module has a use for it."""
    return name.startswith("_") and not name.startswith("__") and len(name) > 1


def _candidates() -> Iterator[str]:
    yield from _FREE
    yield from FIRMWARE
    for size in itertools.count(1):
        for letters in itertools.product(string.ascii_lowercase, repeat=size):
            yield "_" + "".join(letters)


def _is_name(node: ast.AST) -> bool:
    return isinstance(node, (ast.Name, ast.arg))


def _read_in_bodies(trees: list[ast.Module]) -> set[str]:
    """Globals that the bodies of classes read, outside of their functions."""
    found = set()
    for node in (n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.ClassDef)):
        for statement in node.body:
            whole = isinstance(statement, ast.Assign)
            parts = [statement.value] if whole else getattr(statement, "decorator_list", [])
            found |= {n.id for p in parts for n in ast.walk(p) if isinstance(n, ast.Name)}
    return found
