"""Names in a syntax tree, replaced where they mean a module's own."""

import ast

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Renamer(ast.NodeTransformer):
    """Replaces a module's global names, the attributes of all objects, and parameters.

    names: an object with
    read(name) -> the expression for a global name that is read, None to keep it;
    member(name, attribute) -> the same for an attribute of a global, None where that is no module;
    bind(name) -> the new name of a global that is bound;
    attribute(name) -> the new name of an attribute;
    parameters(names, used) -> {name: new name} of a function's parameters, `used` being all names
    that are in it, or that names in it become;
    moved(import statement) -> (statements instead of it within a function, {name: expression} for
    what is read instead of names that are not bound there any more).
    """

    def __init__(self, names):
        self._names = names
        # Of functions, innermost last: what they bind → what it becomes, None to keep it.
        self._scopes: list[dict[str, ast.expr | None]] = []

    def visit_Name(self, node):
        for scope in reversed(self._scopes):
            if node.id in scope:
                new = scope[node.id]
                if isinstance(new, ast.Name):
                    return ast.Name(new.id, node.ctx)
                return new or node
        if isinstance(node.ctx, ast.Load):
            return self._names.read(node.id) or node
        node.id = self._names.bind(node.id)
        return node

    def visit_Attribute(self, node):
        member = self._member(node)
        if member is not None:
            return member
        node.value = self.visit(node.value)
        node.attr = self._names.attribute(node.attr)
        return node

    def _member(self, node):
        """The expression for a member of a module that is global here, else None."""
        value = node.value
        if isinstance(value, ast.Name) and not any(value.id in s for s in self._scopes):
            return self._names.member(value.id, node.attr)
        return None

    def visit_Global(self, node):
        node.names = [self._names.bind(n) for n in node.names]
        return node

    def visit_Nonlocal(self, node):
        names = [self.visit(ast.Name(n, ast.Store())) for n in node.names]
        node.names = [n.id for n in names]
        return node

    def visit_FunctionDef(self, node):
        if not self._scopes:
            node.name = self._names.bind(node.name)
        node.decorator_list = [self.visit(d) for d in node.decorator_list]
        return self._function(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Lambda(self, node):
        return self._function(node)

    def _function(self, node):
        node.args.defaults = [self.visit(d) for d in node.args.defaults]
        node.args.kw_defaults = [d and self.visit(d) for d in node.args.kw_defaults]
        scope: dict[str, ast.expr | None] = {}
        body = node.body if isinstance(node.body, list) else [node.body]
        if not isinstance(node, ast.Lambda):
            scope.update(dict.fromkeys(_bound(body)))
            body = self._without_imports(body, scope)
        arguments = _arguments(node.args)
        scope.update(dict.fromkeys(a.arg for a in arguments))
        self._scopes.append(scope)
        used = self._used(body) | set(scope)
        self._scopes.pop()
        # What is bound by another statement than an assignment keeps its name in it.
        fixed = _bound(body, assigned=False)
        plain = [a.arg for a in node.args.args if a.arg not in fixed]
        for old, new in self._names.parameters(plain, used).items():
            scope[old] = ast.Name(new, ast.Load())
            next(a for a in arguments if a.arg == old).arg = new
        self._scopes.append(scope)
        body = [self.visit(s) for s in body]
        self._scopes.pop()
        node.body = body[0] if isinstance(node, ast.Lambda) else body
        return node

    def _used(self, body):
        """The names in a function's body, and what they become in the scopes around."""
        nodes = [n for s in body for n in ast.walk(s)]
        used = _bound(body)
        instead = []
        modules = []  # nodes that name one, of which a member is taken
        for node in nodes:
            if isinstance(node, ast.Attribute) and self._member(node) is not None:
                instead.append(self._member(node))
                modules.append(node.value)
            elif isinstance(node, (ast.Global, ast.Nonlocal)):
                used |= set(node.names)
            elif isinstance(node, ast.arg):
                used.add(node.arg)
            elif isinstance(node, ast.ClassDef):
                used |= {self._names.attribute(n) for n in _bound(node.body)}
            if isinstance(node, ast.stmt):
                used |= _bound([node])
        names = {n.id for n in nodes if isinstance(n, ast.Name) and n not in modules}
        instead += [self._read(n) for n in names]
        return used | names | {n.id for n in instead if isinstance(n, ast.Name)}

    def _read(self, name):
        """The expression that a name becomes where it is read, or None."""
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        return self._names.read(name)

    def _without_imports(self, body, scope):
        """The statements of a function, its imports replaced, in nested blocks too."""
        out = []
        for statement in body:
            if isinstance(statement, ast.ImportFrom):
                instead, names = self._names.moved(statement)
                out += instead
                scope.update(names)
                continue
            if not isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
                for block in (statement, *getattr(statement, "handlers", ())):
                    for field in ("body", "orelse", "finalbody"):
                        if getattr(block, field, None):
                            made = self._without_imports(getattr(block, field), scope)
                            setattr(block, field, made or [ast.Pass()])
            out.append(statement)
        return out

    def visit_ClassDef(self, node):
        if not self._scopes:
            node.name = self._names.bind(node.name)
        node.bases = [self.visit(b) for b in node.bases]
        # What the body has bound so far can be read in the body, but not within its functions.
        bound: dict[str, ast.expr | None] = {}
        for i, statement in enumerate(node.body):
            self._scopes.append(bound)
            names = []
            if isinstance(statement, ast.Assign):
                statement.value = self.visit(statement.value)
                names = [n for t in statement.targets for n in ast.walk(t)]
                names = [n for n in names if isinstance(n, ast.Name)]
            decorators = getattr(statement, "decorator_list", [])
            decorators[:] = [self.visit(d) for d in decorators]
            self._scopes.pop()
            if names:
                found = [n.id for n in names]
                for name in names:
                    name.id = self._names.attribute(name.id)
            else:
                found = [statement.name] if hasattr(statement, "name") else []
                node.body[i] = self._method(statement)
            bound.update({n: ast.Name(self._names.attribute(n), ast.Load()) for n in found})
        return node

    def _method(self, node):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return self.visit(node)
        node.name = self._names.attribute(node.name)
        return self._function(node)

    def _comprehension(self, node):
        # The first iterable belongs to what is around the comprehension.
        first = node.generators[0]
        first.iter, outer = ast.Constant(None), self.visit(first.iter)
        targets = [n for g in node.generators for n in ast.walk(g.target)]
        self._scopes.append(dict.fromkeys(n.id for n in targets if isinstance(n, ast.Name)))
        self.generic_visit(node)
        self._scopes.pop()
        first.iter = outer
        return node

    visit_ListComp = visit_SetComp = _comprehension  # noqa: N815
    visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815


def _arguments(args):
    extra = [a for a in (args.vararg, args.kwarg) if a]
    return [*args.posonlyargs, *args.args, *args.kwonlyargs, *extra]


def _bound(body, assigned=True):
    """Names that a function's body binds, not those of functions within it.

    assigned: also those that are bound by assignments.
    """
    bound, outside = set(), set()
    left = list(body)
    while left:
        node = left.pop()
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            outside.update(node.names)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.update((node.id,) * assigned)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            bound.update((a.asname or a.name).split(".")[0] for a in node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            if hasattr(node, "name"):
                bound.add(node.name)
        elif isinstance(node, _COMPREHENSIONS):
            # := in one binds in the function.
            left.extend(n.target for n in ast.walk(node) if isinstance(n, ast.NamedExpr))
        else:
            left.extend(ast.iter_child_nodes(node))
    return bound - outside
