//! Products of matrices whose numbers are rounded to bfloat16 and whose sums are kept in f32: by the tiles of AMX where the
//! machine has them, by AVX-512's products of pairs where it has those, and not at all elsewhere.

#[cfg(target_arch = "x86_64")]
mod kernel;
#[cfg(target_arch = "x86_64")]
mod pack;
#[cfg(target_arch = "x86_64")]
mod product;

use crate::linalg::{Accumulate, View, ViewMut};

/// Below so many rows, columns or terms of a sum, packing costs more than it saves.
#[cfg(target_arch = "x86_64")]
const LEAST: usize = 8;

/// Whether this machine multiplies numbers of 16 bits faster than those of 32.
pub fn is_there() -> bool {
    #[cfg(target_arch = "x86_64")]
    return kernel::Kernel::of_machine().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// `scale * a b` into a matrix, of which the right factor may have been packed before. Returns whether it was done: not
/// where the machine cannot, nor for what is too small to be worth it.
pub(crate) fn multiply(
    out: &mut ViewMut,
    into: Accumulate,
    a: View,
    (b, packed): (View, Option<&Packed>),
    scale: f32,
) -> bool {
    #[cfg(target_arch = "x86_64")]
    if let Some(kernel) = kernel::Kernel::of_machine()
        && a.n_rows().min(a.n_columns()).min(b.n_columns()) >= LEAST
    {
        product::multiply(kernel, out, into, a, (b, packed), scale);
        return true;
    }
    let _ = (out, into, a, b, packed, scale);
    false
}

#[cfg(target_arch = "x86_64")]
pub(crate) use product::Packed;

/// Nothing is packed elsewhere.
#[cfg(not(target_arch = "x86_64"))]
#[derive(Debug)]
pub(crate) enum Packed {}

/// A right factor packed for many products; nothing where the machine cannot.
pub(crate) fn pack(b: View) -> Option<Packed> {
    #[cfg(target_arch = "x86_64")]
    return kernel::Kernel::of_machine().map(|_| Packed::new(b));
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = b;
        None
    }
}
