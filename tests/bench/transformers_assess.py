"""Greedy assessments with transformers: one JSON line of rates."""

import argparse
import json
import time
from pathlib import Path

import peer  # sets the environment before transformers is imported
import torch
import transformers


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="Hugging Face directory of Qwen2.5-VL")
    parser.add_argument("--images", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--prompt", type=Path, required=True, help="text file with the user's prompt")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument(
        "--ignore-end", action="store_true", help="always generate --max-new-tokens, so that work is equal"
    )
    parser.add_argument("--limit", type=int, help="use only this many pictures, repeating them if there are fewer")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=peer.DTYPES, default="f32")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


class Clock(transformers.StoppingCriteria):
    """Never stops; notes when each token was chosen."""

    def __init__(self, device: str):
        self.device = device
        self.times = []

    def __call__(self, input_ids, scores, **kwargs):
        peer.synchronize(self.device)
        self.times.append(time.perf_counter())
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def assess(model, processor, prompt: str, paths: list[Path], options: argparse.Namespace) -> dict[str, float]:
    """One batch: seconds spent and tokens handled."""
    begun = time.perf_counter()
    text = processor.apply_chat_template(peer.question(prompt), add_generation_prompt=True, tokenize=False)
    inputs = processor(
        text=[text] * len(paths),
        images=[peer.open_rgb(path) for path in paths],
        padding=True,
        padding_side="left",
        return_tensors="pt",
    ).to(options.device)
    prepared = time.perf_counter()

    clock = Clock(options.device)
    with torch.inference_mode():
        out = model.generate(
            **inputs,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            repetition_penalty=1.0,
            max_new_tokens=options.max_new_tokens,
            min_new_tokens=options.max_new_tokens if options.ignore_end else None,
            stopping_criteria=[clock],
        )
    new = out[:, inputs["input_ids"].shape[1] :].tolist()
    processor.batch_decode(new, skip_special_tokens=True)
    ended = time.perf_counter()

    ends = model.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends])
    lengths = [next((i + 1 for i, token in enumerate(row) if token in ends), len(row)) for row in new]
    if options.ignore_end:
        lengths = [len(row) for row in new]
    return {
        "seconds": ended - begun,
        "prepare_seconds": prepared - begun,
        "prefill_seconds": clock.times[0] - prepared,
        "decode_seconds": clock.times[-1] - clock.times[0],
        "prefill_tokens": int(inputs["attention_mask"].sum()),
        "decode_tokens": sum(lengths) - len(lengths),  # the first token of a row comes from the prefill
    }


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    model, processor = peer.load(options.model, options.dtype, options.device)
    model.eval()
    prompt = options.prompt.read_text(encoding="utf-8").strip()
    paths = peer.pictures(options.images)
    if options.limit:
        paths = [paths[i % len(paths)] for i in range(options.limit)]

    assess(model, processor, prompt, paths[: options.batch], options)
    total: dict[str, float] = {}
    for start in range(0, len(paths), options.batch):
        for name, value in assess(model, processor, prompt, paths[start : start + options.batch], options).items():
            total[name] = total.get(name, 0) + value

    decoded = total["decode_tokens"] / total["decode_seconds"] if total["decode_seconds"] > 0 else None
    print(
        json.dumps(
            {
                "peer": f"transformers {transformers.__version__}, torch {torch.__version__}",
                "device": options.device,
                "dtype": options.dtype,
                "threads": options.threads,
                "batch": options.batch,
                "images": len(paths),
                "max_new_tokens": options.max_new_tokens,
                "assessments_per_second": len(paths) / total["seconds"],
                "prefill_tokens_per_second": total["prefill_tokens"] / total["prefill_seconds"],
                "decode_tokens_per_second": decoded,
                **total,
            }
        )
    )


if __name__ == "__main__":
    main()
