//! A panel of 32 by 32 numbers of the result.

use std::arch::asm;
use std::arch::x86_64::*;
use std::marker::PhantomData;
use std::sync::OnceLock;

use super::pack::{PANEL, TERMS, TILE, Tile};

/// By what the machine multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// Tiles, AMX.
    Tiles,
    /// Pairs in registers, AVX-512 with BF16.
    Pairs,
}

impl Kernel {
    /// The fastest that this machine has.
    pub(super) fn of_machine() -> Option<Self> {
        static FOUND: OnceLock<Option<Kernel>> = OnceLock::new();
        *FOUND.get_or_init(|| {
            let wide = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512bf16");
            match wide {
                true if tiles_are_allowed() => Some(Self::Tiles),
                true => Some(Self::Pairs),
                false => None,
            }
        })
    }

    /// Readies the thread; dropping it frees what was taken.
    pub(super) fn begin(self) -> Session {
        if self == Self::Tiles {
            let shape = Shape::FULL;
            #[expect(unsafe_code, reason = "no intrinsic is stable")]
            // SAFETY: the machine has AMX and its kernel lets us use it; the shape is 64 bytes of the first palette.
            unsafe {
                asm!("ldtilecfg [{}]", in(reg) &raw const shape, options(nostack));
            }
        }
        Session(self, PhantomData)
    }
}

/// Whether the machine has tiles for bfloat16 and Linux lets this process use them.
fn tiles_are_allowed() -> bool {
    const TILES: u32 = 1 << 24;
    const BF16: u32 = 1 << 22;
    let features = __cpuid_count(7, 0).edx;
    features & TILES != 0 && features & BF16 != 0 && request_tiles()
}

