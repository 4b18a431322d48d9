"""Parcels that cannot be sent or that the cloud refuses: found, told and set aside. Borrowed."""

from cistern.errors import GrpcError
from cistern.sync.uploader import INVALID_ARGUMENT


async def find(uploader, refs, size, bounded, error):
    """One of the parcels of an upload, which had `error`, is bad: find it, so that the others
    arrive.
    """
    if len(refs) == 1:
        give_up(uploader, refs[0], "the cloud refused it: %s" % error)
        return
    for ref in refs:
        size = await uploader.size_of(ref, uploader.starts[ref.boot][0])
        try:
            await uploader.send([ref], size, bounded)
        except GrpcError as e:
            if e.status != INVALID_ARGUMENT:
                raise
            await find(uploader, [ref], size, bounded, e)


def give_up(uploader, ref, reason):
    """Set a parcel aside, unless it is overwritten, and counted as lost."""
    if not uploader.log.set_aside(ref):
        return
    uploader.set_aside += 1
    text = "parcel %d.%d (%d readings) is kept but not sent again: %s"
    uploader.port.log("error", text % (ref.sector, ref.index, ref.readings, reason))
