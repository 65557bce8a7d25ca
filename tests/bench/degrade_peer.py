"""KADID-10k's kinds of degradation with Pillow, scipy and numpy: one JSON line of megapixels per second.

Only operations that these libraries do in a natural way. Each takes an RGB picture of bytes and returns one. Strengths
are moderate; cost depends on them only where the parameters are printed.
"""

import argparse
import inspect
import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
import scipy
from PIL import Image, ImageEnhance, ImageFilter, features
from scipy import ndimage, signal

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


def to_bytes(values: np.ndarray) -> np.ndarray:
    """From 0..1 to bytes, rounded."""
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)


def to_unit(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float32) / 255


def per_channel(picture: np.ndarray, operation) -> np.ndarray:
    values = to_unit(picture)
    return to_bytes(np.stack([operation(values[..., channel]) for channel in range(3)], axis=-1))


def gaussian_blur(picture, rng, sigma=2.0):
    return per_channel(picture, lambda plane: ndimage.gaussian_filter(plane, sigma, mode="nearest"))


def gaussian_blur_pillow(picture, rng, sigma=2.0):
    """Pillow's own: three box blurs."""
    return np.array(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma)))


def lens_blur(picture, rng, radius=4):
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = (x * x + y * y <= radius * radius).astype(np.float32)
    disc /= disc.sum()
    return per_channel(
        picture, lambda plane: signal.fftconvolve(np.pad(plane, radius, mode="edge"), disc, mode="valid")
    )


def motion_blur(picture, rng, length=9):
    """Along the rows."""
    return per_channel(picture, lambda plane: ndimage.uniform_filter1d(plane, length, axis=1, mode="nearest"))


def coded(picture, **options):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, **options)
    return np.array(Image.open(file))


def jpeg(picture, rng, quality=24):
    return coded(picture, format="JPEG", quality=quality)


def jpeg2000(picture, rng, ratio=45):
    return coded(picture, format="JPEG2000", quality_mode="rates", quality_layers=[ratio], irreversible=True)


def white_noise(picture, rng, variance=0.003):
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    return to_bytes(to_unit(picture) + noise * np.float32(variance**0.5))


def impulse_noise(picture, rng, density=0.01):
    out = picture.copy()
    draw = rng.random(picture.shape, dtype=np.float32)
    out[draw < density / 2] = 0
    out[draw > 1 - density / 2] = 255
    return out


def multiplicative_noise(picture, rng, variance=0.01):
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    return to_bytes(to_unit(picture) * (1 + noise * np.float32(variance**0.5)))


def toned(picture, curve):
    """Through a table of 256 entries."""
    return to_bytes(curve(np.linspace(0, 1, 256)))[picture]


TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]], np.float32
)
WHITE = np.array([0.95047, 1.0, 1.08883], np.float32)
KNEE = np.float32(6 / 29)


def lab_of(picture: np.ndarray) -> np.ndarray:
    """CIE L*a*b* under D65, as scikit-image computes it."""
    byte = np.arange(256) / 255
    linear = np.where(byte <= 0.04045, byte / 12.92, ((byte + 0.055) / 1.055) ** 2.4).astype(np.float32)
    xyz = linear[picture] @ TO_XYZ.T / WHITE
    f = np.where(xyz > KNEE**3, np.cbrt(xyz), xyz / (3 * KNEE**2) + np.float32(4 / 29))
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def srgb_of(lab: np.ndarray) -> np.ndarray:
    """The inverse, 0..1, clipped to the gamut."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f > KNEE, f**3, 3 * KNEE**2 * (f - np.float32(4 / 29))) * WHITE
    linear = np.clip(xyz @ np.linalg.inv(TO_XYZ).T.astype(np.float32), 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** np.float32(1 / 2.4) - 0.055)


def lifted(value, amount):
    """The parabola through black, white and a lifted mid-grey."""
    middle = 0.5 + amount / 2
    return np.clip((2 - 4 * middle) * value * value + (4 * middle - 1) * value, 0, 1)


def brighten(picture, rng, amount=0.4):
    """KADID's: two thirds of the curve on sRGB, one third of the same on lightness."""
    lab = lab_of(picture)
    lab[..., 0] = 100 * lifted(lab[..., 0] / 100, amount)
    table = lifted(np.linspace(0, 1, 256, dtype=np.float32), amount)
    return to_bytes((2 * table[picture] + srgb_of(lab)) / 3)


