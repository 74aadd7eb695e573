"""Bytes that rot on a disk behind a server's back."""

import anycrc

CRC = anycrc.Model("CRC32C")


def rot(volumes, body, *, unnoticed=True):
    """Flip one bit of a body in the volume files of SeaweedFS, in the first piece that holds its beginning.

    Args:
        volumes: The files.
        body: Random bytes: found by how they begin.
        unnoticed: Make the piece's checksum fit, so that the server gives the bytes out as if nothing had happened;
            otherwise it gives out none.
    """
    for file in volumes:
        data = file.read_bytes()
        at = data.find(body[:512])
        if at < 0:
            continue
        size = int.from_bytes(data[at - 4 : at])  # of the piece, before its bytes
        piece = bytearray(data[at : at + size])
        sum_at = data.index(CRC.calc(bytes(piece)).to_bytes(4), at + size, at + size + 400)
        piece[size // 2] ^= 1
        with file.open("r+b") as opened:
            opened.seek(at)
            opened.write(piece)
            if unnoticed:
                opened.seek(sum_at)
                opened.write(CRC.calc(bytes(piece)).to_bytes(4))
        return
    raise AssertionError("no volume holds these bytes")
