"""Prefill, decoding and LoRA training of a randomly initialised Qwen2.5-VL with transformers and PEFT.

Prints the lines of `qponder check-device --json --size ...`: the same sizes, tokens and settings."""

import argparse
import json
import time
from pathlib import Path

import peer  # sets the environment before transformers is imported
import torch
from peft import LoraConfig, get_peft_model
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

ROOT = Path(__file__).parents[2]
SHAPES = ROOT / "pipeline/src/check_device"
ANSWER, GROUP, RANK = 128, 8, 16
# Patches a side: 1008 pixels square, and 504 for nano, which sees no more than 513.
SIDES = {"nano": 36, "3b": 72, "7b": 72}
LANGUAGE = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=list(SIDES), action="append", required=True)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--work", choices=["prefill", "decode", "sft", "grpo"], action="append", help="this alone")
    parser.add_argument("--runs", type=int, default=3, help="that are timed, after one that is not")
    return parser.parse_args()


def model_of(size: str, device: str):
    path = ROOT / "models/nano-ci/config.json" if size == "nano" else SHAPES / f"{size}.json"
    shape = json.loads(path.read_text(encoding="utf-8"))
    with torch.device(device):
        config = Qwen2_5_VLConfig(**shape)
        config._attn_implementation = "sdpa"
        torch.set_default_dtype(torch.bfloat16)
        model = Qwen2_5_VLForConditionalGeneration(config)
        torch.set_default_dtype(torch.float32)
    lora = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=LANGUAGE, lora_dropout=0.0)
    return get_peft_model(model, lora), config


def prompt(config, side: int, device: str) -> dict:
    words = [300 + at % 500 for at in range(60)]
    image = side * side // 4
    ids = words[:20] + [config.vision_start_token_id] + [config.image_token_id] * image
    ids += [config.vision_end_token_id] + words
    ids = torch.tensor([ids], device=device)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "mm_token_type_ids": (ids == config.image_token_id).long(),
        "pixel_values": torch.randn(side * side, 3 * 2 * 14 * 14, device=device, dtype=torch.bfloat16),
        "image_grid_thw": torch.tensor([[1, side, side]], device=device),
    }


def repeated(inputs: dict, times: int) -> dict:
    return {name: value.repeat(times, *[1] * (value.dim() - 1)) for name, value in inputs.items()}


def with_answers(inputs: dict, answers: torch.Tensor) -> dict:
    """The prompt `answers.shape[0]` times, each with an answer of its own behind it."""
    whole = repeated(inputs, answers.shape[0])
    whole["input_ids"] = torch.cat([whole["input_ids"], answers], 1)
    for name in ["attention_mask", "mm_token_type_ids"]:
        fill = torch.full_like(answers, 1 if name == "attention_mask" else 0)
        whole[name] = torch.cat([whole[name], fill], 1)
    return whole


def log_probabilities(model, inputs: dict, answers: torch.Tensor) -> torch.Tensor:
    whole = with_answers(inputs, answers)
    logits = model(**whole, use_cache=False, logits_to_keep=answers.shape[1] + 1).logits[:, :-1].float()
    return torch.log_softmax(logits, -1).gather(2, answers[..., None])[..., 0]


def measure(size: str, options: argparse.Namespace, what: str, tokens: int, work) -> None:
    device = options.device
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    best = float("inf")
    for run in range(options.runs + 1):
        peer.synchronize(device)
        begun = time.perf_counter()
        work()
        peer.synchronize(device)
        if run > 0:
            best = min(best, time.perf_counter() - begun)
    peak = torch.cuda.max_memory_allocated() if on_gpu else None
    speed = {"what": what, "tokens": tokens, "seconds": best, "peak_bytes": peak}
    print(json.dumps({"size": size, "speed": speed}), flush=True)


def main() -> None:
    options = arguments()
    for size in options.size:
        model, config = model_of(size, options.device)
        inputs = prompt(config, SIDES[size], options.device)
        length = inputs["input_ids"].shape[1]
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-4)

        def decode(sequences: int, tokens: int) -> torch.Tensor:
            model.eval()
            limits = {"max_new_tokens": tokens, "min_new_tokens": tokens}
            with torch.no_grad():
                out = model.generate(**inputs, num_return_sequences=sequences, do_sample=sequences > 1, **limits)
            return out[:, length:]

        def learn(loss: torch.Tensor) -> None:
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        def training() -> None:
            model.train()
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            model.enable_input_require_grads()

        def sft() -> None:
            training()
            answers = torch.arange(ANSWER, device=options.device)[None] + 300
            learn(-log_probabilities(model, inputs, answers).mean())

        def grpo() -> None:
            model.gradient_checkpointing_disable()
            answers = decode(GROUP, ANSWER)
            training()
            advantages = torch.tensor([1.0, -1.0] * (GROUP // 2), device=options.device)[:, None]
            new = log_probabilities(model, inputs, answers)
            learn(-((new - new.detach()).exp() * advantages).mean())

        works = options.work or ["prefill", "decode", "sft", "grpo"]
        if "prefill" in works:
            measure(size, options, "prefill", length, lambda: decode(1, 1))
        if "decode" in works:
            measure(size, options, "decode, 1 sequence", ANSWER, lambda: decode(1, ANSWER))
            measure(size, options, "decode, 8 sequences", GROUP * ANSWER, lambda: decode(GROUP, ANSWER))
        if "sft" in works:
            measure(size, options, "SFT step", length + ANSWER, sft)
        if "grpo" in works:
            measure(size, options, "GRPO step", GROUP * ANSWER, grpo)
        del model, optimizer, trained
        if options.device.startswith("cuda"):
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
