// One peer scores one photo and explains it, as the address asks: ?peer=ort|transformers|candle,
// backend=wasm|webgpu, weights=f32|quantized|q8b32, times=9. What came of it is in `window.result`.

const query = new URLSearchParams(location.search);
const backend = query.get('backend') ?? 'wasm';
const weights = query.get('weights') ?? 'f32';
const times = Number(query.get('times') ?? 9);
const LONGEST = 192;

const bytes = async (path) => (await fetch(path)).arrayBuffer();

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

const likeliest = (logits) => logits.reduce((best, value, token) => (value > logits[best] ? token : best), 0);

function scoreOf(logits, levels) {
  const chosen = levels.map((token) => logits[token]);
  const most = Math.max(...chosen);
  const shares = chosen.map((value) => Math.exp(value - most));
  const whole = shares.reduce((sum, share) => sum + share);
  return shares.reduce((sum, share, level) => sum + (share / whole) * (level + 1), 0);
}

async function ort(given) {
  const folder = './node_modules/onnxruntime-web/dist/';
  const ort = await import(`${folder}ort.${backend}.min.mjs`);
  ort.env.wasm.numThreads = 1;
  const suffix = weights === 'f32' ? '' : `_${weights}`;
  const open = (part, more) =>
    ort.InferenceSession.create(`nano/onnx/${part}${suffix}.onnx`, { executionProviders: [backend], ...more });
  const names = [];
  for (let layer = 0; layer < given.layers; layer += 1) names.push(`${layer}.key`, `${layer}.value`);
  // Keys and values stay on the card, as transformers.js has it.
  const onCard = Object.fromEntries(names.map((name) => [`present.${name}`, 'gpu-buffer']));
  const vision = await open('vision_encoder');
  const embed = await open('embed_tokens');
  const decoder = await open(
    'decoder_model_merged',
    backend === 'webgpu' ? { preferredOutputLocation: onCard } : {},
  );

  const integers = (values, shape) => new ort.Tensor('int64', BigInt64Array.from(values, BigInt), shape);
  const embedded = async (ids) =>
    (await embed.run({ input_ids: integers(ids, [1, ids.length]) })).inputs_embeds;
  const step = (inputs_embeds, positions, length, past) =>
    decoder.run({
      inputs_embeds,
      attention_mask: integers(Array(length).fill(1), [1, length]),
      position_ids: integers(positions.flat(), [3, 1, positions[0].length]),
      ...Object.fromEntries(names.map((name) => [`past_key_values.${name}`, past(name)])),
    });
  const nothing = () => new ort.Tensor('float32', new Float32Array(), [1, given.heads, 0, given.width]);

  const prefill = async (ids, positions) => {
    const pixels = new ort.Tensor('float32', given.pixels, [given.pixels.length / given.patch, given.patch]);
    const { image_features } = await vision.run({ pixel_values: pixels });
    const words = await embedded(ids);
    const data = Float32Array.from(words.data);
    data.set(image_features.data, ids.indexOf(given.image_token) * words.dims[2]);
    return step(new ort.Tensor('float32', data, words.dims), positions, ids.length, nothing);
  };
  return {
    logits: async () => (await prefill(given.ids, given.positions)).logits.data,
    answer: async () => {
      let out = await prefill(given.reason_ids, given.reason_positions);
      let next = Math.max(...given.reason_positions.flat()) + 1;
      const tokens = [];
      for (;;) {
        tokens.push(likeliest(out.logits.data));
        if (given.ends.includes(tokens.at(-1)) || tokens.length === LONGEST) return tokens;
        const before = out;
        const length = given.reason_ids.length + tokens.length;
        out = await step(await embedded(tokens.slice(-1)), [[next], [next], [next]], length, (name) =>
          before[`present.${name}`]);
        names.forEach((name) => before[`present.${name}`].dispose());
        next += 1;
      }
    },
  };
}

async function transformers(given) {
  const package_folder = '/node_modules/@huggingface/transformers/';
  const { AutoProcessor, Qwen2_5_VLForConditionalGeneration, RawImage, env } = await import(
    `${package_folder}dist/transformers.min.js`
  );
  env.allowLocalModels = true;
  env.allowRemoteModels = false;
  env.localModelPath = '/';
  env.backends.onnx.wasm.wasmPaths = `${package_folder}node_modules/onnxruntime-web/dist/`;
  env.backends.onnx.wasm.numThreads = 1;
  const processor = await AutoProcessor.from_pretrained('nano');
  const model = await Qwen2_5_VLForConditionalGeneration.from_pretrained('nano', {
    device: backend,
    dtype: weights === 'f32' ? 'fp32' : 'q8',
  });
  const photo = new Blob([await bytes('photo')]);
  const ask = async (text, max_new_tokens, more) => {
    const inputs = await processor(text, await RawImage.fromBlob(photo));
    const out = await model.generate({ ...inputs, max_new_tokens, do_sample: false, ...more });
    return { out, length: inputs.input_ids.dims[1] };
  };
  return {
    // The first token alone: the class has no way to ask for its logits.
    logits: async () => {
      await ask(given.text, 1);
    },
    answer: async () => {
      const { out, length } = await ask(given.reason_text, LONGEST);
      return Array.from(out.tolist()[0].slice(length), Number);
    },
  };
}

async function candle(given) {
  const { default: start, Model } = await import('./candle/candle.js');
  await start({ module_or_path: './candle/candle_bg.wasm' });
  const config = await (await fetch('nano/config.flat.json')).text();
  const model = new Model(config, new Uint8Array(await bytes('nano/model.safetensors')));
  const by_token = ([t, h, w]) => Uint32Array.from(t.flatMap((_, token) => [t[token], h[token], w[token]]));
  const grid = Uint32Array.from(given.grid);
  const prompt = (ids, positions) => [Uint32Array.from(ids), by_token(positions), given.pixels, grid];
  const [quick, reason] = [
    prompt(given.ids, given.positions),
    prompt(given.reason_ids, given.reason_positions),
  ];
  return {
    logits: async () => model.logits(...quick),
    answer: async () => Array.from(model.answer(...reason, Uint32Array.from(given.ends), LONGEST)),
  };
}

async function measure() {
  const given = await (await fetch('nano/case.json')).json();
  given.pixels = new Float32Array(await bytes('nano/pixels.f32'));
  const begun = performance.now();
  const peer = await { ort, transformers, candle }[query.get('peer')](given);
  let logits = await peer.logits();
  const first = performance.now() - begun;
  const timed = async (work) => {
    const start = performance.now();
    const made = await work();
    return [performance.now() - start, made];
  };
  const scores = [];
  for (let i = 0; i < times; i += 1) {
    const [ms, made] = await timed(peer.logits);
    scores.push(ms);
    logits = made;
  }
  const answers = [];
  let tokens = [];
  for (let i = 0; i < Math.ceil(times / 3); i += 1) {
    const [ms, made] = await timed(peer.answer);
    answers.push(ms);
    tokens = made;
  }
  return {
    first,
    score: logits ? scoreOf(Array.from(logits), given.levels) : null,
    expected: given.score,
    score_ms: median(scores),
    answer_ms: median(answers),
    tokens,
  };
}

measure().then(
  (result) => {
    window.result = result;
  },
  (error) => {
    window.result = { error: String(error?.stack ?? error) };
  },
);
