//! A model as GGUF files hold it: configuration and weights, quantised as they are stored.

use super::EngineError;
use crate::gguf::{Gguf, GgufError, Kind, f16_to_f32};

/// The vision tower's sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisionConfig {
    pub hidden: usize,
    pub intermediate: usize,
    pub heads: usize,
    pub depth: usize,
    pub patch_size: usize,
    /// Patches on a side of a merged one.
    pub merge: usize,
    /// Merged patches on a side of a window.
    pub window: usize,
    /// Every block whose number, counted from one, is a multiple of this sees the whole image.
    pub full_every: usize,
}

/// The language model's sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct TextConfig {
    pub vocabulary: usize,
    pub hidden: usize,
    pub intermediate: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub depth: usize,
    pub eps: f32,
    pub theta: f32,
    /// How many rotation frequencies follow time, height and width.
    pub sections: [usize; 3],
    /// Most tokens of a prompt and its answer.
    pub context: usize,
}

impl TextConfig {
    /// Width of one attention head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.hidden / self.heads
    }
}

/// The numbers of a matrix, row by row.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    F32(Vec<f32>),
    /// Bits of f16 numbers.
    F16(Vec<u16>),
    /// One number a value, one scale for 32 of them.
    Q8 {
        quants: Vec<i8>,
        scales: Vec<f32>,
    },
    /// Two values a byte, in blocks of 32 that share a scale: the first 16 of a block in the low halves of
    /// its bytes, the others in the high ones; each is 8 more than its multiple of the scale.
    Q4 {
        quants: Vec<u8>,
        scales: Vec<f32>,
    },
}

/// A weight matrix `(outputs, inputs)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    pub outputs: usize,
    pub inputs: usize,
    pub numbers: Numbers,
}

impl Matrix {
    fn read(file: &Gguf, name: &str, outputs: usize, inputs: usize) -> Result<Self, GgufError> {
        let tensor = file.tensor(name, &[outputs, inputs])?;
        let blocks = || tensor.bytes.chunks_exact(tensor.kind.block_bytes());
        let scales = || blocks().map(|block| f16_to_f32(u16::from_le_bytes([block[0], block[1]]))).collect();
        let numbers = match tensor.kind {
            Kind::F32 => Numbers::F32(tensor.values()),
            Kind::F16 => {
                let bits = tensor.bytes.as_chunks::<2>().0.iter().map(|&bits| u16::from_le_bytes(bits));
                Numbers::F16(bits.collect())
            }
            Kind::Q8_0 => Numbers::Q8 {
                quants: blocks().flat_map(|block| block[2..].iter().map(|&q| q as i8)).collect(),
                scales: scales(),
            },
            Kind::Q4_0 => Numbers::Q4 {
                quants: blocks().flat_map(|block| &block[2..]).copied().collect(),
                scales: scales(),
            },
        };
        Ok(Self { outputs, inputs, numbers })
    }

    /// A matrix of f32 numbers.
    #[must_use]
    pub fn whole(outputs: usize, inputs: usize, numbers: Vec<f32>) -> Self {
        Self { outputs, inputs, numbers: Numbers::F32(numbers) }
    }

    /// Bytes of its numbers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.numbers {
            Numbers::F32(numbers) => 4 * numbers.len(),
            Numbers::F16(numbers) => 2 * numbers.len(),
            Numbers::Q8 { quants, scales } => quants.len() + 4 * scales.len(),
            Numbers::Q4 { quants, scales } => quants.len() + 4 * scales.len(),
        }
    }
}

/// A matrix and what is added to its product.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    pub weight: Matrix,
    pub bias: Option<Vec<f32>>,
}

impl Linear {
    fn read(
        file: &Gguf,
        name: &str,
        (outputs, inputs): (usize, usize),
        has_bias: bool,
    ) -> Result<Self, GgufError> {
        let bias = || Ok(file.tensor(&format!("{name}.bias"), &[outputs])?.values());
        Ok(Self {
            weight: Matrix::read(file, &format!("{name}.weight"), outputs, inputs)?,
            bias: has_bias.then(bias).transpose()?,
        })
    }
}

/// One layer or block: attention, then SwiGLU.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    pub attention_norm: Vec<f32>,
    pub q: Linear,
    pub k: Linear,
    pub v: Linear,
    pub out: Linear,
    pub feed_norm: Vec<f32>,
    pub gate: Linear,
    pub up: Linear,
    pub down: Linear,
}

