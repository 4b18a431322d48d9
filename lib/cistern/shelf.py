"""A filesystem of one file, from which modules are borrowed that have a number and no name.

On stock firmware each name costs some 17 bytes of heap for good, and a module would have two: its
own and that of its file. So the bundler numbers the modules that are borrowed only, and each of
them is imported as `_`, from a path that is always the same.
"""

import os
import sys

MODULE = "_"
FOLDER = "/_"
_FILE = "/_.mpy"
_MISSING = 2  # ENOENT


class Shelf:
    """What vfs.mount() takes (docs.micropython.org, vfs). number: of the file that it has."""

    number = None

    def __init__(self):
        import vfs

        # Where this file lies, the others do.
        self._library = __file__[: __file__.rfind("cistern/")]
        vfs.mount(self, FOLDER)
        sys.path.insert(0, FOLDER)

    def mount(self, *asked):
        pass

    umount = mount

    def stat(self, path):
        return os.stat(self._real(path))

    def open(self, path, mode):
        return open(self._real(path), mode)

    def _real(self, path):
        if path != _FILE:
            raise OSError(_MISSING)
        return "%s%d.mpy" % (self._library, self.number)
