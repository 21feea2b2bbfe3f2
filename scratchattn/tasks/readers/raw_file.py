"""The bytes of a file, plain or gz, and the text in them; what is damaged is named with its place."""

import os
import zlib

MOST = 2**30  # bytes that a file may unpack to: ten times what any data set here has
CHUNK = 2**16


class Damaged(ValueError):
    """A file that is damaged, truncated or of another format; the message names the file and the place."""


def contents(path, most=MOST):
    """The bytes of the file at ``path``, unpacked if they are a gz stream, whatever the file is called.

    TypeError if ``path`` is no path, OSError if it cannot be read, Damaged if the stream is broken or
    has more than ``most`` bytes.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"contents: path must be a path, got {type(path).__name__}")
    with open(path, "rb") as file:
        data = file.read(most + 1)
    return unpacked(data, os.fspath(path), most)


def unpacked(data, name, most=MOST):
    """``data``, or what it unpacks to if it is a gz stream of one or more members."""
    if not data.startswith(b"\x1f\x8b"):
        if len(data) > most:
            raise Damaged(f"{name}: it has more than {most:,} bytes, the most that is read")
        return data
    pieces, size, at, stream = [], 0, 0, zlib.decompressobj(wbits=31)
    while True:
        if stream.eof:
            at -= len(stream.unused_data)
            if not data[at:].strip(b"\0"):  # some writers pad with zeros
                return b"".join(pieces)
            stream = zlib.decompressobj(wbits=31)
        chunk = data[at : at + CHUNK]
        if not chunk:
            raise Damaged(
                f"{name}, byte {len(data)}: the gz stream ends early, after {size:,} unpacked bytes"
            )
        try:
            piece = stream.decompress(chunk, most + 1 - size)
        except zlib.error as wrong:
            raise Damaged(f"{name}, near byte {at}: the gz stream is damaged: {wrong}") from wrong
        at += len(chunk)
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise Damaged(
                f"{name}, near byte {at}: it unpacks to more than {most:,} bytes, the most that is read"
            )


def text_of(data, name):
    """``data`` as UTF-8 without its byte-order mark, lines ended by ``\\n``; Damaged if it is no text."""
    nul = data.find(b"\0")
    if nul >= 0:
        raise Damaged(f"{name}, line {_line(data, nul)}, byte {nul}: a zero byte: this is no text")
    try:
        return data.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as wrong:
        at = wrong.start
        place = f"{name}, line {_line(data, at)}, byte {at}"
        raise Damaged(f"{place}: 0x{data[at]:02x} is not UTF-8 here ({wrong.reason})") from None


def lines_of(text):
    """The lines of ``text``, without their ends.

    Not ``splitlines``, which also splits at U+2028, form feeds and the like: these are inside sentences
    of real corpora, and two files of one length would come apart.
    """
    lines = text.split("\n")
    return lines[:-1] if not lines[-1] else lines


def _line(data, at):
    return data.count(b"\n", 0, at) + 1
