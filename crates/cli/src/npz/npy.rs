//! One array in NumPy's `.npy` format, versions 1 to 3.
//!
//! A file is the magic, two version bytes, the header's length (`u16`, from version 2 on `u32`),
//! the header (a Python dictionary literal with `descr`, `fortran_order` and `shape`, padded with
//! spaces and ended by a newline), and the elements.

use super::array::{Array, Element, byte_count};
use std::io::{self, Read, Write};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The elements start at a multiple of this.
const ALIGNMENT: usize = 64;
/// Longest header read. NumPy writes far less unless the type is a record.
const HEADER_LIMIT: usize = 1 << 16;
/// Bytes of a character of a Python string.
const CHARACTER: usize = 4;

/// Why an array could not be read.
#[derive(Debug)]
pub enum ReadError {
    /// The reader failed or ended early.
    Io(io::Error),
    /// The bytes are not an array this command takes; the sentence says why and what to do.
    Malformed(String),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Io(error)
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReadError::Io(error) => write!(f, "{error}"),
            ReadError::Malformed(reason) => f.write_str(reason),
        }
    }
}

fn malformed<T>(reason: impl Into<String>) -> Result<T, ReadError> {
    Err(ReadError::Malformed(reason.into()))
}

/// Reads one array: any byte order, C or Fortran order. Python strings become byte strings in UTF-8.
///
/// # Errors
/// When the reader fails or ends early, or the header is malformed or names a type without a
/// counterpart in [`Element`].
pub fn read(reader: &mut impl Read) -> Result<Array, ReadError> {
    let mut start = [0; 8];
    reader.read_exact(&mut start)?;
    if !start.starts_with(MAGIC) {
        return malformed("it does not start with the .npy magic; save it with numpy.savez");
    }
    let header_len = match start[6] {
        1 => {
            let mut len = [0; 2];
            reader.read_exact(&mut len)?;
            usize::from(u16::from_le_bytes(len))
        }
        2 | 3 => {
            let mut len = [0; 4];
            reader.read_exact(&mut len)?;
            u32::from_le_bytes(len) as usize
        }
        other => return malformed(format!("it has .npy version {other}; versions 1 to 3 are read")),
    };
    if header_len > HEADER_LIMIT {
        return malformed(format!("its header of {header_len} bytes is over the limit of {HEADER_LIMIT}"));
    }
    let mut header = vec![0; header_len];
    reader.read_exact(&mut header)?;
    let header = Header::parse(&String::from_utf8_lossy(&header))?;

    let Some(len) = byte_count(header.element, &header.shape) else {
        return malformed(format!("its shape {:?} overflows", header.shape));
    };
    // Reading up to `len` instead of allocating it: the header may claim more than is there.
    let mut bytes = Vec::new();
    reader.take(len as u64).read_to_end(&mut bytes)?;
    if bytes.len() != len {
        return malformed(format!("it ends after {} of {len} bytes", bytes.len()));
    }
    if header.big_endian {
        let width = if header.text { CHARACTER } else { header.element.scalar_width() };
        bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
    if header.fortran_order {
        bytes = to_c_order(&bytes, header.element.width(), &header.shape);
    }
    if header.text {
        let strings: Option<Vec<Vec<u8>>> = bytes.chunks_exact(header.element.width()).map(to_utf8).collect();
        let array = strings.and_then(|strings| Array::from_strings(header.shape, &strings));
        return array.map_or_else(|| malformed("its strings hold what is no character"), Ok);
    }
    Array::new(header.element, header.shape, bytes).map_or_else(|| malformed("its size is wrong"), Ok)
}

/// The text of a Python string: little-endian code points, padded with zeros.
fn to_utf8(padded: &[u8]) -> Option<Vec<u8>> {
    let points = padded.as_chunks::<CHARACTER>().0;
    let len = points.iter().rposition(|point| *point != [0; CHARACTER]).map_or(0, |last| last + 1);
    let text: Option<String> =
        points[..len].iter().map(|point| char::from_u32(u32::from_le_bytes(*point))).collect();
    Some(text?.into_bytes())
}

/// Writes one array, version 1 (version 2 where the header is too long for it).
///
/// # Errors
/// Those of the writer.
pub fn write(writer: &mut impl Write, array: &Array) -> io::Result<()> {
    let (kind, width) = array.element().kind_and_width();
    let order = if array.element().scalar_width() == 1 { '|' } else { '<' };
    let axes: String = array.shape().iter().map(|extent| format!("{extent}, ")).collect();
    let axes = if array.shape().len() == 1 { axes.trim_end() } else { axes.trim_end_matches(", ") };
    let mut header =
        format!("{{'descr': '{order}{kind}{width}', 'fortran_order': False, 'shape': ({axes}), }}");

    let long = header.len() + ALIGNMENT > usize::from(u16::MAX);
    let prefix = MAGIC.len() + 2 + if long { 4 } else { 2 };
    let padding = (ALIGNMENT - (prefix + header.len() + 1) % ALIGNMENT) % ALIGNMENT;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');

    writer.write_all(MAGIC)?;
    let len = u32::try_from(header.len()).map_err(io::Error::other)?;
    if long {
        writer.write_all(&[2, 0])?;
        writer.write_all(&len.to_le_bytes())?;
    } else {
        writer.write_all(&[1, 0])?;
        writer.write_all(&len.to_le_bytes()[..2])?;
    }
    writer.write_all(header.as_bytes())?;
    writer.write_all(array.bytes())
}

/// Elements stored first axis fastest, rearranged to last axis fastest.
fn to_c_order(source: &[u8], width: usize, shape: &[usize]) -> Vec<u8> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = width;
    for &extent in shape {
        strides.push(stride);
        stride *= extent;
    }
    let mut index = vec![0; shape.len()];
    let mut result = Vec::with_capacity(source.len());
    while result.len() < source.len() {
        let at: usize = index.iter().zip(&strides).map(|(i, stride)| i * stride).sum();
        result.extend_from_slice(&source[at..at + width]);
        for (i, &extent) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < extent {
                break;
            }
            *i = 0;
        }
    }
    result
}

