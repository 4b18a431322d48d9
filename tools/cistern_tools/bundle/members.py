"""Members of objects in syntax trees: which names they have, and which of them are ours alone."""

import array
import ast
import asyncio
import binascii
import builtins
import collections
import gc
import hashlib
import io
import json
import os
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Iterable

# What a block device has, such as esp32.Partition, and a filesystem (docs.micropython.org, vfs).
_DEVICE = {"readblocks", "writeblocks", "ioctl", "mount", "umount", "stat", "open"}
# What MicroPython has of these, code of other people calls so.
_MODULES = (
    *(array, asyncio, binascii, builtins, collections, gc, hashlib, io, json, os, socket, ssl),
    *(struct, sys, time),
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def mentioned(nodes: Iterable[ast.AST], context: type = ast.expr_context) -> set[str]:
    """What nodes call members of objects, or functions, which may be such.

    context: ast.Store for those only that are made here.
    """
    found = set()
    for node in nodes:
        if isinstance(node, ast.Attribute):
            found |= {node.attr} if isinstance(node.ctx, context) else set()
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= _assigned(node.body)
    return found


def bound(nodes: Iterable[ast.AST]) -> set[str]:
    """What classes among nodes give their objects: methods, values, and what self gets."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            found |= _assigned(node.body)
            found |= {s.name for s in node.body if isinstance(s, _FUNCTIONS)}
            found |= {a.attr for a in ast.walk(node) if _is_stored(a) and _is_self(a)}
    return found


def loose(trees: Iterable[ast.Module]) -> set[str]:
    """Members that are stored through another name than self."""
    nodes = (n for tree in trees for n in ast.walk(tree))
    return {n.attr for n in nodes if _is_stored(n) and not _is_self(n)}


def known(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that others know: of Python's own objects, and texts, by which getattr() may go."""
    found = {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    found |= _DEVICE
    for module in _MODULES:
        found.update(dir(module))
        for name in dir(module):
            value = getattr(module, name)
            if isinstance(value, type):
                found.update(dir(value))
    return found


def families(trees: list[ast.Module], is_private: Callable[[str], bool]) -> list[set[str]]:
    """Members that one object may have, by classes that derive from each other.

    Private ones count where they are only mentioned, in a class or a function.
    """
    family: dict[str, set[str]] = {}
    classes = []
    alone = []
    for tree in trees:
        for node in tree.body:
            names = {n for n in mentioned(ast.walk(node)) if is_private(n)}
            if isinstance(node, ast.ClassDef):
                family.setdefault(node.name, set()).update(names | bound(ast.walk(node)))
                classes.append((node.name, [b.id for b in node.bases if isinstance(b, ast.Name)]))
            else:
                alone.append(names)
    # Until nothing changes: a base has what those that derive from it have, and they have its.
    before = None
    while before != sum(map(len, family.values())):
        before = sum(map(len, family.values()))
        for name, bases in classes:
            for base in bases:
                family[name] = family[base] = family.setdefault(base, set()) | family[name]
    return [*alone, *family.values()]


def _assigned(body: list[ast.stmt]) -> set[str]:
    targets = [t for s in body if isinstance(s, ast.Assign) for t in s.targets]
    return {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}


def _is_stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)


def _is_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"