/// How a file names the parts of a layer, and which of them have a bias.
struct Naming {
    prefix: &'static str,
    attention_norm: &'static str,
    out: &'static str,
    feed_norm: &'static str,
    /// Whether every product has a bias; else only those of queries, keys and values.
    all_biased: bool,
}

const TEXT: Naming = Naming {
    prefix: "blk",
    attention_norm: "attn_norm",
    out: "attn_output",
    feed_norm: "ffn_norm",
    all_biased: false,
};

const VISION: Naming =
    Naming { prefix: "v.blk", attention_norm: "ln1", out: "attn_out", feed_norm: "ln2", all_biased: true };

impl Layer {
    fn read(
        file: &Gguf,
        naming: &Naming,
        index: usize,
        [hidden, kv_width, intermediate]: [usize; 3],
    ) -> Result<Self, GgufError> {
        let name = |part: &str| format!("{}.{index}.{part}", naming.prefix);
        let norm = |part: &str| Ok(file.tensor(&name(&format!("{part}.weight")), &[hidden])?.values());
        let linear = |part: &str, size, has_bias| Linear::read(file, &name(part), size, has_bias);
        Ok(Self {
            attention_norm: norm(naming.attention_norm)?,
            q: linear("attn_q", (hidden, hidden), true)?,
            k: linear("attn_k", (kv_width, hidden), true)?,
            v: linear("attn_v", (kv_width, hidden), true)?,
            out: linear(naming.out, (hidden, hidden), naming.all_biased)?,
            feed_norm: norm(naming.feed_norm)?,
            gate: linear("ffn_gate", (intermediate, hidden), naming.all_biased)?,
            up: linear("ffn_up", (intermediate, hidden), naming.all_biased)?,
            down: linear("ffn_down", (hidden, intermediate), naming.all_biased)?,
        })
    }
}

/// Weights of the whole model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub vision: VisionConfig,
    pub text: TextConfig,
    /// `(hidden, 3 * patch_size * patch_size)`: for equal frames, the sum over both.
    pub patch: Matrix,
    pub blocks: Vec<Layer>,
    pub merger_norm: Vec<f32>,
    pub merger_up: Linear,
    pub merger_down: Linear,
    /// `(vocabulary, hidden)`.
    pub embedding: Matrix,
    pub layers: Vec<Layer>,
    pub norm: Vec<f32>,
    /// The output head where it is not the embedding.
    pub head: Option<Matrix>,
}

impl Model {
    /// Takes the weights from the file of the language model and that of the vision tower.
    ///
    /// # Errors
    /// Names the first value or tensor that is missing or does not fit.
    pub fn read(text_file: &Gguf, vision_file: &Gguf) -> Result<Self, EngineError> {
        let expect = |file: &Gguf, key: &str, expected: &str| {
            if file.text(key)? == expected {
                return Ok(());
            }
            Err(GgufError::Wrong { key: key.to_owned(), expected: format!("{expected:?}") })
        };
        expect(text_file, "general.architecture", "qwen2vl")?;
        expect(vision_file, "general.architecture", "clip")?;
        expect(vision_file, "clip.projector_type", "qwen2.5vl_merger")?;
        let vision = vision_config(vision_file)?;
        let text = text_config(text_file)?;
        check(&vision, &text)?;

        let pixels = vision.patch_size * vision.patch_size;
        let shape = [vision.hidden, 3, vision.patch_size, vision.patch_size];
        let first = vision_file.tensor("v.patch_embd.weight", &shape)?.values();
        let second = vision_file.tensor("v.patch_embd.weight.1", &shape)?.values();
        let patch = first.iter().zip(second).map(|(a, b)| a + b).collect();
        let merged = vision.hidden * vision.merge.pow(2);
        let sizes = [vision.hidden, vision.hidden, vision.intermediate];
        let blocks = (0..vision.depth).map(|index| Layer::read(vision_file, &VISION, index, sizes));
        let sizes = [text.hidden, text.kv_heads * text.head_dim(), text.intermediate];
        let layers = (0..text.depth).map(|index| Layer::read(text_file, &TEXT, index, sizes));
        let is_untied = text_file.names().any(|name| name == "output.weight");
        let head = || Matrix::read(text_file, "output.weight", text.vocabulary, text.hidden);
        Ok(Self {
            patch: Matrix::whole(vision.hidden, 3 * pixels, patch),
            blocks: blocks.collect::<Result<_, _>>()?,
            merger_norm: vision_file.tensor("v.post_ln.weight", &[vision.hidden])?.values(),
            merger_up: Linear::read(vision_file, "mm.0", (merged, merged), true)?,
            merger_down: Linear::read(vision_file, "mm.2", (text.hidden, merged), true)?,
            embedding: Matrix::read(text_file, "token_embd.weight", text.vocabulary, text.hidden)?,
            layers: layers.collect::<Result<_, _>>()?,
            norm: text_file.tensor("output_norm.weight", &[text.hidden])?.values(),
            head: is_untied.then(head).transpose()?,
            vision,
            text,
        })
    }

