"""HPACK, RFC 7541: header compression for HTTP/2.

The decoder is complete. The encoder uses static indices and literals without Huffman and keeps no
dynamic table, so its blocks do not depend on each other: the same headers give the same bytes.
Names and values are bytes.
"""

from cistern.net import const

# RFC 7541 appendix A, one entry a line, name and value separated by a tab. One object, not 122.
_STATIC = (
    b"\n:authority\t\n:method\tGET\n:method\tPOST\n:path\t/\n:path\t/index.html\n:scheme\thttp\n"
    b":scheme\thttps\n:status\t200\n:status\t204\n:status\t206\n:status\t304\n:status\t400\n"
    b":status\t404\n:status\t500\naccept-charset\t\naccept-encoding\tgzip, deflate\n"
    b"accept-language\t\naccept-ranges\t\naccept\t\naccess-control-allow-origin\t\nage\t\nallow\t\n"
    b"authorization\t\ncache-control\t\ncontent-disposition\t\ncontent-encoding\t\n"
    b"content-language\t\ncontent-length\t\ncontent-location\t\ncontent-range\t\ncontent-type\t\n"
    b"cookie\t\ndate\t\netag\t\nexpect\t\nexpires\t\nfrom\t\nhost\t\nif-match\t\n"
    b"if-modified-since\t\nif-none-match\t\nif-range\t\nif-unmodified-since\t\nlast-modified\t\n"
    b"link\t\nlocation\t\nmax-forwards\t\nproxy-authenticate\t\nproxy-authorization\t\nrange\t\n"
    b"referer\t\nrefresh\t\nretry-after\t\nserver\t\nset-cookie\t\nstrict-transport-security\t\n"
    b"transfer-encoding\t\nuser-agent\t\nvary\t\nvia\t\nwww-authenticate\t\n"
)
_STATIC_LEN = const(61)

# RFC 7541 appendix B is a canonical code: within one length, codes count up in the order of this
# string; _COUNTS says how many symbols have 5, 6, … 30 bits. Position 256 is EOS.
_SYMBOLS = (
    b"012aceiost %-./3456789=A_bdfghlmnpru:BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz&*,;XZ!\"()?'+|#>\x00$@"
    b"[]~^}<`{\\\xc3\xd0\x80\x82\x83\xa2\xb8\xc2\xe0\xe2\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3"
    b"\xe5\xe6\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe"
    b"\xc4\xc6\xe4\xe8\xe9\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6"
    b"\xa8\xae\xaf\xb4\xb6\xb7\xbc\xbf\xc5\xe7\xef\t\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed"
    b"\xc7\xcf\xea\xeb\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff\xcb\xcc\xd3\xd4"
    b"\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe\x02\x03\x04\x05\x06\x07\x08\x0b"
    b"\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f\xdc\xf9\n\r\x16"
)
_COUNTS = (
    b"\n\x1a \x06\x00\x05\x03\x02\x06\x02\x03\0\0\0\x03\x08\r\x1a\x1d\x0c\x04\x0f\x13\x1d\0\x04"
)

# Every length and index of a block that a 4 KB bound lets through is below this; larger ones are
# refused before they can grow into big integers (section 5.1). 2^21 needs 4 continuation bytes.
_MAX_INT = const(1 << 21)
_ENTRY = const(32)  # what an entry counts beyond its name and value, section 4.1


class HpackError(ValueError):
    """A header block that breaks RFC 7541 or a limit; the connection is over (section 2.2)."""


def unhuffman(data):
    """Decode a Huffman string (section 5.2)."""
    out = bytearray()
    bits = have = 0
    for byte in data:
        bits = bits << 8 | byte
        have += 8
        while have >= 5:
            first = index = 0
            size = 5
            while size <= have:
                n = _COUNTS[size - 5]
                code = (bits >> (have - size)) - first
                if code < n:
                    break
                index += n
                first = (first + n) << 1
                size += 1
            else:
                break  # the rest of the code is in the next byte
            if index + code == 256:
                raise HpackError
            out.append(_SYMBOLS[index + code])
            have -= size
            bits &= (1 << have) - 1
    if have > 7 or bits != (1 << have) - 1:
        raise HpackError
    return bytes(out)


