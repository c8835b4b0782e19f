//! Reading and writing the pieces of a frame's body.

use crate::config::MAX_FRAME;

/// A frame that says something it cannot mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed frame: {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Puts the length before a body written by `body`, reusing `buffer`.
pub(crate) fn frame(buffer: &mut Vec<u8>, body: impl FnOnce(&mut Writer<'_>)) -> Result<(), Malformed> {
    buffer.clear();
    buffer.extend_from_slice(&[0; 4]);
    body(&mut Writer(buffer));
    let length = buffer.len().saturating_sub(4);
    if length > MAX_FRAME {
        return Err(Malformed("too long"));
    }
    let length = u32::try_from(length).map_err(|_| Malformed("too long"))?;
    if let Some(head) = buffer.first_chunk_mut::<4>() {
        *head = length.to_le_bytes();
    }
    Ok(())
}

/// The body length a frame's head announces.
pub(crate) fn frame_length(head: [u8; 4]) -> Result<usize, Malformed> {
    match usize::try_from(u32::from_le_bytes(head)) {
        Ok(length) if length <= MAX_FRAME => Ok(length),
        _ => Err(Malformed("too long")),
    }
}

/// Appends fields to a body.
pub(crate) struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A count or length; what does not fit makes the frame too long anyway.
    pub(crate) fn count(&mut self, value: usize) {
        self.u32(u32::try_from(value).unwrap_or(u32::MAX));
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.count(value.len());
        self.0.extend_from_slice(value);
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    pub(crate) fn optional_u32(&mut self, value: Option<u32>) {
        self.u32(value.unwrap_or(0));
    }
}

/// Takes fields off a body.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed("too short"))?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.chunk::<1>().map(|[value]| value)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.chunk().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.chunk().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        self.chunk().map(i64::from_le_bytes)
    }

    /// The length of a list; every element takes at least one byte, so it cannot exceed what is left.
    pub(crate) fn count(&mut self) -> Result<usize, Malformed> {
        match usize::try_from(self.u32()?) {
            Ok(count) if count <= self.0.len() => Ok(count),
            _ => Err(Malformed("too many elements")),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.count()?;
        let (head, rest) = self.0.split_at_checked(length).ok_or(Malformed("too short"))?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("not text"))
    }

    pub(crate) fn optional_u32(&mut self) -> Result<Option<u32>, Malformed> {
        self.u32().map(|value| (value != 0).then_some(value))
    }

    pub(crate) fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("bytes left over")) }
    }
}
