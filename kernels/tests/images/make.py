"""Small image files of every kind that is decoded, and what Pillow (with littleCMS) makes of them.

Run it in an environment with ../../../tests/fixtures/requirements.txt: `python make.py`. It writes the files,
`expected/*.png`, and `cases.json`: per file the largest allowed difference in levels of 255, and the warnings.
"""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

import profiles

HERE = Path(__file__).parent
WIDTH, HEIGHT = 44, 27
WHITE = (255, 255, 255, 255)

# Decoders of lossy formats are free in the last bits of the transform and in upsampling chroma.
EXACT, JPEG, WEBP, PROFILE = 0, 6, 3, 2

IGNORED, OVER_WHITE, FIRST_FRAME = "profile_ignored", "laid_over_white", "first_frame_only"


def picture() -> np.ndarray:
    """Smooth colours and one dark bar, different in every corner."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    pixels = np.stack([250 * x // WIDTH, 250 * y // HEIGHT, 200 - 180 * (x + y) // (WIDTH + HEIGHT)], axis=-1)
    pixels[4:10, 6:30] = (30, 40, 60)
    return pixels.astype(np.uint8)


RGB = Image.fromarray(picture())
ALPHA = Image.fromarray(np.broadcast_to(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, WIDTH)))
RGBA = Image.merge("RGBA", (*RGB.split(), ALPHA))

cases = []


def case(name: str, data: bytes, tolerance: int, warnings=(), expected: Image.Image | None = None) -> None:
    """Notes a file. Unless given, `expected` is what Pillow decodes: upright and over white."""
    (HERE / name).write_bytes(data)
    if expected is None:
        opened = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        if "A" in opened.getbands() or "transparency" in opened.info:
            opened = opened.convert("RGBA")
            opened = Image.alpha_composite(Image.new("RGBA", opened.size, WHITE), opened)
        expected = opened.convert("RGB")
    reference = f"expected/{Path(name).stem}-{Path(name).suffix[1:]}.png"
    (HERE / "expected").mkdir(exist_ok=True)
    expected.save(HERE / reference, optimize=True)
    cases.append({"file": name, "expected": reference, "tolerance": tolerance, "warnings": list(warnings)})


def saved(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def managed(image: Image.Image, profile: bytes) -> Image.Image:
    """The image in sRGB, by littleCMS; relative, because its perceptual intent also moves the black point."""
    source, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    return ImageCms.profileToProfile(image, source, srgb, renderingIntent=intent, outputMode="RGB")


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def png16(pixels: np.ndarray) -> bytes:
    """A PNG file of 16-bit RGB, which Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    )


def ycck(image: Image.Image) -> bytes:
    """A JPEG file in Adobe's YCCK, which Pillow does not write: the inks as luma and chroma under a changed flag."""
    cyan, magenta, yellow, black = image.split()
    luma = Image.merge("RGB", (cyan, magenta, yellow)).convert("YCbCr")
    upside_down = [ImageOps.invert(channel) for channel in luma.split()]
    data = saved(Image.merge("CMYK", (*upside_down, black)), "JPEG", quality=95)
    transform = data.index(b"Adobe") + 11
    return data[:transform] + b"\2" + data[transform + 1 :]


def png_cases() -> None:
    case("rgb.png", saved(RGB, "PNG"), EXACT)
    case("rgba.png", saved(RGBA, "PNG"), EXACT, [OVER_WHITE])
    case("grey.png", saved(RGB.convert("L"), "PNG"), EXACT)
    case("bilevel.png", saved(RGB.convert("1"), "PNG"), EXACT)
    case("grey-alpha.png", saved(Image.merge("LA", (RGB.convert("L"), ALPHA)), "PNG"), EXACT, [OVER_WHITE])
    palette = RGB.quantize(16)
    case("palette.png", saved(palette, "PNG"), EXACT)
    case("palette-transparent.png", saved(palette, "PNG", transparency=3), EXACT, [OVER_WHITE])
    sixteen = picture().astype(np.uint16) * 257
    sixteen[::2] += 100
    nearest = np.round(sixteen / 257).astype(np.uint8)
    case("rgb16.png", png16(sixteen), EXACT, expected=Image.fromarray(nearest))
    for orientation in range(1, 9):
        case(f"turned-{orientation}.png", saved(RGB, "PNG", exif=turned(orientation)), EXACT)


