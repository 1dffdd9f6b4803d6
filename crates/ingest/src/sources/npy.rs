//! NumPy's `.npy`: a short header in Python's words, then numbers. Versions 1 to 3, floats of 2, 4 and 8 bytes,
//! either order of bytes, rows or columns first, one or two dimensions.

/// An array over the bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Npy<'a> {
    /// Vectors; 1 where the file has one dimension.
    pub(crate) rows: usize,
    /// Numbers of each.
    pub(crate) dim: usize,
    /// Whether the file has one dimension.
    pub(crate) is_flat: bool,
    bytes_of_number: usize,
    big_endian: bool,
    columns_first: bool,
    data: &'a [u8],
}

const MAGIC: &[u8] = b"\x93NUMPY";
/// Real headers have about a hundred bytes.
const HEADER_BYTES_MAX: usize = 1 << 16;

/// Whether the first bytes are those of the format.
pub(crate) fn is_npy(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Reads the header, and checks that the numbers are all there and no more.
///
/// # Errors
/// In words, what is wrong.
pub(crate) fn parse(bytes: &[u8]) -> Result<Npy<'_>, String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it does not start as a .npy file does")?;
    let short = || "it ends within its header".to_string();
    let (length, rest) = match *rest {
        [1, _, a, b, ref rest @ ..] => (usize::from(u16::from_le_bytes([a, b])), rest),
        [2 | 3, _, a, b, c, d, ref rest @ ..] => (u32::from_le_bytes([a, b, c, d]) as usize, rest),
        [major, minor, ..] if !(1..=3).contains(&major) => {
            return Err(format!("its version is {major}.{minor}; this build reads 1 to 3"));
        }
        _ => return Err(short()),
    };
    if length > HEADER_BYTES_MAX {
        return Err(format!("its header has {length} bytes; at most {HEADER_BYTES_MAX} are read"));
    }
    let header = rest.get(..length).ok_or_else(short)?;
    let data = &rest[length..];
    let header = std::str::from_utf8(header).map_err(|_| "its header is not text")?;
    let value = |key: &str| -> Result<&str, String> {
        let of_key = |quote: char| Some(header.split_once(&format!("{quote}{key}{quote}"))?.1);
        let value = of_key('\'').or_else(|| of_key('"')).and_then(|rest| rest.trim_start().strip_prefix(':'));
        value.map(str::trim_start).ok_or_else(|| format!("its header has no `{key}`"))
    };
    let kind = value("descr")?;
    let kind = kind.get(1..).and_then(|rest| rest.split(['\'', '"']).next()).unwrap_or_default();
    let (big_endian, bytes_of_number) = match kind {
        "<f2" | "=f2" => (false, 2),
        "<f4" | "=f4" => (false, 4),
        "<f8" | "=f8" => (false, 8),
        ">f2" => (true, 2),
        ">f4" => (true, 4),
        ">f8" => (true, 8),
        other => {
            let other: String = other.chars().take(20).collect();
            return Err(format!("its numbers are `{other}`; expected floats of 2, 4 or 8 bytes"));
        }
    };
    let columns_first = match value("fortran_order")? {
        text if text.starts_with("True") => true,
        text if text.starts_with("False") => false,
        _ => return Err("its `fortran_order` is neither True nor False".into()),
    };
    let shape = value("shape")?;
    let shape = shape.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(shape, _)| shape);
    let shape: Option<Vec<usize>> = shape.and_then(|shape| {
        let lengths = shape.split(',').map(str::trim).filter(|length| !length.is_empty());
        lengths.map(|length| length.parse().ok()).collect()
    });
    let (rows, dim, is_flat) = match shape.as_deref() {
        Some(&[dim]) => (1, dim, true),
        Some(&[rows, dim]) => (rows, dim, false),
        Some(shape) => return Err(format!("it has {} dimensions; expected 1 or 2", shape.len())),
        None => return Err("its `shape` is not one".into()),
    };
    let bytes = rows.checked_mul(dim).and_then(|n| n.checked_mul(bytes_of_number));
    if bytes != Some(data.len()) {
        return Err(format!(
            "its shape ({rows} × {dim} numbers of {bytes_of_number} bytes) does not fit its {} bytes of numbers",
            data.len()
        ));
    }
    Ok(Npy { rows, dim, is_flat, bytes_of_number, big_endian, columns_first, data })
}

impl Npy<'_> {
    /// Writes the numbers of a row.
    pub(crate) fn row_into(&self, row: usize, out: &mut Vec<f32>) {
        out.clear();
        out.extend((0..self.dim).map(|column| {
            let at = if self.columns_first { column * self.rows + row } else { row * self.dim + column };
            self.number(at)
        }));
    }

    fn number(&self, at: usize) -> f32 {
        let mut bytes = [0; 8];
        let n = self.bytes_of_number;
        bytes[..n].copy_from_slice(&self.data[at * n..(at + 1) * n]);
        if self.big_endian {
            bytes[..n].reverse();
        }
        let [a, b, c, d, ..] = bytes;
        match n {
            2 => half(u16::from_le_bytes([a, b])),
            4 => f32::from_le_bytes([a, b, c, d]),
            // What is finite in 64 bits but not in 32 becomes infinite, and is counted as such.
            _ => f64::from_le_bytes(bytes) as f32,
        }
    }
}