class Decoder:
    """Turns header blocks into lists of (name, value).

    table: SETTINGS_HEADER_TABLE_SIZE as announced to the peer, in bytes.
    limit: bound of a header list, counted as in RFC 9113, 6.5.2 (name + value + 32 a field).
    """

    def __init__(self, table=0, limit=4096):
        self._limit = limit
        self._allowed = self._size = table
        self._used = 0
        self._table = []  # newest first
        self._known = {}  # static entries met so far

    def skip(self):
        """A block is not decoded: only without a table does nothing depend on it."""
        if self._allowed:
            raise HpackError

    def _int(self, bits):
        """An integer with a prefix of `bits` bits (section 5.1) at the cursor."""
        mask = (1 << bits) - 1
        n = self._byte() & mask
        if n == mask:
            shift = 0
            b = 128
            while b > 127:
                b = self._byte()
                n += (b & 127) << shift
                if n > _MAX_INT or shift > 21:
                    raise HpackError
                shift += 7
        return n

    def _byte(self):
        if self._at >= len(self._block):
            raise HpackError
        self._at += 1
        return self._block[self._at - 1]

    def _string(self):
        coded = self._at < len(self._block) and self._block[self._at] & 128
        n = self._int(7)
        start = self._at
        self._at = start + n
        if self._at > len(self._block):
            raise HpackError
        s = self._block[start : self._at]
        return unhuffman(s) if coded else bytes(s)

    def _entry(self, index):
        """The field with this index in the address space of section 2.3.3."""
        if index > _STATIC_LEN:
            index -= _STATIC_LEN + 1
            if index < len(self._table):
                return self._table[index]
        elif index:
            field = self._known.get(index)
            if not field:
                at = 0
                for _ in range(index - 1):
                    at = _STATIC.find(b"\n", at + 1)
                name, value = _STATIC[at + 1 : _STATIC.find(b"\n", at + 1)].split(b"\t")
                field = self._known[index] = (name, value)
            return field
        raise HpackError

    def _resize(self, room):
        """Evict until at most `room` bytes are used (section 4.3)."""
        while self._used > room:
            name, value = self._table.pop()
            self._used -= len(name) + len(value) + _ENTRY

    def decode(self, block):
        """The header list of one complete block; None when it is above the limit."""
        self._block = block
        self._at = 0
        total = 0
        fields = []
        while self._at < len(block):
            b = block[self._at]
            if b >= 128:  # indexed field, section 6.1
                field = self._entry(self._int(7))
            elif b & 0xE0 == 0x20:  # size update, section 6.3: only at the start of a block (4.2)
                size = self._int(5)
                if total or size > self._allowed:
                    raise HpackError
                self._size = size
                self._resize(size)
                continue
            else:  # literal: 6.2.1 with indexing, 6.2.2 without, 6.2.3 never
                index = self._int(6 if b & 64 else 4)
                name = self._entry(index)[0] if index else self._string()
                field = (name, self._string())
            n = len(field[0]) + len(field[1]) + _ENTRY
            total += n
            if b & 0xC0 == 0x40:
                self._resize(max(0, self._size - n))  # an entry too large empties the table (4.4)
                if n <= self._size:
                    self._table.insert(0, field)
                    self._used += n
            if total <= self._limit:
                fields.append(field)
        self._block = None
        return fields if total <= self._limit else None


def _put_int(out, flags, bits, n):
    mask = (1 << bits) - 1
    if n < mask:
        out.append(flags | n)
        return
    out.append(flags | mask)
    n -= mask
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)


def _put_string(out, s):
    _put_int(out, 0, 7, len(s))
    out.extend(s)


def encode(out, fields):
    """Append the block of the (name, value) fields to the bytearray `out`.

    authorization is marked never-indexed, so that no hop stores it (section 7.1.3).
    """
    for name, value in fields:
        flags = 128
        bits = 7
        at = _STATIC.find(b"\n" + name + b"\t" + value + b"\n")
        if at < 0:
            at = _STATIC.find(b"\n" + name + b"\t")
            flags = 16 if name == b"authorization" else 0
            bits = 4
        _put_int(out, flags, bits, _STATIC.count(b"\n", 0, at + 1))  # 0 when at is -1
        if at < 0:
            _put_string(out, name)
        if not flags & 128:
            _put_string(out, value)