/// What the header dictionary says.
#[derive(Debug, PartialEq)]
struct Header {
    element: Element,
    big_endian: bool,
    /// The elements are Python strings: [`CHARACTER`] bytes for each code point.
    text: bool,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl Header {
    fn parse(text: &str) -> Result<Self, ReadError> {
        let (element, big_endian, python_strings) = parse_descr(field(text, "descr")?)?;
        let fortran_order = match field(text, "fortran_order")? {
            value if value.starts_with("True") => true,
            value if value.starts_with("False") => false,
            _ => return malformed("its header's fortran_order is neither True nor False"),
        };
        let shape = parse_shape(field(text, "shape")?)?;
        Ok(Self { element, big_endian, text: python_strings, fortran_order, shape })
    }
}

/// The text that follows `'name':` in the dictionary literal.
fn field<'a>(text: &'a str, name: &str) -> Result<&'a str, ReadError> {
    ['\'', '"']
        .iter()
        .find_map(|quote| text.split_once(&format!("{quote}{name}{quote}")))
        .and_then(|(_, rest)| rest.trim_start().strip_prefix(':'))
        .map(str::trim_start)
        .map_or_else(|| malformed(format!("its header has no {name}")), Ok)
}

/// A type string such as `'<f4'` to the element, whether it is big-endian, and whether its bytes are a Python string.
fn parse_descr(value: &str) -> Result<(Element, bool, bool), ReadError> {
    let quoted = value.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let Some(descr) = quoted.and_then(|quote| value[1..].split(quote).next()) else {
        return malformed("it is a record array; save each field as an array of its own");
    };
    let mut chars = descr.chars();
    let (order, kind) = (chars.next().unwrap_or(' '), chars.next().unwrap_or(' '));
    let text = kind == 'U';
    let element = chars.as_str().parse::<usize>().ok().and_then(|width| match text {
        true => Element::from_kind('S', width.checked_mul(CHARACTER)?),
        false => Element::from_kind(kind, width),
    });
    match (order, element) {
        ('<' | '|' | '=', Some(element)) => Ok((element, false, text)),
        ('>', Some(element)) => Ok((element, text || element.scalar_width() > 1, text)),
        _ if kind == 'O' => malformed("its elements are Python objects; convert them to numbers or bytes"),
        _ => malformed(format!("its type '{descr}' is not one that models take")),
    }
}

