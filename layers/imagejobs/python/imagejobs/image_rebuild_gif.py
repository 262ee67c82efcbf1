"""A GIF in a new file: GIF89a, and Netscape's extension for loops."""

import re
import struct

from PIL import Image

from imagejobs.image_rebuild_common import NotRebuildable

_BLOCK = re.compile(rb"[!,;]")
_CONTROL, _APPLICATION = 0xF9, 0xFF
_SUB_BLOCK_BYTES = 255
_END_CODE_BYTES = 2  # the end code, of at most 12 bits, may begin in the byte that completes the picture


def rebuild(body: bytes, _exif: bytes) -> bytes:
    """As `image_rebuild.rebuild`; `exif` is in TIFF form, and dropped, for there is no place for it."""
    table_end = 13 + _table_bytes(body[10])
    parts = [body[:12], b"\0", body[13:table_end]]
    loop = control = b""
    position = table_end
    frames = 0
    # Bytes between the blocks are skipped as Pillow skips them. Some files have no end mark.
    while (block := _BLOCK.search(body, position)) and block[0] != b";":
        position = block.end()
        if block[0] == b",":
            frame, position = _frame(body, position)
            parts += [loop, control, frame]
            loop = control = b""
            frames += 1
            continue
        label = body[position]
        blocks, position = _sub_blocks(body, position + 1)
        if label == _CONTROL:
            if control:
                raise NotRebuildable("A frame of the GIF has two controls.")
            control = _control(blocks)
        elif label == _APPLICATION:
            loop = _loop(blocks) or loop
    if not frames:
        raise NotRebuildable("The GIF has no frame.")
    return b"".join([*parts, block[0] if block else b""])


def _table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _sub_blocks(body: bytes, position: int) -> tuple[list[bytes], int]:
    """Return the sub-blocks that begin at a position, and the position behind their end mark."""
    blocks = []
    while length := body[position]:
        blocks.append(body[position + 1 : position + 1 + length])
        position += 1 + length
    return blocks, position + 1


def _control(blocks: list[bytes]) -> bytes:
    flags, delay, transparent = struct.unpack("<BHB", blocks[0])
    return struct.pack("<3sBHBB", b"!\xf9\4", flags & 0x1F, delay, transparent, 0)


def _loop(blocks: list[bytes]) -> bytes:
    match blocks:
        case [b"NETSCAPE2.0", bytes(data), *_] if len(data) >= 3 and data[0] == 1:
            return b"!\xff\x0bNETSCAPE2.0\3\1" + data[1:3] + b"\0"
    return b""


def _frame(body: bytes, position: int) -> tuple[bytes, int]:
    left_top, width, height, flags = struct.unpack_from("<4sHHB", body, position)
    table_end = position + 9 + _table_bytes(flags)
    blocks, end = _sub_blocks(body, table_end + 1)
    code_bits = body[table_end]
    data = b"".join(blocks)
    data = data[: _data_bytes(data, (width, height), code_bits)]
    header = b"," + left_top + struct.pack("<HHB", width, height, flags & 0xE7)
    coded = [bytes((len(block),)) + block for block in _pieces(data, _SUB_BLOCK_BYTES)]
    return b"".join([header, body[position + 9 : table_end], bytes((code_bits,)), *coded, b"\0"]), end


def _pieces(data: bytes, most_bytes: int) -> list[bytes]:
    return [data[start : start + most_bytes] for start in range(0, len(data), most_bytes)]


def _data_bytes(data: bytes, size: tuple[int, int], code_bits: int) -> int:
    """Return after how many bytes the picture and its end code are complete."""
    blocks = _pieces(data, _SUB_BLOCK_BYTES)
    last = _last_piece(blocks, size, code_bits)
    # Once more with the last block byte by byte, for the decoder does not say where in it the end was.
    byte = _last_piece([*blocks[:last], *_pieces(blocks[last], 1)], size, code_bits) - last
    return last * _SUB_BLOCK_BYTES + byte + 1 + _END_CODE_BYTES


def _last_piece(pieces: list[bytes], size: tuple[int, int], code_bits: int) -> int:
    """Return the index of the piece that completes the picture."""
    canvas = Image.new("L", size)
    decoder = Image._getdecoder("L", "gif", (code_bits, 0, -1))
    decoder.setimage(canvas.im, (0, 0, *size))
    for index, piece in enumerate(pieces):
        taken, error = decoder.decode(bytes((len(piece),)) + piece)
        if error:
            break
        if taken < 0:
            return index
    raise NotRebuildable("A frame of the GIF is damaged.")
