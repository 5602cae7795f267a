//! What kernels say about sizes that do not fit together.

/// A buffer or dimension that does not fit the kernel's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeError {
    what: &'static str,
    want: usize,
    found: usize,
}

impl ShapeError {
    /// `what` should have been `want` and was `found`.
    pub const fn new(what: &'static str, want: usize, found: usize) -> Self {
        Self { what, want, found }
    }

    /// An error unless `found == want`.
    pub fn check(what: &'static str, want: usize, found: usize) -> Result<(), Self> {
        if found == want { Ok(()) } else { Err(Self::new(what, want, found)) }
    }

    /// An error unless `found >= want`.
    pub fn check_at_least(what: &'static str, want: usize, found: usize) -> Result<(), Self> {
        if found >= want { Ok(()) } else { Err(Self::new(what, want, found)) }
    }
}

impl core::fmt::Display for ShapeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {} needed, {} given", self.what, self.want, self.found)
    }
}

impl core::error::Error for ShapeError {}