/// Asks Linux for the state of tiles, which a thread has no room for until it is asked for.
#[cfg(target_os = "linux")]
fn request_tiles() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XTILEDATA: u64 = 18;
    let result: i64;
    #[expect(unsafe_code, reason = "a call of the system that has no wrapper")]
    // SAFETY: the call takes two numbers and touches no memory; the registers that it overwrites are named.
    unsafe {
        asm!("syscall", inlateout("rax") ARCH_PRCTL => result, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") XTILEDATA,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn request_tiles() -> bool {
    false
}

/// How many rows, and bytes of a row, each tile has.
#[repr(C, align(64))]
struct Shape {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

impl Shape {
    /// Eight tiles of 16 rows of 64 bytes.
    const FULL: Self = {
        let (mut bytes, mut rows) = ([0; 16], [0; 16]);
        let mut tile = 0;
        while tile < 8 {
            bytes[tile] = 2 * TERMS as u16;
            rows[tile] = TILE as u8;
            tile += 1;
        }
        Self { palette: 1, start: 0, reserved: [0; 14], bytes, rows }
    };
}

/// A thread that multiplies; it stays on its thread, whose registers it readied.
pub(super) struct Session(Kernel, PhantomData<*const ()>);

impl Drop for Session {
    fn drop(&mut self) {
        if self.0 == Kernel::Tiles {
            #[expect(unsafe_code, reason = "no intrinsic is stable")]
            // SAFETY: tiles were taken when the session began.
            unsafe {
                asm!("tilerelease", options(nomem, nostack));
            }
        }
    }
}

impl Session {
    /// The product of two packed panels, 32 by 32 numbers, into rows `stride` numbers apart.
    pub(super) fn run(&self, left: &[Tile], right: &[Tile], out: &mut [f32], stride: usize, add: bool) {
        assert!(left.len() == right.len() && left.len().is_multiple_of(2), "panels of the same terms");
        assert!(stride >= PANEL && out.len() >= (PANEL - 1) * stride + PANEL, "room for the panel");
        #[expect(unsafe_code, reason = "the compiler cannot know the machine")]
        // SAFETY: the machine was asked for what the kernel needs, a session was begun, and the sizes were just checked.
        unsafe {
            match self.0 {
                Kernel::Tiles => tiles(left, right, out, stride, add),
                Kernel::Pairs => pairs(left, right, out, stride, add),
            }
        }
    }
}

#[expect(unsafe_code, reason = "no intrinsic is stable")]
// SAFETY: callers have begun a session of tiles, and the output has room for 32 rows.
unsafe fn tiles(left: &[Tile], right: &[Tile], out: &mut [f32], stride: usize, add: bool) {
    if left.is_empty() {
        return;
    }
    let (top, stride) = (out.as_mut_ptr(), stride * size_of::<f32>());
    let below = top.wrapping_byte_add(TILE * stride);
    // SAFETY: as above. Nothing between the beginning of a session and its end uses tiles or their shape but this.
    unsafe {
        asm!(
            "test {add}, {add}",
            "jz 3f",
            "tileloadd tmm0, [{top} + {stride}]",
            "tileloadd tmm1, [{top} + {stride} + 64]",
            "tileloadd tmm2, [{below} + {stride}]",
            "tileloadd tmm3, [{below} + {stride} + 64]",
            "jmp 2f",
            "3:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{left} + {line}]",
            "tileloadd tmm6, [{right} + {line}]",
            "tileloadd tmm7, [{right} + {line} + 1024]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{left} + {line} + 1024]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "add {left}, 2048",
            "add {right}, 2048",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "dec {steps}",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "jnz 2b",
            "tilestored [{top} + {stride}], tmm0",
            "tilestored [{top} + {stride} + 64], tmm1",
            "tilestored [{below} + {stride}], tmm2",
            "tilestored [{below} + {stride} + 64], tmm3",
            add = in(reg) u64::from(add),
            top = in(reg) top,
            below = in(reg) below,
            stride = in(reg) stride,
            left = inout(reg) left.as_ptr() => _,
            right = inout(reg) right.as_ptr() => _,
            steps = inout(reg) left.len() / 2 => _,
            line = in(reg) 64usize,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// The same without tiles, eight rows at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn pairs(left: &[Tile], right: &[Tile], out: &mut [f32], stride: usize, add: bool) {
    const ROWS: usize = 8;
    #[expect(unsafe_code, reason = "loads and stores of 64 bytes, and bits taken as pairs")]
    // SAFETY: lines of tiles have 64 bytes; the two stores of a row are within slices of 16 numbers.
    unsafe {
        let line = |tile: &Tile, at: usize| -> __m512bh {
            std::mem::transmute(_mm512_load_si512(tile.0[at].as_ptr().cast()))
        };
        for first in (0..PANEL).step_by(ROWS) {
            let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
            for (left, right) in left.chunks_exact(2).zip(right.chunks_exact(2)) {
                let left = &left[first / TILE];
                for term in 0..TILE {
                    let columns = [line(&right[0], term), line(&right[1], term)];
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let of_row = &left.0[first % TILE + row];
                        let pair = u32::from(of_row[2 * term]) | u32::from(of_row[2 * term + 1]) << 16;
                        let pair: __m512bh = std::mem::transmute(_mm512_set1_epi32(pair.cast_signed()));
                        sums[0] = _mm512_dpbf16_ps(sums[0], pair, columns[0]);
                        sums[1] = _mm512_dpbf16_ps(sums[1], pair, columns[1]);
                    }
                }
            }
            for (row, sums) in sums.into_iter().enumerate() {
                let start = (first + row) * stride;
                for (to, sum) in out[start..start + PANEL].chunks_exact_mut(TILE).zip(sums) {
                    let before = if add { _mm512_loadu_ps(to.as_ptr()) } else { _mm512_setzero_ps() };
                    _mm512_storeu_ps(to.as_mut_ptr(), _mm512_add_ps(before, sum));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Matrix;
    use crate::bf16::product::{self, Packed};
    use crate::linalg::{Accumulate, View, ViewMut};
    use crate::seed::Random;

    fn rounded(x: f32) -> f64 {
        // To the nearest, ties to even.
        let bits = x.to_bits();
        f64::from(f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000))
    }

    fn random(n_rows: usize, n_columns: usize, seed: u64) -> Matrix {
        let mut random = Random::new(seed);
        Matrix::from_rows(n_rows, n_columns, (0..n_rows * n_columns).map(|_| random.normal()).collect())
    }

    /// Both kernels where the machine has tiles.
    fn kernels() -> Vec<Kernel> {
        match Kernel::of_machine() {
            None => {
                eprintln!("skipped: this machine has no products of bfloat16");
                Vec::new()
            }
            Some(Kernel::Pairs) => vec![Kernel::Pairs],
            Some(Kernel::Tiles) => vec![Kernel::Tiles, Kernel::Pairs],
        }
    }

    #[test]
    fn products_are_those_of_rounded_numbers() {
        let shapes =
            [(32, 32, 32), (1, 1, 1), (17, 33, 15), (64, 700, 48), (100, 51, 51), (40, 1_100, 2_200)];
        for kernel in kernels() {
            for (n_rows, n_terms, n_columns) in shapes {
                for form in 0..8 {
                    let (turn_a, turn_b, add) = (form & 1 == 1, form & 2 == 2, form & 4 == 4);
                    let shape = |turned: bool, a: usize, b: usize| if turned { (b, a) } else { (a, b) };
                    let (a, b) = (shape(turn_a, n_rows, n_terms), shape(turn_b, n_terms, n_columns));
                    let (a, b) = (random(a.0, a.1, 1), random(b.0, b.1, 2));
                    let mut out = random(n_rows, n_columns, 3);
                    let before = out.clone();
                    let into = if add { Accumulate::Add } else { Accumulate::Replace };
                    let view = |x, turned| if turned { View::from(x).t() } else { View::from(x) };
                    let (left, right) = (view(&a, turn_a), view(&b, turn_b));
                    product::multiply(kernel, &mut ViewMut::from(&mut out), into, left, (right, None), 0.5);
                    let mut again = before.clone();
                    let packed = Packed::new(right);
                    let right = (right, Some(&packed));
                    product::multiply(kernel, &mut ViewMut::from(&mut again), into, left, right, 0.5);
                    assert_eq!(again, out, "packed before");
                    let at = |x: &Matrix, turned: bool, row: usize, column: usize| {
                        if turned { x.row(column)[row] } else { x.row(row)[column] }
                    };
                    for row in (0..n_rows).step_by(7) {
                        for column in (0..n_columns).step_by(3) {
                            let terms = (0..n_terms).map(|term| {
                                rounded(0.5 * at(&a, turn_a, row, term))
                                    * rounded(at(&b, turn_b, term, column))
                            });
                            let start = if add { before.row(row)[column] } else { 0.0 };
                            let expected = f64::from(start) + terms.sum::<f64>();
                            let found = f64::from(out.row(row)[column]);
                            assert!(
                                (found - expected).abs() < 1e-5 * n_terms as f64,
                                "{kernel:?} {n_rows}x{n_terms}x{n_columns}, form {form}, {row} {column}: \
                                 {found}, expected {expected}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_stands_beside_the_result_stays() {
        for kernel in kernels() {
            let (a, b) = (random(40, 16, 1), random(16, 40, 2));
            let mut out = vec![7.0; 40 * 50];
            let mut view = ViewMut::new(&mut out, 40, 40, 50);
            product::multiply(kernel, &mut view, Accumulate::Replace, (&a).into(), ((&b).into(), None), 1.0);
            assert!(out.chunks_exact(50).all(|row| row[40..] == [7.0; 10] && row[..40] != [7.0; 40]));
        }
    }
}
