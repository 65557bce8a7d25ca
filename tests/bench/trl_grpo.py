"""GRPO steps with TRL's `GRPOTrainer` on transformers: one JSON line of rates.

Nothing in TRL or transformers is changed. One thing had to be set: TRL 1.16 pads prompts on the left but leaves their
`mm_token_type_ids` to the tokenizer's own side, the right for Qwen2.5-VL, so that pictures of unequal sizes stop it with
a shape error; here the tokenizer pads on the left. What else differs from TRL's defaults makes it faster here, or its
work equal to ours: activations are kept rather than computed again, no bf16, and a micro-batch is one group. The reward
costs next to nothing. Both sides end answers where the model ends them.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import peer  # sets the environment before transformers is imported
import torch
import transformers
import trl
from datasets import Dataset, disable_progress_bars


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="Hugging Face directory of Qwen2.5-VL")
    parser.add_argument("--images", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--limit", type=int, default=4, help="pictures, all of which are in every step")
    parser.add_argument("--system", type=Path, required=True, help="text file with the system's prompt")
    parser.add_argument("--prompt", type=Path, required=True, help="text file with the user's prompt")
    parser.add_argument("--group", type=int, default=8, help="answers to each picture")
    parser.add_argument("--micro-batch", type=int, default=8, help="answers in one forward and backward pass")
    parser.add_argument("--max-new-tokens", type=int, default=192)
    parser.add_argument("--steps", type=int, default=5, help="timed steps, after one to warm up")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


class Clock(transformers.TrainerCallback):
    """Notes when steps end."""

    def __init__(self):
        self.times = []

    def on_step_end(self, *_, **__):
        self.times.append(time.perf_counter())


def variety(completions, **_) -> list[float]:
    """The share of different characters: some number that answers differ in."""
    texts = [completion[0]["content"] for completion in completions]
    return [len(set(text)) / max(len(text), 1) for text in texts]


def train(options: argparse.Namespace, out: str) -> tuple[Clock, list[dict]]:
    model, processor = peer.load(options.model, "f32", "cpu")
    processor.tokenizer.padding_side = "left"
    system, prompt = (path.read_text(encoding="utf-8").strip() for path in (options.system, options.prompt))
    pictures = [peer.open_rgb(path) for path in peer.pictures(options.images)[: options.limit]]
    asked = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
    answers = len(pictures) * options.group
    config = trl.GRPOConfig(
        output_dir=out,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        per_device_train_batch_size=options.micro_batch,
        gradient_accumulation_steps=answers // options.micro_batch,
        num_generations=options.group,
        max_completion_length=options.max_new_tokens,
        temperature=1.0,
        loss_type="dapo",
        beta=0.0,
        learning_rate=1e-6,
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        max_steps=options.steps + 1,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    clock = Clock()
    trainer = trl.GRPOTrainer(
        model=model,
        reward_funcs=variety,
        args=config,
        train_dataset=Dataset.from_list([{"prompt": asked, "image": picture} for picture in pictures]),
        processing_class=processor,
        callbacks=[clock],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return clock, [entry for entry in trainer.state.log_history if "completions/mean_length" in entry]


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    disable_progress_bars()
    with tempfile.TemporaryDirectory() as out:
        clock, logs = train(options, out)
    steps = [after - before for before, after in zip(clock.times, clock.times[1:], strict=False)]
    lengths = [entry["completions/mean_length"] for entry in logs[1:]]
    answers = options.limit * options.group
    print(
        json.dumps(
            {
                "peer": f"TRL {trl.__version__}, transformers {transformers.__version__}, torch {torch.__version__}",
                "threads": options.threads,
                "answers": answers,
                "steps_per_minute": 60 / statistics.median(steps),
                "answer_tokens_per_second": answers * sum(lengths) / sum(steps),
                "mean_length": statistics.mean(lengths),
                "seconds": steps,
                "peak_resident_mib": peer.peak_resident_mib(),
            }
        )
    )


if __name__ == "__main__":
    main()
