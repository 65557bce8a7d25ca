"""Groups of sampled answers with transformers' `generate`, all groups in one batch: one JSON line of rates."""

import argparse
import json
import statistics
import time
from pathlib import Path

import peer  # sets the environment before transformers is imported
import torch
import transformers


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="Hugging Face directory of Qwen2.5-VL")
    parser.add_argument("--images", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--limit", type=int, default=4, help="use only this many pictures")
    parser.add_argument("--system", type=Path, required=True, help="text file with the system's prompt")
    parser.add_argument("--prompt", type=Path, required=True, help="text file with the user's prompt")
    parser.add_argument("--group", type=int, default=8, help="answers to each picture")
    parser.add_argument("--max-new-tokens", type=int, default=96, help="every answer has exactly so many")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds, after one to warm up")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=peer.DTYPES, default="f32")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def sample(model, processor, text: str, pictures: list, options: argparse.Namespace) -> float:
    """One batch of all groups; the seconds that it took, without reading the pictures."""
    inputs = processor(
        text=[text] * len(pictures), images=pictures, padding=True, padding_side="left", return_tensors="pt"
    ).to(options.device)
    begun = time.perf_counter()
    with torch.inference_mode():
        out = model.generate(
            **inputs,
            do_sample=True,
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            repetition_penalty=1.0,
            num_return_sequences=options.group,
            max_new_tokens=options.max_new_tokens,
            min_new_tokens=options.max_new_tokens,
        )
    peer.synchronize(options.device)
    seconds = time.perf_counter() - begun
    new = out.shape[1] - inputs["input_ids"].shape[1]
    assert out.shape[0] == options.group * len(pictures) and new == options.max_new_tokens
    return seconds


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model, processor = peer.load(options.model, options.dtype, options.device)
    model.eval()
    system, prompt = (path.read_text(encoding="utf-8").strip() for path in (options.system, options.prompt))
    text = processor.apply_chat_template(peer.question(prompt, system), add_generation_prompt=True, tokenize=False)
    pictures = [peer.open_rgb(path) for path in peer.pictures(options.images)[: options.limit]]

    times = [sample(model, processor, text, pictures, options) for _ in range(options.rounds + 1)][1:]
    tokens = len(pictures) * options.group * options.max_new_tokens
    print(
        json.dumps(
            {
                "peer": f"transformers {transformers.__version__}, torch {torch.__version__}",
                "device": options.device,
                "dtype": options.dtype,
                "threads": options.threads,
                "batch": len(pictures) * options.group,
                "tokens_per_second": tokens / statistics.median(times),
                "seconds": times,
                "peak_resident_mib": peer.peak_resident_mib(),
            }
        )
    )


if __name__ == "__main__":
    main()
