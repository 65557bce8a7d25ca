//! The three instructions that products in whole numbers need, by processor: pairs of 16 bits multiplied and added
//! into 32 (`pmaddwd`, `i32x4.dot_i16x8_s`).

pub use own::{Sums, Totals, Weights, add_product, add_products, numbers, pair, scaled, weights};

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod own {
    use std::arch::wasm32::{
        f32x4_add, f32x4_convert_i32x4, f32x4_mul, f32x4_splat, i32x4_add, i32x4_dot_i16x8, i32x4_splat,
        v128, v128_load, v128_load32_splat, v128_store,
    };

    /// Eight sums, in whole numbers or in f32: zeros are the same bits.
    #[derive(Clone, Copy)]
    pub struct Eight(v128, v128);

    impl Default for Eight {
        fn default() -> Self {
            Self(i32x4_splat(0), i32x4_splat(0))
        }
    }

    /// Whole sums of eight outputs.
    pub type Sums = Eight;
    /// Scaled sums of eight outputs.
    pub type Totals = Eight;
    /// A pair of weights for each output.
    pub type Weights = Eight;

    /// A pair of weights for each output.
    #[inline(always)]
    pub fn weights(weights: &[i16; 16]) -> Weights {
        let first: *const v128 = weights.as_ptr().cast();
        // SAFETY: 32 bytes are there, and loads need no alignment.
        unsafe { Eight(v128_load(first), v128_load(first.add(1))) }
    }

    /// A pair of activations, for every output the same.
    #[inline(always)]
    pub fn pair(x: &[i16; 2]) -> v128 {
        // SAFETY: four bytes are there, and loads need no alignment.
        unsafe { v128_load32_splat(x.as_ptr().cast()) }
    }

    /// Adds the products of two pairs, for each output.
    #[inline(always)]
    pub fn add_products(sums: Sums, x: v128, weights: Weights) -> Sums {
        let first = i32x4_add(sums.0, i32x4_dot_i16x8(x, weights.0));
        Eight(first, i32x4_add(sums.1, i32x4_dot_i16x8(x, weights.1)))
    }

    /// `totals + whole * x * weights`.
    #[inline(always)]
    pub fn scaled(totals: Totals, whole: Sums, x: f32, weights: &[f32; 8]) -> Totals {
        let first: *const v128 = weights.as_ptr().cast();
        // SAFETY: 32 bytes are there, and loads need no alignment.
        let weights = unsafe { [v128_load(first), v128_load(first.add(1))] };
        let x = f32x4_splat(x);
        let add = |total, whole, weights| {
            f32x4_add(total, f32x4_mul(f32x4_convert_i32x4(whole), f32x4_mul(x, weights)))
        };
        Eight(add(totals.0, whole.0, weights[0]), add(totals.1, whole.1, weights[1]))
    }

    /// `totals + x * weights`.
    #[inline(always)]
    pub fn add_product(totals: Totals, x: &f32, weights: &[f32; 8]) -> Totals {
        let first: *const v128 = weights.as_ptr().cast();
        // SAFETY: four and 32 bytes are there, and loads need no alignment.
        let (x, weights) = unsafe {
            let x: *const f32 = x;
            (v128_load32_splat(x.cast()), [v128_load(first), v128_load(first.add(1))])
        };
        Eight(f32x4_add(totals.0, f32x4_mul(x, weights[0])), f32x4_add(totals.1, f32x4_mul(x, weights[1])))
    }

    /// As numbers.
    #[inline(always)]
    pub fn numbers(totals: Totals) -> [f32; 8] {
        let mut out = [0.0; 8];
        let first: *mut v128 = out.as_mut_ptr().cast();
        // SAFETY: 32 bytes are there, and stores need no alignment.
        unsafe {
            v128_store(first, totals.0);
            v128_store(first.add(1), totals.1);
        }
        out
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod own {
    /// Whole sums of eight outputs.
    pub type Sums = [i32; 8];
    /// Scaled sums of eight outputs.
    pub type Totals = [f32; 8];
    /// A pair of weights for each output.
    pub type Weights<'a> = &'a [i16; 16];

    /// A pair of weights for each output.
    #[inline(always)]
    pub fn weights(weights: &[i16; 16]) -> Weights<'_> {
        weights
    }

    /// A pair of activations, for every output the same.
    #[inline(always)]
    pub fn pair(x: &[i16; 2]) -> [i16; 2] {
        *x
    }

    /// Adds the products of two pairs, for each output.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub fn add_products(sums: Sums, x: [i16; 2], w: Weights) -> Sums {
        use std::arch::x86_64::{__m128i, _mm_add_epi32, _mm_madd_epi16, _mm_set1_epi32};
        let [a, b] = x.map(|x| u32::from(x as u16));
        let (low, high) = w.split_at(8);
        let load = |w: &[i16]| -> __m128i {
            let w: [i16; 8] = std::array::from_fn(|i| w[i]);
            // SAFETY: eight whole numbers of 16 bits, of which every pattern is one.
            unsafe { std::mem::transmute::<[i16; 8], __m128i>(w) }
        };
        // SAFETY: as above, in 32 bits; and every processor of this architecture has SSE2.
        unsafe {
            let x = _mm_set1_epi32((a | b << 16) as i32);
            let [first, second] = std::mem::transmute::<[i32; 8], [__m128i; 2]>(sums);
            let first = _mm_add_epi32(first, _mm_madd_epi16(x, load(low)));
            let second = _mm_add_epi32(second, _mm_madd_epi16(x, load(high)));
            std::mem::transmute::<[__m128i; 2], [i32; 8]>([first, second])
        }
    }

    /// Adds the products of two pairs, for each output.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    pub fn add_products(sums: Sums, x: [i16; 2], w: Weights) -> Sums {
        let [a, b] = x.map(i32::from);
        std::array::from_fn(|i| sums[i] + a * i32::from(w[2 * i]) + b * i32::from(w[2 * i + 1]))
    }

    /// `totals + whole * x * weights`.
    #[inline(always)]
    pub fn scaled(totals: Totals, whole: Sums, x: f32, weights: &[f32; 8]) -> Totals {
        std::array::from_fn(|i| totals[i] + whole[i] as f32 * (x * weights[i]))
    }

    /// `totals + x * weights`.
    #[inline(always)]
    pub fn add_product(totals: Totals, x: &f32, weights: &[f32; 8]) -> Totals {
        std::array::from_fn(|i| totals[i] + x * weights[i])
    }

    /// As numbers.
    #[inline(always)]
    pub fn numbers(totals: Totals) -> [f32; 8] {
        totals
    }
}