/// A float of 16 bits (IEEE 754 binary16) in 32: 1 sign, 5 exponent, 10 fraction.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let fraction = f32::from(bits & 0x3ff);
    match (bits >> 10) & 0x1f {
        0 => sign * fraction * 2_f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        exponent => sign * (1.0 + fraction / 1_024.0) * 2_f32.powi(i32::from(exponent) - 15),
    }
}

/// The header of a matrix of 32-bit floats, rows first; the numbers begin at a multiple of 64 bytes.
pub(crate) fn header(rows: usize, dim: usize) -> Vec<u8> {
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dim}), }}");
    let before = MAGIC.len() + 4;
    let padding = (before + text.len() + 1).next_multiple_of(64) - before - text.len() - 1;
    text.extend(std::iter::repeat_n(' ', padding));
    text.push('\n');
    let mut header = MAGIC.to_vec();
    header.extend([1, 0]);
    header.extend((text.len() as u16).to_le_bytes());
    header.extend(text.bytes());
    header
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file as NumPy writes it.
    pub(crate) fn file(version: u8, kind: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
        let order = if fortran { "True" } else { "False" };
        let text = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        match version {
            1 => bytes.extend((text.len() as u16).to_le_bytes()),
            _ => bytes.extend((text.len() as u32).to_le_bytes()),
        }
        bytes.extend(text.bytes());
        bytes.extend(data);
        bytes
    }

    fn rows(bytes: &[u8]) -> Vec<Vec<f32>> {
        let npy = parse(bytes).unwrap();
        let mut row = Vec::new();
        let read = |at| {
            npy.row_into(at, &mut row);
            row.clone()
        };
        (0..npy.rows).map(read).collect()
    }

    #[test]
    fn every_kind_of_float_in_either_order_reads_alike() {
        let numbers = [1.0_f32, -2.5, 0.25, 6.0];
        let f4 = numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
        let f4_big = numbers.iter().flat_map(|x| x.to_be_bytes()).collect::<Vec<_>>();
        let f8 = numbers.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect::<Vec<_>>();
        // 1 is 0 01111 0…, -2.5 is 1 10000 01…, 0.25 is 0 01101 0…, 6 is 0 10001 1….
        let f2 =
            [0x3c00_u16, 0xc100, 0x3400, 0x4600].iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
        let by_rows = vec![vec![1.0, -2.5], vec![0.25, 6.0]];
        for (kind, data) in [("<f4", &f4), (">f4", &f4_big), ("<f8", &f8), ("<f2", &f2)] {
            for version in 1..=3 {
                assert_eq!(rows(&file(version, kind, false, "(2, 2)", data)), by_rows, "{kind}");
                let turned = vec![vec![1.0, 0.25], vec![-2.5, 6.0]];
                assert_eq!(rows(&file(version, kind, true, "(2, 2)", data)), turned, "{kind}");
                assert_eq!(rows(&file(version, kind, false, "(4,)", data)), [numbers.to_vec()]);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let said = |bytes: &[u8]| parse(bytes).unwrap_err();
        assert!(said(&file(1, "<i8", false, "(1,)", &[0; 8])).contains("`<i8`"));
        assert!(said(&file(1, "<f4", false, "(3,)", &[0; 8])).contains("does not fit its 8 bytes"));
        assert!(said(&file(1, "<f4", false, "(1, 1, 1)", &[0; 4])).contains("3 dimensions"));
        let huge = format!("({}, {})", usize::MAX, usize::MAX);
        assert!(said(&file(1, "<f4", false, &huge, &[0; 4])).contains("does not fit"));
        assert!(said(b"\x93NUMPY\x09\x00").contains("version is 9.0"));
    }

    #[test]
    fn half_floats_below_the_smallest_normal_are_read() {
        assert_eq!(half(0x0001), 2_f32.powi(-24));
        assert_eq!(half(0x7bff), 65_504.0);
        assert!(half(0x7c00).is_infinite() && half(0x7e00).is_nan());
    }

    #[test]
    fn a_written_header_is_read_again() {
        let mut bytes = header(2, 3);
        assert_eq!(bytes.len() % 64, 0);
        bytes.extend([0; 24]);
        let npy = parse(&bytes).unwrap();
        assert_eq!((npy.rows, npy.dim, npy.is_flat), (2, 3, false));
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let mut started = MAGIC.to_vec();
            started.extend(&bytes);
            let _ = parse(&started);
        }

        #[test]
        fn no_change_or_cut_of_a_file_is_a_panic(
            cut in 0usize..200, at in 0usize..100, to in any::<u8>(), fortran in any::<bool>()
        ) {
            let mut bytes = file(1, "<f4", fortran, "(2, 3)", &[7; 24]);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = to;
            }
            bytes.truncate(cut);
            if let Ok(npy) = parse(&bytes) {
                let mut row = Vec::new();
                (0..npy.rows.min(10)).for_each(|at| npy.row_into(at, &mut row));
            }
        }
    }
}
