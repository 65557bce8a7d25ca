//! Where an image lies in a viewer: zoom, pan and what of it can be seen.
//!
//! Everything is in device pixels, so that a zoom of 1 maps each pixel of the image to exactly one
//! of the screen, and positions are whole numbers: a fraction would make the browser resample.

/// Width and height, of an image in its own pixels or of a viewer in device pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Size {
    pub width: f64,
    pub height: f64,
}

/// A point in device pixels from the viewer's top left corner.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
}

/// A rectangle as fractions of the image: `0.0..=1.0`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

/// The zooms that the keys step through.
const STEPS: [f64; 14] = [0.05, 0.1, 0.25, 0.333, 0.5, 0.667, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0, 32.0];

/// How an image lies in a viewer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Device pixels per image pixel.
    pub zoom: f64,
    /// Where the image's top left corner is.
    pub origin: Point,
}

impl View {
    /// The image in the middle at `zoom`.
    #[must_use]
    pub fn centred(zoom: f64, image: Size, stage: Size) -> Self {
        let zoom = limited(zoom, image, stage);
        let origin = Point {
            x: (stage.width - image.width * zoom) / 2.0,
            y: (stage.height - image.height * zoom) / 2.0,
        };
        Self { zoom, origin }.within(image, stage)
    }

    /// The whole image, as large as it goes without enlarging its pixels.
    #[must_use]
    pub fn fitted(image: Size, stage: Size) -> Self {
        Self::centred(fit(image, stage), image, stage)
    }

    /// Zooms so that the image's point under `anchor` stays there.
    #[must_use]
    pub fn zoomed(self, zoom: f64, anchor: Point, image: Size, stage: Size) -> Self {
        let zoom = limited(zoom, image, stage);
        let ratio = zoom / self.zoom;
        let origin = Point {
            x: anchor.x - (anchor.x - self.origin.x) * ratio,
            y: anchor.y - (anchor.y - self.origin.y) * ratio,
        };
        Self { zoom, origin }.within(image, stage)
    }

    /// Moves the image.
    #[must_use]
    pub fn panned(self, by: Point, image: Size, stage: Size) -> Self {
        let origin = Point { x: self.origin.x + by.x, y: self.origin.y + by.y };
        Self { origin, ..self }.within(image, stage)
    }

    /// Moves the image so that its point at fractions `at` is in the middle, as far as it goes.
    #[must_use]
    pub fn looking_at(self, at: Point, image: Size, stage: Size) -> Self {
        let origin = Point {
            x: stage.width / 2.0 - at.x * image.width * self.zoom,
            y: stage.height / 2.0 - at.y * image.height * self.zoom,
        };
        Self { origin, ..self }.within(image, stage)
    }

    /// What of the image is in the middle of the viewer, as fractions; outside of `0.0..=1.0` beside the image.
    #[must_use]
    pub fn middle(self, image: Size, stage: Size) -> Point {
        let axis = |origin: f64, image: f64, stage: f64| {
            (stage / 2.0 - origin) / (image * self.zoom).max(f64::MIN_POSITIVE)
        };
        Point {
            x: axis(self.origin.x, image.width, stage.width),
            y: axis(self.origin.y, image.height, stage.height),
        }
    }

    /// As another image is seen: at the same zoom, with the same relative place in the middle. Where this image
    /// does not reach so far, it stays at its edge.
    #[must_use]
    pub fn like(other: View, middle: Point, image: Size, stage: Size) -> Self {
        let zoom = limited(other.zoom, image, stage);
        Self { zoom, origin: Point::default() }.looking_at(middle, image, stage)
    }

    /// The next larger zoom that the keys offer.
    #[must_use]
    pub fn step_in(self) -> f64 {
        STEPS.into_iter().find(|step| *step > self.zoom * 1.001).unwrap_or(self.zoom)
    }

    /// The next smaller zoom that the keys offer.
    #[must_use]
    pub fn step_out(self) -> f64 {
        STEPS.into_iter().rev().find(|step| *step < self.zoom * 0.999).unwrap_or(self.zoom)
    }

    /// Which part of the image can be seen.
    #[must_use]
    pub fn visible(self, image: Size, stage: Size) -> Part {
        let axis = |origin: f64, image: f64, stage: f64| {
            let length = (image * self.zoom).max(f64::MIN_POSITIVE);
            let start = (-origin / length).clamp(0.0, 1.0);
            let end = ((stage - origin) / length).clamp(start, 1.0);
            (start, end - start)
        };
        let (left, width) = axis(self.origin.x, image.width, stage.width);
        let (top, height) = axis(self.origin.y, image.height, stage.height);
        Part { left, top, width, height }
    }

    /// Whether some of the image lies outside the viewer.
    #[must_use]
    pub fn overflows(self, image: Size, stage: Size) -> bool {
        image.width * self.zoom > stage.width + 0.5 || image.height * self.zoom > stage.height + 0.5
    }

