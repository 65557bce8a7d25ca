"""Distorts pristine photographs with Pillow and ImageMagick, for `qponder dataset proxy` to label.

Twelve kinds that our own degradations have too, each at five levels, so that a model which learned from ours
can be judged on the same kinds by other hands. Strengths are chosen so that the levels' mean proxies lie near
those of our levels; they are not tuned on any model."""

import argparse
import json
import random
import subprocess
from pathlib import Path

from PIL import Image, ImageEnhance, ImageFilter


def pillow_jpeg(image, level, out):
    image.save(out.with_suffix(".jpg"), quality=[43, 36, 24, 10, 5][level - 1])
    return out.with_suffix(".jpg")


def saved(make):
    def distort(image, level, out):
        make(image, level).save(out)
        return out

    return distort


def pillow_jpeg2000(image, level, out):
    middle = out.with_suffix(".jp2")
    image.save(middle, quality_mode="rates", quality_layers=[[8, 16, 20, 45, 60][level - 1]])
    with Image.open(middle) as decoded:
        decoded.convert("RGB").save(out)
    middle.unlink()
    return out


def pixelate(image, level):
    share = [0.6, 0.4, 0.3, 0.2, 0.12][level - 1]
    small = image.resize([max(1, round(side * share)) for side in image.size], Image.Resampling.BOX)
    return small.resize(image.size, Image.Resampling.NEAREST)


def magick(*options):
    """ImageMagick with options, of which functions of the level give the values."""

    def distort(image, level, out):
        pristine = out.with_suffix(".pristine.png")
        image.save(pristine)
        words = [word(level) if callable(word) else word for word in options]
        subprocess.run(["convert", pristine, "-seed", str(level), *words, out], check=True)
        pristine.unlink()
        return out

    return distort


def pick(values):
    return lambda level: values[level - 1]


PROGRAMS = {
    "jpeg": ("Pillow", pillow_jpeg),
    "jpeg2000": ("Pillow", pillow_jpeg2000),
    "gaussian_blur": ("Pillow", saved(lambda i, n: i.filter(ImageFilter.GaussianBlur([0.4, 0.7, 1.1, 1.9, 4][n - 1])))),
    "brighten": ("Pillow", saved(lambda i, n: ImageEnhance.Brightness(i).enhance([1.05, 1.12, 1.22, 1.5, 2.2][n - 1]))),
    "darken": ("Pillow", saved(lambda i, n: ImageEnhance.Brightness(i).enhance([0.96, 0.92, 0.8, 0.65, 0.25][n - 1]))),
    "saturation_hsv": ("Pillow", saved(lambda i, n: ImageEnhance.Color(i).enhance([0.75, 0.55, 0.35, 0.15, 0][n - 1]))),
    "pixelate": ("Pillow", saved(pixelate)),
    "oversharpen": ("Pillow", saved(lambda i, n: i.filter(ImageFilter.UnsharpMask(3, [120, 220, 350, 550, 900][n - 1], 0)))),
    "white_noise": ("ImageMagick", magick("-attenuate", pick(["0.25", "0.4", "0.5", "0.8", "1.2"]), "+noise", "Gaussian")),
    "impulse_noise": ("ImageMagick", magick("-attenuate", pick(["0.03", "0.06", "0.1", "0.25", "0.5"]), "+noise", "Impulse")),
    "motion_blur": ("ImageMagick", magick("-motion-blur", pick(["0x0.5+30", "0x0.8+30", "0x1+30", "0x1.5+30", "0x2.2+30"]))),
    "quantisation": ("ImageMagick", magick("+dither", "-posterize", pick(["22", "12", "9", "8", "7"]))),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="manifest whose undistorted rows are taken")
    parser.add_argument("--split", default="val")
    parser.add_argument("--out", type=Path, required=True, help="folder for the images and pairs.jsonl")
    parser.add_argument("--per-image", type=int, default=13)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    (options.out / "images").mkdir(parents=True, exist_ok=True)
    (options.out / "pristine").mkdir(exist_ok=True)
    draw = random.Random(options.seed)
    every = [(kind, level) for kind in PROGRAMS for level in range(1, 6)]
    rows = [json.loads(line) for line in options.manifest.read_text(encoding="utf-8").splitlines()]
    pristine = [row for row in rows if row["split"] == options.split and not row["distortions"]]
    with (options.out / "pairs.jsonl").open("w", encoding="utf-8") as pairs:
        for row in pristine:
            clean = options.out / "pristine" / f"{row['reference']}.png"
            with Image.open(options.manifest.parent / row["image"]) as opened:
                image = opened.convert("RGB")
            image.save(clean)
            for kind, level in draw.sample(every, options.per_image):
                program, distort = PROGRAMS[kind]
                made = distort(image, level, options.out / "images" / f"{row['reference']}-{kind}-{level}.png")
                pair = {
                    "image": str(made.relative_to(options.out)),
                    "pristine": str(clean.relative_to(options.out)),
                    "reference": row["reference"],
                    "distortions": [{"kind": kind, "level": level}],
                    "split": options.split,
                    "source": program,
                }
                pairs.write(json.dumps(pair) + "\n")


if __name__ == "__main__":
    main()
