//! Where patches and tokens stand: windows of the vision tower, rows and columns, M-RoPE positions.

/// Position of a token in time, height and width.
pub type Position = [u32; 3];

/// The order in which the vision tower's blocks see the merged patches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowOrder {
    /// For each position in window order, the merged patch that stands there.
    pub merged: Vec<u32>,
    /// Patches in each window.
    pub windows: Vec<usize>,
}

/// Cuts each image into windows of `side` by `side` merged patches from the top left; windows at the right
/// and bottom may be smaller. `grids` gives each image's patches in time, height and width, `merge` the
/// patches on a side of a merged one.
#[must_use]
pub fn window_order(side: usize, merge: usize, grids: &[[usize; 3]]) -> WindowOrder {
    let mut order = WindowOrder { merged: Vec::new(), windows: Vec::new() };
    let mut first = 0;
    for &[t, h, w] in grids {
        let (rows, columns) = (h / merge, w / merge);
        for frame in 0..t {
            let start = first + frame * rows * columns;
            for top in (0..rows).step_by(side) {
                for left in (0..columns).step_by(side) {
                    let before = order.merged.len();
                    for y in top..rows.min(top + side) {
                        order.merged.extend(
                            (left..columns.min(left + side)).map(|x| (start + y * columns + x) as u32),
                        );
                    }
                    order.windows.push((order.merged.len() - before) * merge * merge);
                }
            }
        }
        first += t * rows * columns;
    }
    order
}

/// Row and column of every patch, in the processor's order: merged patches row by row, the patches
/// of one row by row.
#[must_use]
pub fn patch_positions(grids: &[[usize; 3]], merge: usize) -> Vec<(usize, usize)> {
    let mut positions = Vec::new();
    for &[t, h, w] in grids {
        for _ in 0..t {
            for (top, left) in
                (0..h / merge).flat_map(|y| (0..w / merge).map(move |x| (y * merge, x * merge)))
            {
                positions.extend((0..merge).flat_map(|y| (0..merge).map(move |x| (top + y, left + x))));
            }
        }
    }
    positions
}

/// Rotation angles of the vision tower's patches in window order, `(patches, 2 * quarter)`: a quarter of a
/// head turns with the row, a quarter with the column.
#[must_use]
pub fn vision_angles(order: &WindowOrder, grids: &[[usize; 3]], merge: usize, quarter: usize) -> Vec<f32> {
    let frequencies: Vec<f32> =
        (0..quarter).map(|i| 1.0 / 10_000_f32.powf((2 * i) as f32 / (2 * quarter) as f32)).collect();
    let positions = patch_positions(grids, merge);
    let mut angles = Vec::with_capacity(positions.len() * 2 * quarter);
    for &group in &order.merged {
        for &(row, column) in &positions[group as usize * merge * merge..][..merge * merge] {
            angles.extend(frequencies.iter().map(|f| row as f32 * f));
            angles.extend(frequencies.iter().map(|f| column as f32 * f));
        }
    }
    angles
}

/// Rotation angles of the language model's tokens, `(tokens, half)`: of a head's `half` frequencies the
/// first follow time, the next height, the last width, as many each as `sections` says.
#[must_use]
pub fn text_angles(positions: &[Position], sections: [usize; 3], half: usize, theta: f32) -> Vec<f32> {
    angles(positions, &text_frequencies(sections, half, theta)).collect()
}

/// The axis that each frequency of a head follows, and the frequency, `(half)`.
#[must_use]
pub fn text_frequencies([t, h, _]: [usize; 3], half: usize, theta: f32) -> Vec<(usize, f32)> {
    let frequency = |i: usize| {
        let axis = if i < t { 0 } else { 1 + usize::from(i >= t + h) };
        (axis, 1.0 / theta.powf((2 * i) as f32 / (2 * half) as f32))
    };
    (0..half).map(frequency).collect()
}

/// The angles of [`text_angles`], of frequencies that are there already.
pub fn angles<'a>(
    positions: &'a [Position],
    frequencies: &'a [(usize, f32)],
) -> impl Iterator<Item = f32> + 'a {
    positions.iter().flat_map(|position| frequencies.iter().map(|&(axis, f)| position[axis] as f32 * f))
}

/// M-RoPE positions of one prompt, as `get_rope_index` of transformers gives them for images: text
/// advances all three axes together, an image's merged patches spread over height and width, and the
/// text after it goes on behind the image's largest position.
#[must_use]
pub fn positions(ids: &[u32], image_token: u32, grids: &[[usize; 3]], merge: usize) -> Vec<Position> {
    let mut positions = Vec::with_capacity(ids.len());
    let mut grids = grids.iter();
    let mut next = 0;
    let mut index = 0;
    while index < ids.len() {
        let grid = if ids[index] == image_token { grids.next() } else { None };
        let Some(&[t, h, w]) = grid else {
            positions.push([next; 3]);
            next += 1;
            index += 1;
            continue;
        };
        let (h, w) = (h / merge, w / merge);
        for frame in 0..t {
            for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
                positions.push([next + frame as u32, next + y as u32, next + x as u32]);
            }
        }
        next += t.max(h).max(w) as u32;
        index += t * h * w;
    }
    positions
}
