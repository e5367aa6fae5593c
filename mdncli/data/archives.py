"""Compressed text, unpacked while it is read: gzip, bzip2, xz, and ZIP archives of one file.

Memory is bounded whatever an archive claims to hold. Text in UTF-16 is turned into UTF-8 likewise.
"""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NoReturn, cast

from mdncli.data.formats import peeked
from mdncli.data.naming import quote
from mdncli.errors import DataError

_GZIP, _BZIP2, _XZ, _ZIP = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", (b"PK\x03\x04", b"PK\x05\x06")
_SUFFIXES = {"gzip": ".gz", "bzip2": ".bz2", "xz": ".xz", "ZIP": ".zip"}
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_DAMAGED = (
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    struct.error,
    LookupError,
    MemoryError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""Errors that the standard library raises for damaged archives; `OSError` is another."""

_CHUNK = 1 << 16
_SHOWN = 4


class Unpacked:
    """Text of a stream, without its compression and in UTF-8.

    Args:
        stream: the bytes of the file.
        source: its name in messages.

    Raises:
        DataError: as `readinto` does, or a ZIP archive holds other than one file.
    """

    def __init__(self, stream: BinaryIO, source: str) -> None:
        self._source = source
        self._what = ""
        with self._blamed():
            self._stream = self._plain(stream, peeked(stream, len(_XZ)))
            if peeked(self._stream, 2) in _UTF_16:
                self._stream = cast(BinaryIO, _Utf16(self._stream))

    @property
    def compressed(self) -> bool:
        """True if the file is compressed."""
        return bool(self._what)

    @property
    def suffix(self) -> str:
        """The suffix of its compression, such as `.gz`; empty without any."""
        return _SUFFIXES.get(self._what, "")

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer as far as the next bytes do; returns their number, 0 at the end.

        Raises:
            DataError: the file is damaged or truncated.
        """
        with self._blamed():
            return cast(io.BufferedIOBase, self._stream).readinto(buffer)

    def _plain(self, stream: BinaryIO, magic: bytes) -> BinaryIO:
        if magic.startswith(_GZIP):
            self._what = "gzip"
            return cast(BinaryIO, gzip.GzipFile(fileobj=stream))
        if magic[:4].startswith(_BZIP2) and magic[3:4].isdigit():
            self._what = "bzip2"
            return cast(BinaryIO, bz2.BZ2File(stream))
        if magic.startswith(_XZ):
            self._what = "xz"
            return cast(BinaryIO, lzma.LZMAFile(stream))
        if magic.startswith(_ZIP):
            self._what = "ZIP"
            return self._member(stream)
        return stream

    def _member(self, stream: BinaryIO) -> BinaryIO:
        """Open the only file of a ZIP archive."""
        if not stream.seekable():
            raise DataError(f"{self._source}: a ZIP archive in a pipe", hint="unpack it first")
        archive = zipfile.ZipFile(stream)
        names = [name for name in archive.namelist() if not _is_aside(name)]
        if "[Content_Types].xml" in names:
            self._refuse("an Office document, such as Excel", "rename it to end in .xlsx")
        if "mimetype" in names:
            self._refuse("an OpenDocument file", "save it as .xlsx or .csv")
        if any(name.endswith(".npy") for name in names):
            self._refuse("NPZ", "rename it to end in .npz")
        if len(names) != 1:
            more = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
            listed = ", ".join([*map(quote, names[:_SHOWN]), *more])
            held = f"{len(names)} files: {listed}" if names else "no file"
            self._refuse(f"a ZIP archive of {held}", "unpack the one to read")
        try:
            return cast(BinaryIO, archive.open(names[0]))
        except RuntimeError:
            self._refuse("a ZIP archive with a password or a rare compression", "unpack it first")

    def _refuse(self, what: str, hint: str) -> NoReturn:
        raise DataError(f"{self._source}: holds {what}, not a text table", hint=hint)

    @contextlib.contextmanager
    def _blamed(self) -> Iterator[None]:
        try:
            yield
        except EOFError:
            fault = f"{self._source}: truncated {self._what} file"
            raise DataError(fault, hint="copy it again") from None
        except UnicodeDecodeError:
            raise DataError(f"{self._source}: damaged text in UTF-16") from None
        except _DAMAGED:
            raise DataError(f"{self._source}: damaged {self._what} file") from None
        except OSError as error:
            # gzip and bzip2 report their content so, without a number of the system.
            if error.errno is not None:
                raise
            raise DataError(f"{self._source}: damaged {self._what} file") from None


def _is_aside(name: str) -> bool:
    """True for a folder, and for notes that systems add to archives."""
    return name.endswith(("/", ".DS_Store")) or name.startswith("__MACOSX/")


class _Utf16(io.RawIOBase):
    """A stream of UTF-16 with a byte order mark, read as UTF-8."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-16")()
        self._held = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer, /) -> int:
        while not self._held and not self._ended:
            chunk = self._stream.read(_CHUNK)
            self._ended = not chunk
            self._held = self._decoder.decode(chunk, final=self._ended).encode()
        with memoryview(buffer) as view:
            count = min(len(view), len(self._held))
            view[:count] = self._held[:count]
        self._held = self._held[count:]
        return count
