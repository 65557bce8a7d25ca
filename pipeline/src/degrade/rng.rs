//! Random numbers that are the same on every machine and cheap enough to draw per pixel.

use std::sync::LazyLock;

/// SplitMix64 (Steele, Lea, Flood, 2014).
pub(crate) struct Rng {
    state: u64,
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Rng {
    /// A generator whose numbers are unrelated to those of any other seed or stream.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self { state: mix(mix(seed.wrapping_add(GOLDEN)) ^ stream.wrapping_mul(GOLDEN)) }
    }

    /// As [`Self::new`], with a stream for each name (FNV-1a).
    pub(crate) fn named(seed: u64, name: &str) -> Self {
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        Self::new(seed, name.bytes().fold(0xCBF2_9CE4_8422_2325, hash))
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Uniform in `0.0..1.0`.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Uniform in `0..bound`; 0 when the bound is 0. The bias is below `bound / 2^64`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// Heads or tails.
    pub(crate) fn coin(&mut self) -> bool {
        self.next_u64() >> 63 == 1
    }

    /// Two independent numbers of the standard normal distribution.
    pub(crate) fn normal_pair(&mut self, table: &NormalTable) -> [f32; 2] {
        let bits = self.next_u64();
        [table.quantile(bits as u32), table.quantile((bits >> 32) as u32)]
    }

    /// Fills `out` with numbers of the standard normal distribution.
    pub(crate) fn fill_normal(&mut self, out: &mut [f32]) {
        let table = NormalTable::get();
        let mut pairs = out.chunks_exact_mut(2);
        for pair in &mut pairs {
            pair.copy_from_slice(&self.normal_pair(table));
        }
        if let [last] = pairs.into_remainder() {
            *last = self.normal_pair(table)[0];
        }
    }
}

const CELLS: usize = 4096;

/// The standard normal quantile function at `CELLS + 1` points, interpolated between them.
///
/// One look-up a number, where Box-Muller takes a logarithm and a cosine; the tails end at about
/// four standard deviations, which eight bits cannot show.
pub(crate) struct NormalTable([f32; CELLS + 1]);

static TABLE: LazyLock<NormalTable> = LazyLock::new(|| {
    let smallest = 1.0 / (16.0 * CELLS as f64);
    let point = |i: usize| (i as f64 / CELLS as f64).clamp(smallest, 1.0 - smallest);
    NormalTable(std::array::from_fn(|i| normal_quantile(point(i)) as f32))
});

impl NormalTable {
    pub(crate) fn get() -> &'static Self {
        &TABLE
    }

    /// The quantile at `bits / 2^32`.
    fn quantile(&self, bits: u32) -> f32 {
        let cell = (bits >> 20) as usize;
        let fraction = (bits & 0xF_FFFF) as f32 / (1u32 << 20) as f32;
        let (low, high) = (self.0[cell], self.0[cell + 1]);
        low + fraction * (high - low)
    }
}

/// Acklam's rational approximation, relative error below 1.15e-9.
fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e+01,
        2.209460984245205e+02,
        -2.759285104469687e+02,
        1.38357751867269e+02,
        -3.066479806614716e+01,
        2.506628277459239e+00,
    ];
    const B: [f64; 6] = [
        -5.447609879822406e+01,
        1.615858368580409e+02,
        -1.556989798598866e+02,
        6.680131188771972e+01,
        -1.328068155288572e+01,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-03,
        -3.223964580411365e-01,
        -2.400758277161838e+00,
        -2.549732539343734e+00,
        4.374664141464968e+00,
        2.938163982698783e+00,
    ];
    const D: [f64; 5] =
        [7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00, 3.754408661907416e+00, 1.0];
    let polynomial = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    if p < 0.02425 {
        let q = (-2.0 * libm::log(p)).sqrt();
        polynomial(&C, q) / polynomial(&D, q)
    } else if p > 1.0 - 0.02425 {
        -normal_quantile(1.0 - p)
    } else {
        let q = p - 0.5;
        polynomial(&A, q * q) * q / polynomial(&B, q * q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_the_moments_of_the_normal_distribution() {
        let mut numbers = vec![0.0; 400_001];
        Rng::new(1, 2).fill_normal(&mut numbers);
        let moment = |power: i32| {
            numbers.iter().map(|&x| f64::from(x).powi(power)).sum::<f64>() / numbers.len() as f64
        };
        for (power, expected, tolerance) in [(1, 0.0, 0.01), (2, 1.0, 0.01), (3, 0.0, 0.02), (4, 3.0, 0.05)] {
            let found = moment(power);
            assert!((found - expected).abs() < tolerance, "moment {power}: {found}");
        }
    }

    #[test]
    fn seeds_and_streams_differ() {
        let first = |seed, stream| Rng::new(seed, stream).next_u64();
        assert_eq!(first(7, 3), first(7, 3));
        assert_ne!(first(7, 3), first(7, 4));
        assert_ne!(first(7, 3), first(8, 3));
    }
}
