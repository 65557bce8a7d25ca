"""Nano as ONNX, in the layout that transformers.js reads, for one photo's shape.

Writes `onnx/{vision_encoder,embed_tokens,decoder_model_merged}{,_quantized,_q8b32}.onnx` beside the model's own
JSON files, and `case.json` with the inputs and what PyTorch makes of them. `_quantized` holds weights in 8 bits
by column and quantises activations on the way (transformers.js calls it `q8`); `_q8b32` holds weights in 8 bits
with a scale for each 32, as our q8_0 does, and computes in f32.
"""

import argparse
import json
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import peer  # sets the environment before transformers is imported
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from transformers import DynamicCache

PARTS = ["vision_encoder", "embed_tokens", "decoder_model_merged"]
LEVELS = ["bad", "poor", "fair", "good", "excellent"]


@contextmanager
def few_operands():
    """Splits and concatenations of many windows as several of a few: ONNX Runtime on WebGPU gives one shader to
    each, and a shader may have ten buffers."""
    split, cat = torch.split, torch.cat

    def narrow_each(tensor, sizes, dim=0):
        if isinstance(sizes, int):
            return split(tensor, sizes, dim)
        starts = [sum(sizes[:index]) for index in range(len(sizes))]
        return [tensor.narrow(dim, start, size) for start, size in zip(starts, sizes)]

    def cat_by_eight(tensors, dim=0):
        while len(tensors) > 8:
            tensors = [cat(tensors[first : first + 8], dim=dim) for first in range(0, len(tensors), 8)]
        return cat(tensors, dim=dim)

    torch.split, torch.cat = narrow_each, cat_by_eight
    try:
        yield
    finally:
        torch.split, torch.cat = split, cat


class Vision(torch.nn.Module):
    """The tower for a grid that is fixed: windows and rotations become constants."""

    def __init__(self, visual, grid):
        super().__init__()
        self.visual = visual
        self.grid = grid

    def forward(self, pixel_values):
        out = self.visual(pixel_values, grid_thw=self.grid)
        return getattr(out, "pooler_output", out)


class Decoder(torch.nn.Module):
    """The language model on embeddings, with the cache as inputs and outputs."""

    def __init__(self, model):
        super().__init__()
        self.text = model.model.language_model
        self.head = model.lm_head

    def forward(self, inputs_embeds, attention_mask, position_ids, *past):
        new, whole = inputs_embeds.shape[1], attention_mask.shape[1]
        cache = DynamicCache()
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        queries = torch.arange(new)[:, None] + (whole - new)
        seen = torch.arange(whole)[None, :] <= queries
        mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)[None, None]
        out = self.text(
            inputs_embeds=inputs_embeds,
            attention_mask={"full_attention": mask},
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
        )
        logits = self.head(out.last_hidden_state[:, -1:])
        present = [tensor for layer in out.past_key_values.layers for tensor in (layer.keys, layer.values)]
        return (logits, *present)


def export(module, inputs, path, names, outputs, axes):
    torch.onnx.export(
        module.eval(),
        inputs,
        path,
        input_names=names,
        output_names=outputs,
        dynamic_axes=axes,
        opset_version=18,
        dynamo=False,
    )


