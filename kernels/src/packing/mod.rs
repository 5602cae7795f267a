//! Memory of packed weights: made while packing, or lent by whoever kept an earlier packing.
//!
//! Packing always computes the layout, and with it the length of each part; only the numbers in it may come from
//! elsewhere. So lent memory of whatever origin cannot make a kernel read out of bounds, and layouts need no written form.

mod samples;

use core::cell::RefCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, Range};
use core::ptr::NonNull;
use std::any::Any;
use std::collections::TryReserveError;
use std::sync::Arc;

use bytemuck::Pod;

use crate::aligned::{AlignedBuf, LINE};
use crate::isa::Cpu;

pub use samples::samples;

/// Plain numbers on whole cache lines that nobody changes any more; clones share them.
pub struct Lines<T> {
    first: NonNull<T>,
    len: usize,
    owner: Arc<dyn Any + Send + Sync>,
    of: PhantomData<T>,
}

// SAFETY: the numbers are only read, and the owner may go to other threads.
unsafe impl<T: Sync> Send for Lines<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Lines<T> {}

impl<T: Pod + Send + Sync> Lines<T> {
    /// `len` numbers that `fill` writes; they are zeros before.
    fn made(len: usize, fill: impl FnOnce(&mut [T])) -> Self {
        let mut buf = AlignedBuf::zeros(len);
        fill(&mut buf);
        Self::within(buf, |buf| buf)
    }
}

impl<T: Pod> Lines<T> {
    /// The numbers that `numbers` finds in what `owner` owns.
    fn within<O: Send + Sync + 'static>(owner: O, numbers: impl FnOnce(&O) -> &[T]) -> Self {
        let owner = Arc::new(owner);
        // The owner stays borrowed, by its count, for as long as it lives: it cannot move, change or be dropped.
        let numbers = numbers(&owner);
        Self { first: NonNull::from(numbers).cast(), len: numbers.len(), owner, of: PhantomData }
    }

    /// As bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self)
    }

    /// Numbers of another type in some of the bytes, which begin on a line.
    pub(crate) fn part<U: Pod>(&self, bytes: Range<usize>) -> Lines<U> {
        let all = self.bytes();
        assert!(bytes.start.is_multiple_of(LINE) && bytes.len().is_multiple_of(size_of::<U>()));
        let part = &all[bytes];
        // Nothing at all may lie anywhere.
        let first = if part.is_empty() { NonNull::dangling() } else { NonNull::from(part).cast() };
        Lines { first, len: part.len() / size_of::<U>(), owner: self.owner.clone(), of: PhantomData }
    }
}

impl Lines<u8> {
    /// `len` bytes that `fill` reads from somewhere.
    ///
    /// # Errors
    /// If there is not that much memory.
    pub fn filled(len: usize, fill: impl FnOnce(&mut [u8])) -> Result<Self, TryReserveError> {
        // Tried first: making a buffer that does not fit ends the program.
        Vec::<u8>::new().try_reserve_exact(len.saturating_add(2 * LINE))?;
        Ok(Self::made(len, fill))
    }

    /// The bytes of an owner that lends them; `None` if they do not begin on a cache line.
    #[must_use]
    pub fn lent(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Option<Self> {
        let lines = Self::within(owner, AsRef::as_ref);
        (lines.len == 0 || lines.first.addr().get().is_multiple_of(LINE)).then_some(lines)
    }
}

impl AsRef<[u8]> for Lines<u8> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<T> Clone for Lines<T> {
    fn clone(&self) -> Self {
        Self { first: self.first, len: self.len, owner: self.owner.clone(), of: PhantomData }
    }
}

impl<T: Pod> Deref for Lines<T> {
    type Target = [T];
    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: the owner's numbers, which it keeps as they are; aligned by construction, and any bytes are plain numbers.
        unsafe { core::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl<T> fmt::Debug for Lines<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lines({} x {})", self.len, core::any::type_name::<T>())
    }
}

/// What a packing is for, and where it gets its memory.
#[derive(Copy, Clone, Debug)]
pub struct Packing<'a> {
    cpu: Cpu,
    shelf: Option<&'a Shelf>,
}

impl From<Cpu> for Packing<'_> {
    fn from(cpu: Cpu) -> Self {
        Self { cpu, shelf: None }
    }
}

impl<'a> Packing<'a> {
    /// For the kernels of `cpu`, with parts from `shelf` where it has them.
    #[must_use]
    pub fn new(cpu: Cpu, shelf: &'a Shelf) -> Self {
        Self { cpu, shelf: Some(shelf) }
    }

    /// The instruction set.
    #[must_use]
    pub fn cpu(self) -> Cpu {
        self.cpu
    }

