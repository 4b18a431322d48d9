"""Imports the firmware so that each run of statements first moves the clock by what it costs.

Nothing else about the code is changed. Between two such runs the timers' callbacks come, as they
come between bytecodes on the chip. What stands for hardware or for C there (cistern.port, and the
plain twins of machine code, see native.py) is not touched.
"""

import ast
import importlib.abc
import importlib.machinery
import sys

from timing.costs import CRC_BYTE_NS, Prices, branch, entry

_FREE = ("cistern.port",)
_CALLS = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _charge(ns, allocated, at, place):
    """_t[0] += ns, and the callbacks that are due then; _t[2]: bytes of heap until the next GC.

    place: None, or the name of the function, under which a profile has it.
    """
    text = f"_t[0] += {ns}\n"
    if place:
        text += f"_t[3][{place!r}] += {ns}\n"
    if allocated:
        text += f"_t[2] -= {allocated}\n"
    made = ast.parse(text + "if _t[0] >= _t[1]: _due()").body
    for statement in made:
        for node in ast.walk(statement):
            ast.copy_location(node, at)
    return made


def _own(node):
    """The nodes of a statement or expression that run with it."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (*_FUNCTIONS, ast.Lambda)):
            yield from _own(child)


class _Expressions(ast.NodeTransformer):
    """Charges the turns of comprehensions and the bodies of lambdas."""

    def __init__(self, prices, place):
        self._prices = prices
        self._place = place

    def _comprehension(self, node):
        turn = self._prices.turn(node)
        self.generic_visit(node)
        first = node.generators[0]
        first.iter = _call("_each", first.iter, turn)
        return node

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815

    def visit_Lambda(self, node):
        cost = self._prices.lambda_body(node)
        self.generic_visit(node)
        node.body = _call("_after", node.body, cost)
        return node

    def visit_FunctionDef(self, node):
        return _function(node, self._place)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815


def _call(name, value, cost):
    made = ast.Call(ast.Name(name, ast.Load()), [value, ast.Constant(cost)], [])
    return ast.fix_missing_locations(ast.copy_location(made, value))


class _Body:
    """Rewrites the statements of one function."""

    def __init__(self, function, place):
        self._place = place and f"{place}.{function.name}"
        names = {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}
        names |= {
            n.id
            for n in ast.walk(function)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        outer = {n for s in ast.walk(function) if isinstance(s, ast.Global) for n in s.names}
        self._prices = Prices(names - outer)
        self._expressions = _Expressions(self._prices, self._place)

    def block(self, statements, pending=0):
        """The statements with their charges; pending: what to charge with the first of them."""
        out, group = [], []
        for s in statements:
            compound = hasattr(s, "body") and not isinstance(s, (*_FUNCTIONS, ast.ClassDef))
            pending += self._head(s) if compound else self._prices.of(s)
            group.append(s)
            if compound or any(isinstance(n, _CALLS) for n in _own(s)):
                self._flush(out, group, pending)
                pending = 0
        self._flush(out, group, pending)
        return out

    def _flush(self, out, group, pending):
        if pending and group:
            out += _charge(pending, self._prices.allocated, group[0], self._place)
            self._prices.allocated = 0
        for s in group:
            out.append(self._rewritten(s))
        group.clear()

    def _head(self, s):
        """What stands before the body of a compound statement."""
        parts = [getattr(s, "test", None), getattr(s, "iter", None)]
        items = [item.context_expr for item in getattr(s, "items", ())]
        return self._prices.of([p for p in parts if p]) + self._prices.of(items) + branch()

    def _rewritten(self, s):
        if isinstance(s, _FUNCTIONS):
            return _function(s, self._place)
        if not hasattr(s, "body") or isinstance(s, ast.ClassDef):
            return self._expressions.visit(s)
        turn = 0
        if isinstance(s, (ast.For, ast.AsyncFor)):
            turn = self._prices.loop(s.iter) + self._prices.of(s.target)
        elif isinstance(s, ast.While):
            turn = self._prices.of(s.test) + branch()
        s.body = self.block(s.body, turn)
        for name in ("orelse", "finalbody"):
            if getattr(s, name, None):
                setattr(s, name, self.block(getattr(s, name)))
        for handler in getattr(s, "handlers", ()):
            handler.body = self.block(handler.body, branch())
        for name in ("test", "iter"):
            if hasattr(s, name):
                setattr(s, name, self._expressions.visit(getattr(s, name)))
        return s


def _function(node, place):
    node.body = _Body(node, place).block(node.body, entry(node.args.args))
    return node


class _Module(ast.NodeTransformer):
    """Rewrites every function; what a module does when it is imported is free."""

    def __init__(self, place):
        self._place = place

    def visit_FunctionDef(self, node):
        return _function(node, self._place)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815


def instrumented(source, path, place=None):
    """The code object of a module; place: its name, for a profile."""
    tree = ast.fix_missing_locations(_Module(place).visit(ast.parse(source, path)))
    return compile(tree, path, "exec", dont_inherit=True)


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name, path, hook):
        super().__init__(name, path)
        self._hook = hook

    def get_code(self, fullname):
        path = self.get_filename(fullname)
        place = None if self._hook.profile is None else fullname
        return instrumented(self.get_data(path), path, place)

    def exec_module(self, module):
        self._hook.prepare(module)
        super().exec_module(module)
        self._hook.finish(module)


class Hook(importlib.abc.MetaPathFinder):
    """Loads packages of the firmware for `clock`; also: names of further modules to charge for.

    twins: {module: function that is given it once it is loaded}, see native.py. profile: None, or
    a Counter of ns by function, which is then also _t[3].
    """

    def __init__(self, clock, twins, also=(), profile=None):
        self.profile = profile
        self._clock = clock
        self._twins = twins
        self._also = also

    def install(self):
        """From now on; nothing of the firmware may have been imported before."""
        early = [n for n in sys.modules if n.split(".")[0] == "cistern"]
        if early:
            raise RuntimeError(f"imported before the harness: {early}")
        sys.meta_path.insert(0, self)
        return self

    def find_spec(self, fullname, path=None, target=None):
        """Of importlib."""
        if fullname.startswith(_FREE):
            return None
        if fullname.split(".")[0] != "cistern" and fullname not in self._also:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or not spec.origin:
            return spec
        if fullname.endswith("plain"):  # KeyError: a twin that native.py does not know yet
            spec.loader = _Twin(fullname, spec.origin, self._twins[fullname])
        else:
            spec.loader = _Loader(fullname, spec.origin, self)
        return spec

    def prepare(self, module):
        """Give a module the names that its charges use."""
        clock = self._clock
        t = clock.t
        module._t = t
        module._due = clock.due

        def each(items, ns):
            for item in items:
                t[0] += ns
                if t[0] >= t[1]:
                    clock.due()
                yield item

        def after(value, ns):
            t[0] += ns
            return value

        module._each, module._after = each, after

    def finish(self, module):
        """Charge for C that takes as long as its data are."""
        t = self._clock.t
        original = getattr(module, "crc32", None)
        if original:

            def crc32(data, start=0):
                t[0] += len(data) * CRC_BYTE_NS
                return original(data, start)

            module.crc32 = crc32
        if module.__name__ == "cistern.record.value":
            module.WIDE = False  # the chip's floats have 32 bits


class _Twin(importlib.machinery.SourceFileLoader):
    def __init__(self, name, path, wrap):
        super().__init__(name, path)
        self._wrap = wrap

    def exec_module(self, module):
        super().exec_module(module)
        self._wrap(module)
