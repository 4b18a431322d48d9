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
    in it;
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
        value = node.value
        if isinstance(value, ast.Name) and not any(value.id in s for s in self._scopes):
            member = self._names.member(value.id, node.attr)
            if member is not None:
                return member
        node.value = self.visit(value)
        node.attr = self._names.attribute(node.attr)
        return node

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
        used = {n.id for s in body for n in ast.walk(s) if isinstance(n, ast.Name)}
        plain = [a.arg for a in node.args.args]
        for old, new in self._names.parameters(plain, used | set(scope)).items():
            scope[old] = ast.Name(new, ast.Load())
            next(a for a in arguments if a.arg == old).arg = new
        self._scopes.append(scope)
        body = [self.visit(s) for s in body]
        self._scopes.pop()
        node.body = body[0] if isinstance(node, ast.Lambda) else body
        return node

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
        targets = [n for g in node.generators for n in ast.walk(g.target)]
        self._scopes.append(dict.fromkeys(n.id for n in targets if isinstance(n, ast.Name)))
        self.generic_visit(node)
        self._scopes.pop()
        return node

    visit_ListComp = visit_SetComp = _comprehension  # noqa: N815
    visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815


def _arguments(args):
    extra = [a for a in (args.vararg, args.kwarg) if a]
    return [*args.posonlyargs, *args.args, *args.kwonlyargs, *extra]


def _bound(body):
    """Names that a function's body binds, not those of functions within it."""
    bound, outside = set(), set()
    left = list(body)
    while left:
        node = left.pop()
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            outside.update(node.names)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            bound.update((a.asname or a.name).split(".")[0] for a in node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            if hasattr(node, "name"):
                bound.add(node.name)
        elif not isinstance(node, _COMPREHENSIONS):
            left.extend(ast.iter_child_nodes(node))
    return bound - outside
