"""Supervised fine-tuning steps with transformers and torch: one JSON line of rates."""

import argparse
import json
import time
from pathlib import Path

import peer  # sets the environment before transformers is imported
import torch
import transformers

IGNORED = -100


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="Hugging Face directory of Qwen2.5-VL")
    parser.add_argument("--images", type=Path, required=True, help="folder that the samples' pictures are relative to")
    parser.add_argument("--samples", type=Path, required=True, help='JSONL of {"image", "prompt", "answer"}')
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=8, help="timed steps, after one to warm up")
    parser.add_argument("--learning-rate", type=float, default=1e-5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=peer.DTYPES, default="f32")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def collate(processor, samples: list[dict], images: Path) -> dict:
    """Inputs padded on the right, and labels on the answer and the `<|im_end|>` that closes it."""
    asked, texts, pictures = [], [], []
    for sample in samples:
        question = peer.question(sample["prompt"])
        before = processor.apply_chat_template(question, add_generation_prompt=True, tokenize=False)
        asked.append(before)
        texts.append(f"{before}{sample['answer']}<|im_end|>")
        pictures.append(peer.open_rgb(images / sample["image"]))
    inputs = processor(text=texts, images=pictures, padding=True, padding_side="right", return_tensors="pt")

    labels = torch.full_like(inputs["input_ids"], IGNORED)
    for row, (before, text) in enumerate(zip(asked, texts, strict=True)):
        targets = len(processor.tokenizer(text)["input_ids"]) - len(processor.tokenizer(before)["input_ids"])
        stop = int(inputs["attention_mask"][row].sum())
        labels[row, stop - targets : stop] = inputs["input_ids"][row, stop - targets : stop]
    return {**inputs, "labels": labels}


def step(model, optimizer, inputs: dict, device: str) -> float:
    inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
    loss = model(**inputs, use_cache=False).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    model, processor = peer.load(options.model, options.dtype, options.device)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate)
    lines = options.samples.read_text(encoding="utf-8").splitlines()
    samples = [json.loads(line) for line in lines if line.strip()]

    losses, prepare_seconds, tokens, targets = [], 0.0, 0, 0
    begun = time.perf_counter()
    for number in range(options.steps + 1):
        if number == 1:  # the first step warmed up
            begun, prepare_seconds, tokens, targets = time.perf_counter(), 0.0, 0, 0
        chosen = [samples[(number * options.batch + i) % len(samples)] for i in range(options.batch)]
        preparing = time.perf_counter()
        inputs = collate(processor, chosen, options.images)
        prepare_seconds += time.perf_counter() - preparing
        tokens += int(inputs["attention_mask"].sum())
        targets += int((inputs["labels"] != IGNORED).sum())
        losses.append(step(model, optimizer, inputs, options.device))
    peer.synchronize(options.device)
    seconds = time.perf_counter() - begun

    print(
        json.dumps(
            {
                "peer": f"transformers {transformers.__version__}, torch {torch.__version__}",
                "device": options.device,
                "dtype": options.dtype,
                "threads": options.threads,
                "batch": options.batch,
                "steps": options.steps,
                "samples_per_second": options.steps * options.batch / seconds,
                "tokens_per_second": tokens / seconds,
                "target_tokens": targets,
                "seconds": seconds,
                "prepare_seconds": prepare_seconds,
                "first_loss": losses[0],
                "last_loss": losses[-1],
                "peak_resident_mib": peer.peak_resident_mib(),
            }
        )
    )


if __name__ == "__main__":
    main()