def darken(picture, rng, amount=0.2):
    return toned(picture, lambda value: value ** (1 + amount))


def mean_shift(picture, rng, amount=0.08):
    return toned(picture, lambda value: value + amount)


def contrast(picture, rng, factor=0.6):
    return np.array(ImageEnhance.Contrast(Image.fromarray(picture)).enhance(factor))


def saturation_hsv(picture, rng, factor=0.4):
    hsv = np.array(Image.fromarray(picture).convert("HSV"))
    hsv[..., 1] = (hsv[..., 1] * np.float32(factor)).astype(np.uint8)
    return np.array(Image.fromarray(hsv, mode="HSV").convert("RGB"))


def quantization(picture, rng, levels=13):
    return toned(picture, lambda value: np.round(value * (levels - 1)) / (levels - 1))


def color_quantization(picture, rng, colors=32):
    return np.array(Image.fromarray(picture).quantize(colors, dither=Image.Dither.NONE).convert("RGB"))


def pixelate(picture, rng, block=5):
    image = Image.fromarray(picture)
    small = image.resize((max(1, image.width // block), max(1, image.height // block)), Image.Resampling.BOX)
    return np.array(small.resize(image.size, Image.Resampling.NEAREST))


def unsharp(picture, rng, sigma=3.0, amount=3.0):
    """KADID's (MATLAB's `imsharpen`): of the lightness alone."""
    lab = lab_of(picture)
    lightness = lab[..., 0]
    blurred = ndimage.gaussian_filter(lightness, sigma, mode="nearest")
    lab[..., 0] = np.clip(lightness + amount * (lightness - blurred), 0, 100)
    return to_bytes(srgb_of(lab))


OPERATIONS = [
    gaussian_blur, gaussian_blur_pillow, lens_blur, motion_blur, jpeg, jpeg2000, white_noise, impulse_noise,
    multiplicative_noise, brighten, darken, mean_shift, contrast, saturation_hsv, quantization, color_quantization,
    pixelate, unsharp,
]  # fmt: skip


def strengths(operation) -> dict:
    """Its parameters beyond the picture and the generator."""
    parameters = list(inspect.signature(operation).parameters.values())[2:]
    return {parameter.name: parameter.default for parameter in parameters}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--threads", type=int, default=1, help="pictures handled at a time")
    parser.add_argument("--seconds", type=float, default=2.0, help="least time spent on each operation")
    parser.add_argument("--only", nargs="*", help="names of operations")
    return parser.parse_args()


def rate(operation, pictures: list[np.ndarray], pool: ThreadPoolExecutor, least_seconds: float) -> float:
    """Megapixels per second over as many rounds of all pictures as fill the time, after one to warm up."""

    def run(job):
        number, picture = job
        result = operation(picture, np.random.default_rng(number))
        assert result.shape == picture.shape and result.dtype == np.uint8

    jobs = list(enumerate(pictures))
    list(pool.map(run, jobs))
    pixels, begun = 0, time.perf_counter()
    while (seconds := time.perf_counter() - begun) < least_seconds:
        list(pool.map(run, jobs))
        pixels += sum(picture.shape[0] * picture.shape[1] for picture in pictures)
    return pixels / seconds / 1e6


def main() -> None:
    options = arguments()
    paths = sorted(path for path in options.images.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise SystemExit(f"no pictures in {options.images}")
    pictures = [np.array(Image.open(path).convert("RGB")) for path in paths]
    chosen = [op for op in OPERATIONS if not options.only or op.__name__ in options.only]
    if not features.check("jpg_2000"):
        chosen = [op for op in chosen if op is not jpeg2000]

    with ThreadPoolExecutor(options.threads) as pool:
        rates = {op.__name__: round(rate(op, pictures, pool, options.seconds), 3) for op in chosen}
    print(
        json.dumps(
            {
                "peer": f"Pillow {PIL.__version__}, scipy {scipy.__version__}, numpy {np.__version__}",
                "threads": options.threads,
                "images": len(pictures),
                "megapixels": sum(picture.shape[0] * picture.shape[1] for picture in pictures) / 1e6,
                "parameters": {op.__name__: strengths(op) for op in chosen},
                "megapixels_per_second": rates,
            }
        )
    )


if __name__ == "__main__":
    main()
