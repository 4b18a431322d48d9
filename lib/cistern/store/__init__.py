"""The flash log over a block device. Every byte is in docs/SPEC.md."""

from cistern.store.cursor import Cursor as Cursor
from cistern.store.cursor import Ref as Ref
from cistern.store.log import Log as Log
from cistern.store.state import REASONS as REASONS
