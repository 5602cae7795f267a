//! Arrays as NumPy stores them.

use std::fmt;

/// What one element of an [`Array`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// One byte, 0 or 1.
    Bool,
    /// Signed, 8 bits.
    Int8,
    /// Signed, 16 bits.
    Int16,
    /// Signed, 32 bits.
    Int32,
    /// Signed, 64 bits.
    Int64,
    /// Unsigned, 8 bits.
    Uint8,
    /// Unsigned, 16 bits; also the bits of bfloat16, which NumPy does not know.
    Uint16,
    /// Unsigned, 32 bits.
    Uint32,
    /// Unsigned, 64 bits.
    Uint64,
    /// IEEE 754 half precision.
    Float16,
    /// IEEE 754 single precision.
    Float32,
    /// IEEE 754 double precision.
    Float64,
    /// Two [`Self::Float32`]: real and imaginary part.
    Complex64,
    /// Two [`Self::Float64`]: real and imaginary part.
    Complex128,
    /// Byte strings of at most this many bytes (at least one), padded with zero bytes.
    Bytes(usize),
}

impl Element {
    /// The elements that have one fixed width, with NumPy's kind letter and that width in bytes.
    const FIXED: [(Element, char, usize); 14] = [
        (Element::Bool, 'b', 1),
        (Element::Int8, 'i', 1),
        (Element::Int16, 'i', 2),
        (Element::Int32, 'i', 4),
        (Element::Int64, 'i', 8),
        (Element::Uint8, 'u', 1),
        (Element::Uint16, 'u', 2),
        (Element::Uint32, 'u', 4),
        (Element::Uint64, 'u', 8),
        (Element::Float16, 'f', 2),
        (Element::Float32, 'f', 4),
        (Element::Float64, 'f', 8),
        (Element::Complex64, 'c', 8),
        (Element::Complex128, 'c', 16),
    ];

    /// The element of NumPy's kind letter (`b`, `i`, `u`, `f`, `c`, `S`, `V`) and its width in bytes. Types that NumPy does
    /// not know itself, such as the bfloat16 and float8 of `ml_dtypes`, are saved as raw bytes (`V`, float8_e5m2 as `f`):
    /// their bits are taken.
    #[must_use]
    pub fn from_kind(kind: char, width: usize) -> Option<Self> {
        match (kind, width) {
            ('S', _) => return (width > 0).then_some(Element::Bytes(width)),
            ('V' | 'f', 1) => return Some(Element::Uint8),
            ('V', 2) => return Some(Element::Uint16),
            _ => {}
        }
        Self::FIXED.iter().find(|row| row.1 == kind && row.2 == width).map(|row| row.0)
    }

    /// NumPy's kind letter and the width of one element in bytes.
    #[must_use]
    pub fn kind_and_width(self) -> (char, usize) {
        match self {
            Element::Bytes(width) => ('S', width),
            fixed => Self::FIXED.iter().find(|row| row.0 == fixed).map_or(('V', 0), |row| (row.1, row.2)),
        }
    }

    /// Width of one element in bytes.
    #[must_use]
    pub fn width(self) -> usize {
        self.kind_and_width().1
    }

    /// Width in bytes of what a byte order applies to: half an element for complex numbers.
    #[must_use]
    pub fn scalar_width(self) -> usize {
        match self {
            Element::Complex64 | Element::Complex128 => self.width() / 2,
            Element::Bytes(_) => 1,
            other => other.width(),
        }
    }
}

impl fmt::Display for Element {
    /// NumPy's name of the type, such as `float32` or `S12`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, width) = self.kind_and_width();
        let bits = width * 8;
        match kind {
            'b' => write!(f, "bool"),
            'i' => write!(f, "int{bits}"),
            'u' => write!(f, "uint{bits}"),
            'f' => write!(f, "float{bits}"),
            'c' => write!(f, "complex{bits}"),
            _ => write!(f, "S{width}"),
        }
    }
}

/// An n-dimensional array: elements in C order (last axis fastest), each little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    element: Element,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    /// An array over `bytes`, which must hold exactly the elements of `shape` (no axes: one
    /// element); `None` when it does not.
    #[must_use]
    pub fn new(element: Element, shape: Vec<usize>, bytes: Vec<u8>) -> Option<Self> {
        (byte_count(element, &shape)? == bytes.len()).then_some(Self { element, shape, bytes })
    }

    /// Byte strings, padded to the longest of them (at least one byte, as NumPy does).
    #[must_use]
    pub fn from_strings(shape: Vec<usize>, strings: &[Vec<u8>]) -> Option<Self> {
        let width = strings.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let mut bytes = Vec::with_capacity(width * strings.len());
        for string in strings {
            bytes.extend_from_slice(string);
            bytes.resize(bytes.len() + width - string.len(), 0);
        }
        Self::new(Element::Bytes(width), shape, bytes)
    }

    /// The strings of a [`Element::Bytes`] array without their padding; `None` for other elements.
    #[must_use]
    pub fn strings(&self) -> Option<Vec<&[u8]>> {
        let Element::Bytes(width) = self.element else { return None };
        let unpadded =
            |string: &'_ [u8]| string.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        Some(self.bytes.chunks_exact(width.max(1)).map(|string| &string[..unpadded(string)]).collect())
    }

    /// What the elements are.
    #[must_use]
    pub fn element(&self) -> Element {
        self.element
    }

    /// Extent of each axis; empty for a scalar.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, C order, little-endian.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes of an array of this shape, `None` when that overflows.
pub fn byte_count(element: Element, shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(element.width(), |bytes, &extent| bytes.checked_mul(extent))
}