def jpeg_cases() -> None:
    case("baseline.jpg", saved(RGB, "JPEG", quality=90), JPEG)
    case("progressive.jpg", saved(RGB, "JPEG", quality=90, progressive=True, subsampling=0), JPEG)
    case("restarts.jpg", saved(RGB, "JPEG", quality=90, restart_marker_blocks=1), JPEG)
    case("grey.jpg", saved(RGB.convert("L"), "JPEG", quality=90), JPEG)
    case("turned.jpg", saved(RGB, "JPEG", quality=90, exif=turned(6)), JPEG)
    inks = RGB.convert("CMYK")
    black = Image.fromarray(np.broadcast_to(np.linspace(0, 120, WIDTH).astype(np.uint8), (HEIGHT, WIDTH)))
    inks = Image.merge("CMYK", (*inks.split()[:3], black))
    case("inks.jpg", saved(inks, "JPEG", quality=95), JPEG)
    case("ycck.jpg", ycck(inks), JPEG)
    profile = profiles.inks()
    data = saved(inks, "JPEG", quality=95, icc_profile=profile)
    case("inks-profile.jpg", data, JPEG, expected=managed(Image.open(io.BytesIO(data)), profile))


def webp_cases() -> None:
    case("lossy.webp", saved(RGB, "WEBP", quality=90), WEBP)
    case("lossless.webp", saved(RGB, "WEBP", lossless=True), EXACT)
    case("lossless-alpha.webp", saved(RGBA, "WEBP", lossless=True, exact=True), EXACT, [OVER_WHITE])
    case("lossy-alpha.webp", saved(RGBA, "WEBP", quality=90), WEBP, [OVER_WHITE])
    case("turned.webp", saved(RGB, "WEBP", lossless=True, exif=turned(8)), EXACT)
    frames = [ImageOps.invert(RGB)]
    data = saved(RGB, "WEBP", lossless=True, save_all=True, append_images=frames, duration=100)
    case("animated.webp", data, EXACT, [FIRST_FRAME], expected=RGB)


def profile_cases() -> None:
    wide, srgb, grey = profiles.adobe_rgb(), profiles.srgb_by_table(), profiles.linear_grey()
    case("wide.png", saved(RGB, "PNG", icc_profile=wide), PROFILE, expected=managed(RGB, wide))
    case("wide.webp", saved(RGB, "WEBP", lossless=True, icc_profile=wide), PROFILE, expected=managed(RGB, wide))
    data = saved(RGB, "JPEG", quality=95, subsampling=0, icc_profile=wide)
    case("wide.jpg", data, JPEG, expected=managed(Image.open(io.BytesIO(data)), wide))
    case("srgb.png", saved(RGB, "PNG", icc_profile=srgb), EXACT, expected=RGB)
    luma = RGB.convert("L")
    case("grey-profile.png", saved(luma, "PNG", icc_profile=grey), PROFILE, expected=managed(luma, grey))
    expected = managed(luma.convert("RGB"), wide)
    case("grey-wide.png", saved(luma, "PNG", icc_profile=wide), PROFILE, expected=expected)
    case("broken-profile.png", saved(RGB, "PNG", icc_profile=b"not a profile" * 20), EXACT, [IGNORED], expected=RGB)
    case("wrong-profile.png", saved(RGB, "PNG", icc_profile=grey), EXACT, [IGNORED], expected=RGB)


def main() -> None:
    png_cases()
    jpeg_cases()
    webp_cases()
    profile_cases()
    rows = ",\n".join("  " + json.dumps(row) for row in cases)
    (HERE / "cases.json").write_text(f"[\n{rows}\n]\n")


if __name__ == "__main__":
    main()
