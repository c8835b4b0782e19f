//! Pieces of spellings, reduced to letters and digits, and the search for them in time linear in the text.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use zeroize::Zeroizing;

/// Shortest spelling that is looked for in a reduced copy; shorter ones would be found in every text.
const MIN_REDUCED: usize = 6;
/// Most pieces of one spelling; of a longer one every so many is taken.
const MAX_PIECES: usize = 512;

/// Pieces of one length, with the mask of that length.
type Set = (u128, HashSet<u128, Quick>);

/// The pieces of all reduced spellings.
pub(super) struct Pieces {
    /// Which shortest ends of pieces there may be.
    ends: Filter,
    /// What the filter looks at.
    end: u64,
    sets: Vec<Set>,
}

impl Pieces {
    /// Of these spellings, with the length of the pieces of each.
    pub(super) fn new<'a>(spellings: impl Iterator<Item = (&'a str, usize)>) -> Self {
        let mut sets = Vec::new();
        spellings.for_each(|(text, piece)| add(&mut sets, &reduced(text), piece));
        let shortest = sets.iter().map(|(mask, _)| *mask).min().unwrap_or_default();
        let end = low(shortest);
        let count = sets.iter().map(|(_, set)| set.len()).sum();
        let ends = Filter::new(sets.iter().flat_map(|(_, set)| set.iter().map(|piece| low(*piece) & end)), count);
        Self { ends, end, sets }
    }

    /// Whether one stands in every so many bytes, zeros left out.
    pub(super) fn are_in(&self, bytes: &[u8], from: usize, stride: usize) -> bool {
        if self.sets.is_empty() {
            return false;
        }
        let (mut last, mut before) = (0_u64, 0_u64);
        for byte in bytes.iter().skip(from).step_by(stride).filter(|byte| **byte != 0) {
            before = (before << 8) | (last >> 56);
            last = (last << 8) | u64::from(*byte);
            if self.ends.may_hold(last & self.end) {
                let all = (u128::from(before) << 64) | u128::from(last);
                if self.sets.iter().any(|(mask, set)| set.contains(&(all & mask))) {
                    return true;
                }
            }
        }
        false
    }
}

fn low(wide: u128) -> u64 {
    u64::try_from(wide & u128::from(u64::MAX)).unwrap_or_default()
}

/// Says of most numbers that are not in a set that they are not.
pub(super) struct Filter {
    bits: Vec<u64>,
    shift: u32,
}

impl Filter {
    pub(super) fn new(numbers: impl Iterator<Item = u64>, count: usize) -> Self {
        let words = count.saturating_div(2).max(32).next_power_of_two();
        let mut filter = Self { bits: vec![0; words], shift: u64::BITS - words.trailing_zeros() };
        for number in numbers {
            let (word, bit) = filter.place(number);
            if let Some(word) = filter.bits.get_mut(word) {
                *word |= bit;
            }
        }
        filter
    }

    fn place(&self, number: u64) -> (usize, u64) {
        let mixed = number.wrapping_mul(MIX);
        (usize::try_from(mixed >> self.shift).unwrap_or_default(), 1 << ((mixed >> 32) & 63))
    }

    pub(super) fn may_hold(&self, number: u64) -> bool {
        let (word, bit) = self.place(number);
        self.bits.get(word).is_some_and(|word| word & bit != 0)
    }
}

/// An odd number without a pattern.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

pub(super) type Quick = BuildHasherDefault<Mixer>;

/// Hashes numbers of a set that nobody outside can add to.
#[derive(Default)]
pub(super) struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(MIX);
    }

    fn write_u128(&mut self, number: u128) {
        self.write_u64(low(number));
        self.write_u64(low(number >> 64));
    }
}

/// Letters and digits alone, in lower case, a byte for each.
fn reduced(text: &str) -> Zeroizing<Vec<u8>> {
    let mut kept = Zeroizing::new(Vec::with_capacity(text.len()));
    normalise(text, |byte| {
        if byte != 0 {
            kept.push(byte);
        }
    });
    kept
}

/// Letters and digits in lower case, a byte for each, and a zero for every other character.
pub(super) fn normalise(text: &str, mut take: impl FnMut(u8)) {
    for char in text.chars() {
        match u8::try_from(char) {
            Ok(byte) if byte.is_ascii_alphanumeric() => take(byte.to_ascii_lowercase()),
            Ok(byte) if byte.is_ascii() => take(0),
            _ if char.is_alphanumeric() => char.to_lowercase().for_each(|char| {
                let [first, second, third, _] = u32::from(char).to_le_bytes();
                take((first ^ second.rotate_left(3) ^ third) | 0x80);
            }),
            _ => take(0),
        }
    }
}

fn add(sets: &mut Vec<Set>, spelling: &[u8], piece: usize) {
    if spelling.len() < MIN_REDUCED {
        return;
    }
    let length = piece.min(spelling.len());
    let number = |piece: &[u8]| piece.iter().fold(0_u128, |number, byte| (number << 8) | u128::from(*byte));
    let mask = (0..length).fold(0_u128, |mask, _| (mask << 8) | 0xff);
    let windows = spelling.windows(length).step_by(spelling.len().div_ceil(MAX_PIECES)).map(number);
    match sets.iter_mut().find(|(other, _)| *other == mask) {
        Some((_, set)) => set.extend(windows),
        None => sets.push((mask, windows.collect())),
    }
}
