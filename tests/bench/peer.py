"""What the peers on transformers share: reading a checkpoint and its pictures."""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoProcessor, Qwen2_5_VLForConditionalGeneration
from transformers.utils import logging

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


def load(model: Path, dtype: str, device: str):
    """The model, and its processor on the Pillow path."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    processor = AutoProcessor.from_pretrained(model)
    processor.image_processor = AutoImageProcessor.from_pretrained(model, backend="pil")
    loaded = Qwen2_5_VLForConditionalGeneration.from_pretrained(model, dtype=DTYPES[dtype])
    return loaded.to(device), processor


def pictures(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise SystemExit(f"no pictures in {folder}")
    return found


def open_rgb(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def question(prompt: str, system: str | None = None) -> list[dict]:
    """A user's message of one picture and the prompt, after the system's where there is one."""
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}]
    return ([{"role": "system", "content": system}] if system else []) + asked


def peak_resident_mib() -> float:
    """The most memory that this process ever had, as the kernel counts it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
