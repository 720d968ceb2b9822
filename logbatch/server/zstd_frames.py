"""Look over a zstd body before it is inflated: what its frames say that inflating them takes.

The library reserves the window that a frame's header asks for, of up to 128 MiB, and begins anew
with each frame, of which nine bytes are one.  So the headers of frames and blocks are walked over
here; what is inside a block is left to the library.

Source: https://www.rfc-editor.org/rfc/rfc8878 (the format) and
https://www.rfc-editor.org/rfc/rfc9659 (the largest window over HTTP)
"""

from __future__ import annotations

from logbatch.server.limits import Refusal

WINDOW = 8 << 20
"""Bytes: a larger window need not be taken over HTTP."""

_FRAMES = 1000
_BLOCKS = 100_000  # each holds up to 128 KiB
_MAGIC = 0xFD2FB528
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)
_ID_SIZES = (0, 1, 2, 4)  # bytes of the number of a dictionary
_RLE = 1  # a block of one byte, repeated


def check_frames(data: bytes) -> None:
    """Check that inflating a body takes no more than it may.

    Raises:
        Refusal: A window is too large, or there are too many frames or blocks (413); or they are
            cut off, or something else (400).
    """
    at, frames, blocks = 0, 0, 0
    while at < len(data):
        frames += 1
        if frames > _FRAMES:
            raise Refusal(413, f"the body has more than {_FRAMES} frames of zstd")
        magic = _number(data, at, 4)
        if magic in _SKIPPABLE:
            at += 8 + _number(data, at + 4, 4)
        elif magic == _MAGIC:
            at, more = _pass_frame(data, at + 4, _BLOCKS - blocks)
            blocks += more
        else:
            raise Refusal(400, "the body is not the zstd that it is said to be")
    if at > len(data):
        raise _cut_off()


def _pass_frame(data: bytes, at: int, most: int) -> tuple[int, int]:
    """Return where a frame ends, and how many blocks it has."""
    descriptor = _number(data, at, 1)
    at = _pass_header(data, at + 1, descriptor)
    for blocks in range(1, most + 1):
        header = _number(data, at, 3)
        size = 1 if header >> 1 & 3 == _RLE else header >> 3
        at += 3 + size
        if header & 1:  # the last one
            return at + (4 if descriptor & 4 else 0), blocks
    raise Refusal(413, f"the body has more than {_BLOCKS} blocks of zstd")


def _pass_header(data: bytes, at: int, descriptor: int) -> int:
    """Return where a frame's first block begins."""
    single, size_flag = descriptor & 32, descriptor >> 6
    window = 0
    if not single:
        exponent, mantissa = divmod(_number(data, at, 1), 8)
        window = (1 << 10 + exponent) * (8 + mantissa) // 8
        at += 1
    at += _ID_SIZES[descriptor & 3]
    length = 1 << size_flag if size_flag or single else 0
    if single:  # all that the frame holds is its window
        window = _number(data, at, length) + (256 if length == 2 else 0)
    if window > WINDOW:
        raise Refusal(413, f"a window of zstd is larger than {WINDOW} bytes")
    return at + length


def _number(data: bytes, at: int, length: int) -> int:
    if at + length > len(data):
        raise _cut_off()
    return int.from_bytes(data[at : at + length], "little")


def _cut_off() -> Refusal:
    return Refusal(400, "the compressed body is cut off")