    /// The output head `(vocabulary, hidden)`.
    #[must_use]
    pub fn head(&self) -> &Matrix {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// Every matrix, for sums over them.
    pub fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        let layers = self.blocks.iter().chain(&self.layers);
        let in_layers = layers
            .flat_map(|l| [&l.q, &l.k, &l.v, &l.out, &l.gate, &l.up, &l.down])
            .map(|linear| &linear.weight);
        let others = [&self.patch, &self.merger_up.weight, &self.merger_down.weight, &self.embedding];
        in_layers.chain(others).chain(&self.head)
    }
}

fn vision_config(file: &Gguf) -> Result<VisionConfig, GgufError> {
    let patch_size = file.number("clip.vision.patch_size")?;
    let merge = file.number("clip.vision.spatial_merge_size")?;
    let window = file.number("clip.vision.window_size")? / (patch_size * merge).max(1);
    Ok(VisionConfig {
        hidden: file.number("clip.vision.embedding_length")?,
        intermediate: file.number("clip.vision.feed_forward_length")?,
        heads: file.number("clip.vision.attention.head_count")?,
        depth: file.number("clip.vision.block_count")?,
        patch_size,
        merge,
        window,
        full_every: file.number("clip.vision.n_wa_pattern")?,
    })
}

fn text_config(file: &Gguf) -> Result<TextConfig, GgufError> {
    let key = "qwen2vl.rope.dimension_sections";
    let sections = file.numbers(key)?;
    let &[time, height, width, ..] = sections.as_slice() else {
        return Err(GgufError::Wrong { key: key.into(), expected: "a list of three sections".into() });
    };
    Ok(TextConfig {
        vocabulary: file.array("tokenizer.ggml.tokens")?.len(),
        hidden: file.number("qwen2vl.embedding_length")?,
        intermediate: file.number("qwen2vl.feed_forward_length")?,
        heads: file.number("qwen2vl.attention.head_count")?,
        kv_heads: file.number("qwen2vl.attention.head_count_kv")?,
        depth: file.number("qwen2vl.block_count")?,
        eps: file.real("qwen2vl.attention.layer_norm_rms_epsilon")?,
        theta: file.real("qwen2vl.rope.freq_base")?,
        sections: [time as usize, height as usize, width as usize],
        context: file.number("qwen2vl.context_length")?,
    })
}

/// Refuses what would later divide by zero or index outside.
fn check(v: &VisionConfig, t: &TextConfig) -> Result<(), EngineError> {
    let sizes = [
        v.hidden,
        v.intermediate,
        v.heads,
        v.depth,
        v.patch_size,
        v.merge,
        v.window,
        v.full_every,
        t.vocabulary,
        t.hidden,
        t.intermediate,
        t.heads,
        t.kv_heads,
        t.depth,
        t.context,
    ];
    let wrong = |reason: &str| Err(EngineError::Model(reason.to_owned()));
    if sizes.iter().any(|&size| size == 0 || size > 1 << 24) {
        return wrong("a size is zero or absurd");
    }
    if !v.hidden.is_multiple_of(v.heads) || !(v.hidden / v.heads).is_multiple_of(4) {
        return wrong("the vision tower's width is no multiple of four for each of its heads");
    }
    if !t.hidden.is_multiple_of(t.heads) || !t.heads.is_multiple_of(t.kv_heads) {
        return wrong("the language model's width and heads do not fit each other");
    }
    if 2 * t.sections.iter().sum::<usize>() != t.head_dim() {
        return wrong("the rotation's sections are not half of a head");
    }
    Ok(())
}
