//! A script's syntax tree in a frame: every node a tag and its parts in order.
//!
//! Reading trusts nothing: a worker that a script took over may send any bytes. Depth, nodes and list elements are bounded while reading,
//! before anything is built, so no frame costs more memory than the largest honest script's; nothing is set aside for an announced length.
//!
//! INVARIANT: a tree that was read keeps the bounds that [`engine::script::tree`] promises to whoever walks it.

mod nodes;

use engine::script::tree::{MAX_DEPTH, MAX_NODES, Tree};

use super::codec::{Malformed, Reader, Writer};

/// Most list elements of all nodes together: each takes at least a character of a source of 64 KiB.
const MAX_ELEMENTS: usize = 128 * 1024;
/// Levels a tree has at most: the converter may put an opaque node below the deepest level.
const MAX_LEVELS: usize = MAX_DEPTH + 2;

/// Appends the tree to a body.
pub(crate) fn write_tree(tree: &Tree, to: &mut Writer<'_>) {
    tree.body.put(to);
}

/// Takes a tree off a body.
///
/// # Errors
/// Bytes that are no tree, or one beyond the bounds.
pub(crate) fn read_tree(from: &mut Reader<'_>) -> Result<Tree, Malformed> {
    let mut source = Source { reader: from, level: 0, nodes: 0, elements: 0 };
    Ok(Tree { body: Coded::take(&mut source)? })
}

/// What is read from, and how much of the bounds is used.
struct Source<'a, 'b> {
    reader: &'a mut Reader<'b>,
    level: usize,
    nodes: usize,
    elements: usize,
}

impl Source<'_, '_> {
    /// Reads one more node, one level down.
    fn node<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Malformed>) -> Result<T, Malformed> {
        self.nodes += 1;
        self.level += 1;
        // The converter counts brackets as nodes, so an honest tree never has more.
        if self.nodes > MAX_NODES || self.level > MAX_LEVELS {
            return Err(Malformed("a tree too large"));
        }
        let read = read(self)?;
        self.level -= 1;
        Ok(read)
    }

    fn element(&mut self) -> Result<(), Malformed> {
        self.elements += 1;
        if self.elements > MAX_ELEMENTS { Err(Malformed("a tree with too many elements")) } else { Ok(()) }
    }
}

/// Something that is written to and read from a frame.
trait Coded: Sized {
    fn put(&self, to: &mut Writer<'_>);
    fn take(from: &mut Source<'_, '_>) -> Result<Self, Malformed>;
}

impl<T: Coded> Coded for Vec<T> {
    fn put(&self, to: &mut Writer<'_>) {
        to.count(self.len());
        self.iter().for_each(|item| item.put(to));
    }

    fn take(from: &mut Source<'_, '_>) -> Result<Self, Malformed> {
        let mut list = Self::new();
        for _ in 0..from.reader.count()? {
            from.element()?;
            list.push(T::take(from)?);
        }
        Ok(list)
    }
}

impl<T: Coded> Coded for Option<T> {
    fn put(&self, to: &mut Writer<'_>) {
        to.u8(u8::from(self.is_some()));
        if let Some(value) = self {
            value.put(to);
        }
    }

    fn take(from: &mut Source<'_, '_>) -> Result<Self, Malformed> {
        Ok(if bool::take(from)? { Some(T::take(from)?) } else { None })
    }
}

impl<T: Coded> Coded for Box<T> {
    fn put(&self, to: &mut Writer<'_>) {
        self.as_ref().put(to);
    }

    fn take(from: &mut Source<'_, '_>) -> Result<Self, Malformed> {
        Ok(Self::new(T::take(from)?))
    }
}

impl Coded for Box<str> {
    fn put(&self, to: &mut Writer<'_>) {
        to.text(self);
    }

    fn take(from: &mut Source<'_, '_>) -> Result<Self, Malformed> {
        Ok(from.reader.text()?.into())
    }
}

impl Coded for bool {
    fn put(&self, to: &mut Writer<'_>) {
        to.u8(u8::from(*self));
    }

    fn take(from: &mut Source<'_, '_>) -> Result<Self, Malformed> {
        match from.reader.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("neither yes nor no")),
        }
    }
}

impl Coded for f64 {
    fn put(&self, to: &mut Writer<'_>) {
        to.u64(self.to_bits());
    }

    fn take(from: &mut Source<'_, '_>) -> Result<Self, Malformed> {
        from.reader.u64().map(Self::from_bits)
    }
}

impl Coded for u32 {
    fn put(&self, to: &mut Writer<'_>) {
        to.u32(*self);
    }

    fn take(from: &mut Source<'_, '_>) -> Result<Self, Malformed> {
        from.reader.u32()
    }
}

#[cfg(test)]
mod tests;
