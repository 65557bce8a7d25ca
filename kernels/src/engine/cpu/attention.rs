//! Attention of a run of queries to a run of keys, a head at a time.

use super::math::{dot, exp, softmax};
use super::product::{PANEL, TILE, tile};

/// Rows `first..first + count` of a `(tokens, heads, width)` tensor.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'a> {
    pub values: &'a [f32],
    pub heads: usize,
    pub width: usize,
}

impl<'a> Heads<'a> {
    fn row(&self, token: usize, head: usize) -> &'a [f32] {
        &self.values[(token * self.heads + head) * self.width..][..self.width]
    }

    fn tokens(&self) -> usize {
        self.values.len() / (self.heads * self.width)
    }
}

/// Keys that a single query meets at a time.
const RUN: usize = 64;

/// Softmax of `q·k / √width` times `v`, where several query heads may share a key head. If `causal`, the
/// last query sees all keys and each earlier one a key less. `out` is shaped as `q`.
pub fn attention(q: Heads, k: Heads, v: Heads, causal: bool, out: &mut [f32]) {
    let (width, queries, keys) = (q.width, q.tokens(), k.tokens());
    // Panels for a query or two are more work than they save.
    if queries < TILE {
        return few(q, k, v, causal, out);
    }
    let group = q.heads / k.heads;
    let scale = 1.0 / (width as f32).sqrt();
    let panels = keys.div_ceil(PANEL);
    let mut k_panels = vec![[0.0; PANEL]; panels * width];
    let mut v_panels = vec![[0.0; PANEL]; width.div_ceil(PANEL) * keys];
    let mut scores = vec![0.0; TILE * panels * PANEL];
    for kv_head in 0..k.heads {
        for key in 0..keys {
            let (panel, lane) = (key / PANEL, key % PANEL);
            for (slot, value) in k_panels[panel * width..][..width].iter_mut().zip(k.row(key, kv_head)) {
                slot[lane] = value * scale;
            }
            for (panel, values) in v.row(key, kv_head).chunks(PANEL).enumerate() {
                v_panels[panel * keys + key][..values.len()].copy_from_slice(values);
            }
        }
        for head in kv_head * group..(kv_head + 1) * group {
            for top in (0..queries).step_by(TILE) {
                let count = TILE.min(queries - top);
                let seen = |query: usize| if causal { keys - (queries - 1 - query) } else { keys };
                let most = seen(top + count - 1);
                let rows = std::array::from_fn(|i| q.row(top + i.min(count - 1), head));
                let stride = panels * PANEL;
                for panel in 0..most.div_ceil(PANEL) {
                    let sums = tile(rows, &k_panels[panel * width..][..width]);
                    for (row, sums) in sums.iter().enumerate() {
                        scores[row * stride + panel * PANEL..][..PANEL].copy_from_slice(sums);
                    }
                }
                for (row, scores) in scores.chunks_exact_mut(stride).enumerate() {
                    let seen = seen(top + row.min(count - 1));
                    softmax(&mut scores[..seen]);
                    scores[seen..most.max(seen)].fill(0.0);
                }
                let shares = std::array::from_fn(|row| &scores[row * stride..][..most]);
                for (panel, first) in (0..width).step_by(PANEL).enumerate() {
                    let sums = tile(shares, &v_panels[panel * keys..][..most]);
                    let lanes = PANEL.min(width - first);
                    for (row, sums) in sums.iter().take(count).enumerate() {
                        let at = ((top + row) * q.heads + head) * width + first;
                        out[at..at + lanes].copy_from_slice(&sums[..lanes]);
                    }
                }
            }
        }
    }
}

/// The same for few queries: each goes along the keys once (online softmax, Milakov and Gimelshein 2018), and
/// nothing is allocated.
fn few(q: Heads, k: Heads, v: Heads, causal: bool, out: &mut [f32]) {
    let (width, queries, keys) = (q.width, q.tokens(), k.tokens());
    let group = q.heads / k.heads;
    let scale = 1.0 / (width as f32).sqrt();
    for (at, out) in out.chunks_exact_mut(width).enumerate() {
        let (query, head) = (at / q.heads, at % q.heads);
        let seen = if causal { keys - (queries - 1 - query) } else { keys };
        let row = q.row(query, head);
        let (mut largest, mut total) = (f32::NEG_INFINITY, 0.0);
        out.fill(0.0);
        for first in (0..seen).step_by(RUN) {
            let mut shares = [f32::NEG_INFINITY; RUN];
            let shares = &mut shares[..RUN.min(seen - first)];
            for (key, share) in shares.iter_mut().enumerate() {
                *share = dot(row, k.row(first + key, head / group)) * scale;
            }
            let before = largest;
            largest = shares.iter().fold(largest, |a, &b| a.max(b));
            let shrink = exp(before - largest);
            shares.iter_mut().for_each(|share| *share = exp(*share - largest));
            total = total * shrink + shares.iter().sum::<f32>();
            out.iter_mut().for_each(|out| *out *= shrink);
            for (key, &share) in shares.iter().enumerate() {
                for (out, value) in out.iter_mut().zip(v.row(first + key, head / group)) {
                    *out += share * value;
                }
            }
        }
        out.iter_mut().for_each(|out| *out /= total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::random::Random;

    #[test]
    fn heads_share_keys_and_causal_queries_see_no_later_ones() {
        let mut random = Random::new(2);
        for (queries, keys, heads, kv_heads, width, causal) in [
            (1, 9, 2, 1, 8, true),
            (1, 397, 5, 1, 32, true),
            (3, 130, 4, 2, 12, true),
            (2, 64, 3, 3, 20, false),
            (7, 7, 4, 2, 12, true),
            (5, 21, 3, 3, 20, false),
            (6, 30, 5, 1, 32, true),
        ] {
            let q = random.numbers(queries * heads * width);
            let k = random.numbers(keys * kv_heads * width);
            let v = random.numbers(keys * kv_heads * width);
            let mut out = vec![0.0; q.len()];
            let view = |values, heads| Heads { values, heads, width };
            attention(view(&q, heads), view(&k, kv_heads), view(&v, kv_heads), causal, &mut out);
            for query in 0..queries {
                for head in 0..heads {
                    let kv_head = head * kv_heads / heads;
                    let seen = if causal { keys - (queries - 1 - query) } else { keys };
                    let a = view(&q, heads).row(query, head);
                    let weight = |key: usize| {
                        let b = view(&k, kv_heads).row(key, kv_head);
                        let product: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum();
                        (product / (width as f64).sqrt()).exp()
                    };
                    let total: f64 = (0..seen).map(weight).sum();
                    for i in 0..width {
                        let exact: f64 = (0..seen)
                            .map(|key| {
                                weight(key) / total * f64::from(view(&v, kv_heads).row(key, kv_head)[i])
                            })
                            .sum();
                        let value = f64::from(view(&out, heads).row(query, head)[i]);
                        assert!(
                            (value - exact).abs() < 1e-5,
                            "{queries} {keys} {query} {head} {i}: {value} {exact}"
                        );
                    }
                }
            }
        }
    }
}