/// A tuple literal such as `(3, 4)`, `(3,)` or `()` to its extents.
fn parse_shape(value: &str) -> Result<Vec<usize>, ReadError> {
    let inside = value.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(inside, _)| inside);
    let extents = inside.map(|inside| {
        let written = inside.split(',').map(str::trim).filter(|extent| !extent.is_empty());
        written.map(|extent| extent.trim_end_matches('L').parse()).collect::<Result<Vec<usize>, _>>()
    });
    match extents {
        Some(Ok(shape)) => Ok(shape),
        _ => malformed("its header's shape is not a tuple of extents"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn dictionary(descr: &str, fortran: &str, shape: &str) -> String {
        format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n")
    }

    #[test]
    fn reads_what_numpy_writes() {
        type Row<'a> = (&'a str, String, &'a [u8], Element, &'a [usize], &'a [u8]);
        let rows: &[Row<'_>] = &[
            (
                "vector",
                dictionary("'<i2'", "False", "(2,)"),
                &[1, 0, 2, 0],
                Element::Int16,
                &[2],
                &[1, 0, 2, 0],
            ),
            (
                "big-endian",
                dictionary("'>i2'", "False", "(2,)"),
                &[0, 1, 0, 2],
                Element::Int16,
                &[2],
                &[1, 0, 2, 0],
            ),
            (
                "big-endian complex",
                dictionary("'>c8'", "False", "()"),
                &[0x3f, 0x80, 0, 0, 0x40, 0, 0, 0],
                Element::Complex64,
                &[],
                &[0, 0, 0x80, 0x3f, 0, 0, 0, 0x40],
            ),
            (
                "fortran",
                dictionary("'|u1'", "True", "(2, 3)"),
                &[0, 3, 1, 4, 2, 5],
                Element::Uint8,
                &[2, 3],
                &[0, 1, 2, 3, 4, 5],
            ),
            (
                "fortran, no elements",
                dictionary("'|u1'", "True", "(2, 0)"),
                &[],
                Element::Uint8,
                &[2, 0],
                &[],
            ),
            ("scalar", dictionary("'|b1'", "False", "()"), &[1], Element::Bool, &[], &[1]),
            (
                "strings",
                dictionary("'|S3'", "False", "(2,)"),
                b"abcd\0\0",
                Element::Bytes(3),
                &[2],
                b"abcd\0\0",
            ),
            (
                "bfloat16 of ml_dtypes",
                dictionary("'<V2'", "False", "(1,)"),
                &[0x20, 0xc0],
                Element::Uint16,
                &[1],
                &[0x20, 0xc0],
            ),
            (
                "float8_e4m3fn of ml_dtypes",
                dictionary("'<V1'", "False", "(1,)"),
                &[0x7e],
                Element::Uint8,
                &[1],
                &[0x7e],
            ),
            (
                "float8_e5m2 of ml_dtypes",
                dictionary("'<f1'", "False", "(1,)"),
                &[0xbd],
                Element::Uint8,
                &[1],
                &[0xbd],
            ),
            (
                "Python strings",
                dictionary("'<U2'", "False", "(2,)"),
                &[0xe9, 0, 0, 0, b'a', 0, 0, 0, b'b', 0, 0, 0, 0, 0, 0, 0],
                Element::Bytes(3),
                &[2],
                "\u{e9}ab\0\0".as_bytes(),
            ),
            (
                "Python strings, big-endian",
                dictionary("'>U1'", "False", "()"),
                &[0, 1, 0xf6, 0],
                Element::Bytes(4),
                &[],
                "\u{1f600}".as_bytes(),
            ),
            (
                "long extents",
                dictionary("\"<f2\"", "False", "(1L, 1L)"),
                &[0, 60],
                Element::Float16,
                &[1, 1],
                &[0, 60],
            ),
        ];
        let wrong: Vec<_> = rows
            .iter()
            .filter_map(|(name, header, data, element, shape, bytes)| {
                match read(&mut &file(header, data)[..]) {
                    Ok(array)
                        if (array.element(), array.shape(), array.bytes()) == (*element, shape, bytes) =>
                    {
                        None
                    }
                    other => Some((name, other.map_err(|e| e.to_string()))),
                }
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn refuses_what_it_cannot_take() {
        let good = dictionary("'<f4'", "False", "(1,)");
        let rows: &[(&str, Vec<u8>, &str)] = &[
            ("not npy", b"PK\x03\x04aaaaaaaaaaa".to_vec(), "magic"),
            ("version 9", b"\x93NUMPY\x09\x00\x00\x00".to_vec(), "version 9"),
            ("short data", file(&good, &[0, 0]), "2 of 4 bytes"),
            ("no descr", file("{'fortran_order': False}", &[]), "descr"),
            ("record", file(&dictionary("[('a', '<f4')]", "False", "(1,)"), &[]), "record"),
            ("no character", file(&dictionary("'<U1'", "False", "(1,)"), &[0, 0xd8, 0, 0]), "no character"),
            ("long text", file(&dictionary("'<U9223372036854775807'", "False", "(1,)"), &[]), "'<U9"),
            ("object", file(&dictionary("'|O'", "False", "(1,)"), &[]), "objects"),
            ("strings of nothing", file(&dictionary("'|S0'", "False", "(99999999999,)"), &[]), "'|S0'"),
            ("odd width", file(&dictionary("'<f3'", "False", "(1,)"), &[]), "'<f3'"),
            ("bad order", file(&dictionary("'<f4'", "Maybe", "(1,)"), &[]), "fortran_order"),
            ("negative extent", file(&dictionary("'<f4'", "False", "(-1,)"), &[]), "tuple"),
            (
                "overflow",
                file(&dictionary("'<f8'", "False", "(9223372036854775807, 9223372036854775807)"), &[]),
                "overflow",
            ),
            (
                "claims more than there is",
                file(&dictionary("'<f8'", "False", "(99999999999,)"), &[0; 8]),
                "8 of",
            ),
        ];
        let wrong: Vec<_> = rows
            .iter()
            .filter_map(|(name, bytes, expected)| match read(&mut &bytes[..]) {
                Err(error) if error.to_string().contains(expected) => None,
                other => Some((name, other.map_err(|e| e.to_string()))),
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn elements_start_aligned() {
        for rank in 0..12 {
            let array = Array::new(Element::Uint8, vec![1; rank], vec![7]).expect("one element");
            let mut bytes = Vec::new();
            write(&mut bytes, &array).expect("writes to memory");
            assert_eq!((bytes.len() - 1) % ALIGNMENT, 0, "rank {rank}");
        }
    }

    fn arrays() -> impl Strategy<Value = Array> {
        let letters = [
            ('b', 1),
            ('i', 1),
            ('i', 2),
            ('i', 4),
            ('i', 8),
            ('u', 1),
            ('u', 2),
            ('u', 4),
            ('u', 8),
            ('f', 2),
            ('f', 4),
            ('f', 8),
            ('c', 8),
            ('c', 16),
            ('S', 1),
            ('S', 13),
        ];
        (prop::sample::select(letters.to_vec()), prop::collection::vec(0usize..4, 0..5)).prop_flat_map(
            |((kind, width), shape)| {
                let element = Element::from_kind(kind, width).expect("a known kind");
                let len = byte_count(element, &shape).expect("small");
                prop::collection::vec(any::<u8>(), len)
                    .prop_map(move |bytes| Array::new(element, shape.clone(), bytes).expect("sized"))
            },
        )
    }

    proptest! {
        #[test]
        fn reading_returns_what_was_written(array in arrays()) {
            let mut bytes = Vec::new();
            write(&mut bytes, &array).expect("writes to memory");
            prop_assert_eq!(read(&mut &bytes[..]).map_err(|e| e.to_string()), Ok(array));
        }

        #[test]
        fn any_bytes_are_an_error_or_an_array(tail in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = MAGIC.to_vec();
            bytes.extend(tail);
            let _ = read(&mut &bytes[..]);
        }
    }
}