    /// The next part of the packing: from the shelf, or `len` zeros that `fill` overwrites.
    pub(crate) fn lines<T: Pod + Send + Sync>(self, len: usize, fill: impl FnOnce(&mut [T])) -> Lines<T> {
        let Some(shelf) = self.shelf else { return Lines::made(len, fill) };
        let ready = len.checked_mul(size_of::<T>()).and_then(|bytes| shelf.take(bytes));
        let (lines, made) = match ready {
            Some(lines) => (lines.part(0..lines.len), false),
            None => (Lines::made(len, fill), true),
        };
        shelf.put(lines.part(0..size_of_val(&lines[..])), made);
        lines
    }
}

/// The parts of one packing in the order in which they are made: those of an earlier time, as long as they fit, and new ones.
#[derive(Debug, Default)]
pub struct Shelf(RefCell<Parts>);

#[derive(Debug, Default)]
struct Parts {
    /// The next one last.
    ready: Vec<Lines<u8>>,
    used: Vec<Lines<u8>>,
    made: usize,
}

impl Shelf {
    /// A shelf with the parts of an earlier packing of the same weights.
    #[must_use]
    pub fn new(mut ready: Vec<Lines<u8>>) -> Self {
        ready.reverse();
        Self(RefCell::new(Parts { ready, ..Parts::default() }))
    }

    /// All parts of the packing, and whether each of them lay ready.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Lines<u8>>, bool) {
        let Parts { used, made, ready } = self.0.into_inner();
        (used, made == 0 && ready.is_empty())
    }

    fn take(&self, bytes: usize) -> Option<Lines<u8>> {
        let mut parts = self.0.borrow_mut();
        let next = parts.ready.pop().filter(|next| next.len == bytes);
        if next.is_none() {
            // Parts of another layout; those behind it belong to it.
            parts.ready.clear();
        }
        next
    }

    fn put(&self, part: Lines<u8>, made: bool) {
        let mut parts = self.0.borrow_mut();
        parts.used.push(part);
        parts.made += usize::from(made);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(packing: Packing<'_>, lens: &[usize]) -> Vec<Lines<u32>> {
        let part = |(at, &len): (usize, &usize)| packing.lines(len, |to| to.fill(at as u32 + 1));
        lens.iter().enumerate().map(part).collect()
    }

    #[test]
    fn what_lies_ready_is_used_as_long_as_it_fits() {
        let cpu = Cpu::detect();
        let first = Shelf::default();
        let made = packed(Packing::new(cpu, &first), &[3, 0, 40]);
        let (parts, complete) = first.into_parts();
        assert_eq!((parts.len(), complete), (3, false));
        // Other numbers, so that it shows which are read.
        let lent = |part: &Lines<u8>| {
            let mut copy = AlignedBuf::<u8>::zeros(part.len());
            copy.fill(7);
            struct Owner(AlignedBuf<u8>);
            impl AsRef<[u8]> for Owner {
                fn as_ref(&self) -> &[u8] {
                    &self.0
                }
            }
            Lines::lent(Owner(copy)).unwrap()
        };
        let sevens = u32::from_ne_bytes([7; 4]);
        let rows: [(&str, &[usize], &[u32], bool); 4] = [
            ("the same", &[3, 0, 40], &[sevens, 0, sevens], true),
            ("a part of another length, and what follows it", &[3, 1, 40], &[sevens, 2, 3], false),
            ("fewer parts", &[3, 0], &[sevens, 0], false),
            ("more parts", &[3, 0, 40, 2], &[sevens, 0, sevens, 4], false),
        ];
        for (name, lens, want, want_complete) in rows {
            let shelf = Shelf::new(parts.iter().map(lent).collect());
            let again = packed(Packing::new(cpu, &shelf), lens);
            let firsts: Vec<u32> = again.iter().map(|lines| lines.first().copied().unwrap_or(0)).collect();
            assert_eq!(firsts, want, "{name}");
            let (used, complete) = shelf.into_parts();
            assert_eq!((used.len(), complete), (lens.len(), want_complete), "{name}");
            for (used, lines) in used.iter().zip(&again) {
                assert_eq!(used.bytes(), lines.bytes(), "{name}");
            }
        }
        drop(parts);
        assert_eq!(made[2][..], [3; 40], "lines keep their memory alive");
    }

    #[test]
    fn lent_bytes_begin_on_a_line() {
        let buf = AlignedBuf::<u8>::zeros(128);
        let at = |start: usize| {
            struct From(AlignedBuf<u8>, usize);
            impl AsRef<[u8]> for From {
                fn as_ref(&self) -> &[u8] {
                    &self.0[self.1..]
                }
            }
            Lines::lent(From(buf.clone(), start)).is_some()
        };
        assert_eq!([0, 1, 32, 64, 128].map(at), [true, false, false, true, true]);
    }
}
