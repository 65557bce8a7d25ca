"""How far the weights of Quick score move its scores: the exports of a model against its f32, on held-out photographs.

    qponder degrade --fetch --input data/photographs --out data/nano/whole --per-image 12 --seed 1
    python3 tests/bench/agreement.py --qponder target/debug/qponder --model models/nano-rl \\
        --manifest data/nano/whole/manifest.jsonl

Prints for each export its size, the mean and the largest difference, and the SRCC with the labels. Needs no package.
"""

import argparse
import json
import pathlib
import subprocess


def ranks(values):
    """Ranks from 0; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    begin = 0
    while begin < len(order):
        end = begin
        while end + 1 < len(order) and values[order[end + 1]] == values[order[begin]]:
            end += 1
        for place in range(begin, end + 1):
            found[order[place]] = (begin + end) / 2
        begin = end + 1
    return found


def srcc(a, b):
    a, b = ranks(a), ranks(b)
    mean = (len(a) - 1) / 2
    product = sum((x - mean) * (y - mean) for x, y in zip(a, b))
    squares = sum((x - mean) ** 2 for x in a) * sum((y - mean) ** 2 for y in b)
    return product / squares**0.5


def scores(qponder, model, images, *more):
    """The quick score of each image, in order."""
    command = [qponder, "assess", "--mode", "quick", "--json", "--model", model, *more, *images]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found = {line["file"]: line["score"] for line in map(json.loads, lines)}
    return [found[str(image)] for image in images]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--qponder", required=True)
    parser.add_argument("--model", type=pathlib.Path, required=True, help="a directory with q8_0 and q4_0 in it")
    parser.add_argument("--manifest", type=pathlib.Path, required=True)
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.manifest.read_text().splitlines() if line.strip()]
    rows = [row for row in rows if row["split"] == "val"]
    images = [options.manifest.parent / row["image"] for row in rows]
    labels = [row.get("mos", row.get("proxy")) for row in rows]
    whole = scores(options.qponder, options.model, images)
    print(f"{len(images)} images; f32: SRCC {srcc(whole, labels):.4f}")
    for quant in ["q8_0", "q4_0"]:
        folder = options.model / quant
        size = sum(file.stat().st_size for file in folder.glob("*.gguf"))
        ours = scores(options.qponder, folder, images, "--backend", "cpu")
        differences = [abs(a - b) for a, b in zip(ours, whole)]
        mean, most = sum(differences) / len(differences), max(differences)
        print(f"{quant}: {size / 1e6:.1f} MB, mean {mean:.4f}, largest {most:.4f}, SRCC {srcc(ours, labels):.4f}")


if __name__ == "__main__":
    main()
