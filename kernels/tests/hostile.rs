//! Bytes from strangers: whatever is done to a file, decoding it ends with an image or an error, and does not
//! take memory that its size and the limits do not justify.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use qponder_kernels::pixels::{Limits, decode, probe};

/// Counts what is held and the most that was ever asked for.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Beyond `max_memory`: the finished image, tables of the decoders and of profiles, and the test's own.
const ALLOWANCE: usize = 48 << 20;

fn limits() -> Limits {
    Limits { max_memory: 16 << 20, max_pixels: 1 << 20, ..Limits::default() }
}

/// All files of the decoding test.
fn files() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images");
    let entries = std::fs::read_dir(&folder).expect("the folder of images");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths
        .retain(|path| path.extension().is_some_and(|kind| kind == "png" || kind == "jpg" || kind == "webp"));
    paths.sort();
    assert!(paths.len() > 30);
    paths.iter().map(|path| std::fs::read(path).expect("an image")).collect()
}

/// One thing done to a file. Positions are fractions of its length.
#[derive(Clone, Debug)]
enum Change {
    Set(f64, u8),
    /// Numbers that decoders multiply.
    Fill(f64, usize, u8),
    Cut(f64),
    Remove(f64, usize),
    Repeat(f64, usize),
    Insert(f64, Vec<u8>),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let at = |place: f64| (place * bytes.len() as f64) as usize;
        let end = |start: usize, count: usize| (start + count).min(bytes.len());
        match *self {
            Change::Set(place, value) => {
                let at = at(place);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            Change::Fill(place, count, value) => {
                let (start, end) = (at(place), end(at(place), count));
                bytes[start..end].fill(value);
            }
            Change::Cut(place) => bytes.truncate(at(place)),
            Change::Remove(place, count) => {
                let (start, end) = (at(place), end(at(place), count));
                bytes.drain(start..end);
            }
            Change::Repeat(place, count) => {
                let (start, end) = (at(place), end(at(place), count));
                bytes.extend_from_within(start..end);
            }
            Change::Insert(place, ref new) => {
                let at = at(place);
                bytes.splice(at..at, new.iter().copied());
            }
        }
    }
}

/// Headers are short and matter most, so half of all changes hit the first tenth.
fn place() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..0.1, 0.0..1.0]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (place(), any::<u8>()).prop_map(|(place, value)| Change::Set(place, value)),
        2 => (place(), 1..5_usize, prop_oneof![Just(0), Just(0x7f), Just(0xff)])
            .prop_map(|(place, count, value)| Change::Fill(place, count, value)),
        1 => place().prop_map(Change::Cut),
        1 => (place(), 1..40_usize).prop_map(|(place, count)| Change::Remove(place, count)),
        1 => (place(), 1..400_usize).prop_map(|(place, count)| Change::Repeat(place, count)),
        1 => (place(), prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(place, new)| Change::Insert(place, new)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    // One test only: the allocator counts for the whole process.
    #[test]
    fn changed_files_give_an_image_or_an_error(
        file in prop::sample::select(files()),
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let mut bytes = file;
        for change in &changes {
            change.apply(&mut bytes);
        }
        let before = HELD.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let outcome = decode(&bytes, &limits());
        let taken = PEAK.load(Ordering::Relaxed) - before;
        prop_assert!(taken <= limits().max_memory as usize + ALLOWANCE, "{taken} bytes were taken");

        match outcome {
            Ok(decoded) => {
                let header = probe(&bytes).expect("it was decoded");
                let size = (decoded.image.width() as u32, decoded.image.height() as u32);
                let stored = (header.width, header.height);
                prop_assert!(size == stored || size == (stored.1, stored.0));
            }
            Err(error) => prop_assert!(!error.to_string().contains('\n')),
        }
    }
}