def quantise(folder: Path, part: str) -> None:
    source = folder / f"{part}.onnx"
    quantize_dynamic(source, folder / f"{part}_quantized.onnx", weight_type=QuantType.QUInt8)
    blocks = MatMulNBitsQuantizer(onnx.load(source), bits=8, block_size=32, is_symmetric=True)
    blocks.process()
    onnx.save(blocks.model.model, folder / f"{part}_q8b32.onnx")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="Hugging Face directory of Qwen2.5-VL")
    parser.add_argument("--photo", type=Path, required=True)
    parser.add_argument("--system", type=Path, required=True, help="text file with the system's words")
    parser.add_argument("--prompt", type=Path, required=True, help="text file with the quick prompt")
    parser.add_argument("--reason", type=Path, required=True, help="text file with the prompt of answers with reasons")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()

    model, processor = peer.load(options.model, "f32", "cpu")
    model.eval()
    model.set_attn_implementation("eager")
    onnx_folder = options.out / "onnx"
    onnx_folder.mkdir(parents=True, exist_ok=True)
    for path in options.model.glob("*"):
        if path.is_file():
            shutil.copy(path, options.out)
    # transformers.js wants the nested form; our own reader takes what the checkpoint came with.
    (options.out / "config.json").rename(options.out / "config.flat.json")
    model.config.save_pretrained(options.out)
    shutil.copy(options.photo, options.out.parent / "photo")

    words = lambda path: path.read_text(encoding="utf-8").strip()
    picture = peer.open_rgb(options.photo)

    def ask(prompt):
        text = processor.apply_chat_template(
            peer.question(prompt, words(options.system)), add_generation_prompt=True, tokenize=False
        )
        return text, processor(text=[text], images=[picture], return_tensors="pt")

    text, inputs = ask(words(options.prompt))
    reason_text, reason = ask(words(options.reason))
    grid = inputs["image_grid_thw"]
    layers = model.config.text_config.num_hidden_layers
    heads = model.config.text_config.num_key_value_heads
    width = model.config.text_config.hidden_size // model.config.text_config.num_attention_heads
    ids = inputs["input_ids"]

    with torch.inference_mode():
        expected = model(**inputs).logits[0, -1]
    levels = [processor.tokenizer.encode(word)[0] for word in LEVELS]
    weights = torch.softmax(expected[levels], 0)
    score = float((weights * torch.arange(1, 6)).sum())

    with torch.no_grad(), few_operands():
        export(
            Vision(model.model.visual, grid),
            (inputs["pixel_values"],),
            onnx_folder / "vision_encoder.onnx",
            ["pixel_values"],
            ["image_features"],
            {},
        )
        embed = model.model.language_model.embed_tokens
        export(
            embed,
            (ids,),
            onnx_folder / "embed_tokens.onnx",
            ["input_ids"],
            ["inputs_embeds"],
            {"input_ids": {1: "new"}, "inputs_embeds": {1: "new"}},
        )
        # Traced with a cache and several new tokens, so that neither becomes a constant.
        past = [torch.zeros(1, heads, 3, width) for _ in range(2 * layers)]
        names = [f"{{}}.{layer}.{kind}" for layer in range(layers) for kind in ("key", "value")]
        given = [name.format("past_key_values") for name in names]
        made = [name.format("present") for name in names]
        axes = {"inputs_embeds": {1: "new"}, "attention_mask": {1: "whole"}, "position_ids": {2: "new"}}
        axes |= {name: {2: "past"} for name in given} | {name: {2: "whole"} for name in made}
        export(
            Decoder(model),
            (
                torch.zeros(1, 5, model.config.text_config.hidden_size),
                torch.ones(1, 8, dtype=torch.long),
                torch.arange(3, 8)[None, None].expand(3, 1, 5).contiguous(),
                *past,
            ),
            onnx_folder / "decoder_model_merged.onnx",
            ["inputs_embeds", "attention_mask", "position_ids", *given],
            ["logits", *made],
            axes,
        )
    for part in PARTS:
        quantise(onnx_folder, part)

    case = {
        "text": text,
        "reason_text": reason_text,
        "ids": ids[0].tolist(),
        "reason_ids": reason["input_ids"][0].tolist(),
        "grid": grid[0].tolist(),
        "levels": levels,
        "ends": model.generation_config.eos_token_id,
        "image_token": model.config.image_token_id,
        "layers": layers,
        "heads": heads,
        "width": width,
        "patch": inputs["pixel_values"].shape[1],
        "score": score,
    }
    for name, ask_ids in (("positions", inputs), ("reason_positions", reason)):
        positions, _ = model.model.get_rope_index(
            ask_ids["input_ids"],
            mm_token_type_ids=ask_ids.get("mm_token_type_ids"),
            image_grid_thw=grid,
            attention_mask=ask_ids["attention_mask"],
        )
        case[name] = positions[:, 0].tolist()
    (options.out / "case.json").write_text(json.dumps(case), encoding="utf-8")
    inputs["pixel_values"].numpy().tofile(options.out / "pixels.f32")
    print(json.dumps({"score": score, "tokens": len(case["ids"])}))


if __name__ == "__main__":
    main()
