"""The bytes of a ZIP file around its members, of which there is one form only.

Members lie one after the other, uncompressed, of any size (ZIP64 always), dated 1980, and the list of
them follows.  Since names, sizes and checksums determine every other byte, a reader needs no ZIP parser:
it writes these bytes again and compares.  Bombs, members that overlap, are listed twice or are hidden
are then impossible.

Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3.
"""

import struct
from itertools import accumulate

BEGINNING = b"PK\x03\x04"
NEEDS = 45  # the version that has ZIP64
MADE_BY = 3 << 8 | NEEDS  # Unix, for the permissions below
UTF8, STORED, MIDNIGHT, DAY = 0x800, 0, 0, 1 << 5 | 1  # the first day that ZIP has
PERMISSIONS = 0o100644 << 16
ELSEWHERE = 0xFFFFFFFF  # a size or place that stands in the ZIP64 field


def local(name, size, crc):
    """What stands before the member ``name`` of ``size`` bytes with the CRC-32 ``crc``."""
    field = struct.pack("<2H2Q", 1, 16, size, size)
    head = (NEEDS, UTF8, STORED, MIDNIGHT, DAY, crc, ELSEWHERE, ELSEWHERE, len(name.encode()), len(field))
    return BEGINNING + struct.pack("<5H3L2H", *head) + name.encode() + field


def size_told(data, name):
    """The size that the header at the start of ``data`` gives the member ``name``, and where that starts."""
    start = len(local(name, 0, 0))
    return int.from_bytes(data[start - 8 : start], "little"), start


def closing(members, comment):
    """What follows the ``members``, (name, size, crc) each, up to a comment of ``comment`` bytes."""
    lengths = [len(local(*member)) + member[1] for member in members]
    *places, end = accumulate(lengths, initial=0)
    listed = b"".join(_listed(*member, place) for member, place in zip(members, places, strict=True))
    count = len(members)
    whole = struct.pack("<Q2H2L4Q", 44, MADE_BY, NEEDS, 0, 0, count, count, len(listed), end)
    where = struct.pack("<LQL", 0, end + len(listed), 1)
    last = struct.pack("<4H2LH", 0, 0, 0xFFFF, 0xFFFF, ELSEWHERE, ELSEWHERE, comment)
    return listed + b"PK\x06\x06" + whole + b"PK\x06\x07" + where + b"PK\x05\x06" + last


def _listed(name, size, crc, place):
    field = struct.pack("<2H3Q", 1, 24, size, size, place)
    head = (MADE_BY, NEEDS, UTF8, STORED, MIDNIGHT, DAY, crc, ELSEWHERE, ELSEWHERE)
    tail = (len(name.encode()), len(field), 0, 0, 0, PERMISSIONS, ELSEWHERE)
    return b"PK\x01\x02" + struct.pack("<6H3L5H2L", *head, *tail) + name.encode() + field