    /// On whole pixels; without empty space beside an image that is larger than the viewer, and in
    /// the middle where it is smaller.
    fn within(self, image: Size, stage: Size) -> Self {
        let axis = |origin: f64, image: f64, stage: f64| {
            let slack = stage - image * self.zoom;
            if slack >= 0.0 { (slack / 2.0).floor() } else { origin.clamp(slack, 0.0).round() }
        };
        let origin = Point {
            x: axis(self.origin.x, image.width, stage.width),
            y: axis(self.origin.y, image.height, stage.height),
        };
        Self { origin, ..self }
    }
}

fn fit(image: Size, stage: Size) -> f64 {
    let ratio = (stage.width / image.width.max(1.0)).min(stage.height / image.height.max(1.0));
    if ratio > 0.0 { ratio.min(1.0) } else { 1.0 }
}

/// From the whole image in view (or 5 %, whichever is smaller) to the largest step.
fn limited(zoom: f64, image: Size, stage: Size) -> f64 {
    let least = fit(image, stage).min(STEPS[0]);
    if zoom.is_nan() { 1.0 } else { zoom.clamp(least, STEPS[STEPS.len() - 1]) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STAGE: Size = Size { width: 800.0, height: 601.0 };
    const IMAGE: Size = Size { width: 4000.0, height: 300.0 };

    #[test]
    fn lies_in_the_middle_on_whole_pixels() {
        let view = View::centred(1.0, IMAGE, STAGE);
        assert_eq!(view.origin, Point { x: -1600.0, y: 150.0 });
        assert!(view.overflows(IMAGE, STAGE));
        assert!(!View::fitted(IMAGE, STAGE).overflows(IMAGE, STAGE));
    }

    #[test]
    fn fitting_never_enlarges() {
        assert_eq!(View::fitted(Size { width: 10.0, height: 10.0 }, STAGE).zoom, 1.0);
    }

    #[test]
    fn linked_images_show_the_same_place_at_the_same_zoom() {
        let (large, small) = (Size { width: 4000.0, height: 3000.0 }, Size { width: 2000.0, height: 1500.0 });
        let led = View::centred(2.0, large, STAGE).looking_at(Point { x: 0.3, y: 0.7 }, large, STAGE);
        let follows = View::like(led, led.middle(large, STAGE), small, STAGE);
        let middle = follows.middle(small, STAGE);
        assert_eq!(follows.zoom, 2.0);
        assert!((middle.x - 0.3).abs() < 1e-3 && (middle.y - 0.7).abs() < 1e-3, "{middle:?}");
        // A small image cannot leave its place.
        let tiny = Size { width: 40.0, height: 30.0 };
        let middle = View::like(led, led.middle(large, STAGE), tiny, STAGE).middle(tiny, STAGE);
        assert!((middle.x - 0.5).abs() < 0.02 && (middle.y - 0.5).abs() < 0.02, "{middle:?}");
    }

    #[test]
    fn steps_pass_through_one_to_one() {
        let view = View::centred(0.7, IMAGE, STAGE);
        assert_eq!(view.step_in(), 1.0);
        assert_eq!(View::centred(1.3, IMAGE, STAGE).step_out(), 1.0);
        assert_eq!(View::centred(32.0, IMAGE, STAGE).step_in(), 32.0);
    }

    #[test]
    fn shows_which_part_is_visible() {
        let image = Size { width: 3200.0, height: 300.0 };
        let part = View::centred(1.0, image, STAGE).visible(image, STAGE);
        assert_eq!(part, Part { left: 0.375, top: 0.0, width: 0.25, height: 1.0 });
    }

    proptest! {
        #[test]
        fn zooming_keeps_the_point_under_the_pointer(
            zoom in 1.0..8.0_f64, x in 0.0..800.0_f64, y in 0.0..601.0_f64,
        ) {
            let image = Size { width: 4000.0, height: 3000.0 };
            let before = View::centred(1.0, image, STAGE);
            let after = before.zoomed(zoom, Point { x, y }, image, STAGE);
            let point = |view: View| ((x - view.origin.x) / view.zoom, (y - view.origin.y) / view.zoom);
            prop_assert!((point(before).0 - point(after).0).abs() <= 1.0);
            prop_assert!((point(before).1 - point(after).1).abs() <= 1.0);
        }

        #[test]
        fn a_large_image_leaves_no_empty_space(dx in -9e3..9e3_f64, dy in -9e3..9e3_f64) {
            let image = Size { width: 4000.0, height: 3000.0 };
            let view = View::centred(1.0, image, STAGE).panned(Point { x: dx, y: dy }, image, STAGE);
            prop_assert!(view.origin.x <= 0.0 && view.origin.x + image.width >= STAGE.width);
            prop_assert!(view.origin.y <= 0.0 && view.origin.y + image.height >= STAGE.height);
        }
    }
}
