"""The chip's filesystem: LittleFS as MicroPython makes and mounts it."""

from littlefs import LittleFS, LittleFSError, UserContext

from cistern_tools.image import ImageError

BLOCK = 4096
# extmod/vfs_lfs.c: the sizes that MicroPython formats and mounts with. Version 2.0 on disk is what
# every MicroPython since 1.12 reads; a later one is upgraded to by the first write.
_SIZES = {"read_size": 32, "prog_size": 32, "lookahead_size": 32}
DISK_VERSION = 0x00020000


def make(files, size):
    """A filesystem of `size` bytes with {path: bytes}. Raises ImageError when they do not fit."""
    fs = LittleFS(block_size=BLOCK, block_count=size // BLOCK, disk_version=DISK_VERSION, **_SIZES)
    try:
        for path, data in sorted(files.items()):
            fs.makedirs(path.rpartition("/")[0] or "/", exist_ok=True)
            with fs.open(path, "wb") as file:
                file.write(data)
    except (LittleFSError, OSError) as e:
        total = sum(len(data) for data in files.values())
        raise ImageError(
            f"{len(files)} files of {total} bytes do not fit on a vfs of {size} bytes ({e}): "
            "give it a larger partition"
        ) from None
    fs.unmount()
    return bytes(fs.context.buffer)


def read(raw):
    """{path: bytes} of all files in a filesystem. Raises ImageError where there is none."""
    context = UserContext(len(raw))
    context.buffer = bytearray(raw)
    try:
        fs = LittleFS(context, mount=False, block_size=BLOCK, block_count=len(raw) // BLOCK)
        fs.mount()
        found = {}
        for folder, _, names in fs.walk("/"):
            for name in names:
                path = f"{folder.rstrip('/')}/{name}"
                with fs.open(path, "rb") as file:
                    found[path] = file.read()
    except LittleFSError as e:
        raise ImageError(f"the vfs holds no filesystem that can be read: {e}") from None
    return found
