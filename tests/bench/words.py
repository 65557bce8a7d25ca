"""How many of nano's answers have a phrase that its teacher never writes.

    qponder evaluate --model models/nano-rl --manifest MANIFEST --mode reason --scores rl.jsonl
    python3 tests/bench/words.py rl.jsonl

The rule-based teacher has a fixed stock of phrases, the strings of `pipeline/src/teacher.rs`. A phrase is what follows
the comma after a distortion's name, or the whole remark where none is named. Reinforcement learning without a KL term
drifts into phrases that mix two others and mean nothing; this counts them. A phrase of the stock beside the wrong
name is not counted. Run it at the top of the repository. Needs no package.
"""

import collections
import json
import pathlib
import re
import sys

REMARK = re.compile(r"^\w+: (.*) \(\w+\)$", re.MULTILINE)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    stock = set(re.findall(r'"([^"\n]+)"', pathlib.Path("pipeline/src/teacher.rs").read_text("utf-8")))
    answers, strange, unknown = 0, 0, collections.Counter()
    with open(sys.argv[1], encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            if row["mode"] != "reason":
                continue
            phrases = [remark.split(", ", 1)[-1] for remark in REMARK.findall(row["text"])]
            new = [phrase for phrase in phrases if phrase not in stock]
            answers += 1
            strange += bool(new)
            unknown.update(new)
    print(f"{strange} of {answers} answers have a phrase that the teacher never writes")
    for phrase, count in unknown.most_common(10):
        print(f"  {count:5d}  {phrase}")


if __name__ == "__main__":
    main()
