"""Small ICC profiles of version 2, written by hand, so that no third party's profile has to be committed."""

import struct

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
"""White of the profile connection space."""

# Primaries adapted to D50, as the profiles in the wild have them.
ADOBE_RGB = [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]
SRGB = [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)]


def fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def xyz(values) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(fixed(value) for value in values)


def gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256)) + b"\0\0"


def curve(samples) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">I", len(samples)) + np.asarray(samples, ">u2").tobytes()


def text(words: str) -> bytes:
    return b"text\0\0\0\0" + words.encode() + b"\0"


def description(words: str) -> bytes:
    ascii_words = words.encode() + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(ascii_words)) + ascii_words + bytes(4 + 4 + 2 + 1 + 67)


def profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": description("hand-made"), b"cprt": text("none"), b"wtpt": xyz(D50), **tags}
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI4s4s4s", start + len(body), bytes(4), 0x02400000, kind, space, connection)
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + b"".join(map(fixed, D50))
    return header.ljust(128, b"\0") + table + body


def matrix(primaries, tone: bytes) -> bytes:
    columns = {name: xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries)}
    tones = {name: tone for name in (b"rTRC", b"gTRC", b"bTRC")}
    return profile(b"mntr", b"RGB ", b"XYZ ", columns | tones)


def adobe_rgb() -> bytes:
    """A wide gamut with gamma 2.2."""
    return matrix(ADOBE_RGB, gamma(2.19921875))


def srgb_by_table() -> bytes:
    """sRGB with its curve as a table, as old cameras have it."""
    x = np.linspace(0, 1, 1024)
    linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return matrix(SRGB, curve(np.round(65535 * linear)))


def linear_grey() -> bytes:
    return profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": gamma(1.0)})


def inks() -> bytes:
    """Four inks on yellowish paper, from the 16 corners of the cube. Each ink adds its own shift of the colour, so
    that every way of interpolating between the corners gives the same."""
    identity = bytes(range(256))
    corners = b""
    for corner in range(16):
        cyan, magenta, yellow, black = (corner >> shift & 1 for shift in (3, 2, 1, 0))
        light = 95 - 20 * cyan - 25 * magenta - 5 * yellow - 40 * black
        a = -1 - 30 * cyan + 55 * magenta - 5 * yellow
        b = 5 - 40 * cyan - 5 * magenta + 70 * yellow
        corners += bytes([round(light * 2.55), a + 128, b + 128])
    unit = b"".join(fixed(float(row == column)) for row in range(3) for column in range(3))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + unit + identity * 4 + corners + identity * 3
    return profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})
