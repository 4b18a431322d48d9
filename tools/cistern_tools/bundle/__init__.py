"""Device code made small for a board: modules that go together become one file, names short.

On stock firmware all code lives in the heap, where a function costs about 35 bytes beside its
bytecode, a name 17, an import 10. What a board does is the same; tracebacks name modules and
errors only.
"""

from cistern_tools.bundle.flat import flatten as flatten
from cistern_tools.bundle.modules import PACKAGE as PACKAGE
from cistern_tools.bundle.modules import BundleError as BundleError
from cistern_tools.bundle.modules import name_of as name_of
from cistern_tools.bundle.units import ROOTS as ROOTS
from cistern_tools.bundle.units import Bundle as Bundle
