//! What was built: lists, codes and exact vectors. It never changes.

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use memmap2::Mmap;
use upnext_math::Rotation;
use upnext_math::codes::{self, Bits, ByteQuery, Bytes, Line, ROWS};
use upnext_math::dot::dot;

use super::Config;
use super::search::{key, number_of};
use super::tune::Tuned;
use crate::{IndexError, Metric};

/// No row, and no slot.
pub(crate) const NONE: u32 = u32::MAX;

/// Lists, and the rows in them. A slot is a lane of a block, `16 * block + lane`; its place is its number when empty lanes are not
/// counted. Its parts are shared by what differs in the tuning alone.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    pub(crate) dim: usize,
    pub(crate) config: Config,
    pub(crate) bits: Bits,
    pub(crate) rotation: Arc<Rotation>,
    pub(crate) lists: Arc<Lists>,
    pub(crate) packed: Arc<Packed>,
    pub(crate) tuned: Tuned,
}

/// The centres of lists, rotated. Lists of a group stand side by side, so that a query is compared with groups first, and then with the
/// lists of the best of them.
#[derive(Debug)]
pub(crate) struct Lists {
    pub(crate) lists: Centres,
    pub(crate) groups: Centres,
    /// The first list of each group, and the end.
    pub(crate) starts: Vec<u32>,
}

/// Centres, `(n, dim)`, and as bytes.
#[derive(Debug)]
pub(crate) struct Centres {
    pub(crate) values: Vec<f32>,
    /// Half the squared length of each.
    halves: Vec<f32>,
    bytes: Bytes,
}

/// The lists that were chosen, and room to choose.
#[derive(Debug, Default)]
pub(super) struct Near {
    /// The nearest first.
    pub(super) lists: Vec<u64>,
    /// The product of each list's centre with the query, where its group was looked at.
    pub(super) dots: Vec<f32>,
    groups: Vec<u64>,
    group_dots: Vec<f32>,
}

/// Groups are looked at until they have so many times the lists that are wanted, and no fewer than so many.
const LISTS_A_WANTED: usize = 8;
const GROUPS_MIN: usize = 4;

impl Centres {
    pub(crate) fn new(values: Vec<f32>, dim: usize) -> Self {
        let halves = values.chunks_exact(dim).map(|centre| 0.5 * dot(centre, centre)).collect();
        Self { halves, bytes: Bytes::new(&values, dim), values }
    }

    pub(crate) fn len(&self) -> usize {
        self.halves.len()
    }

    /// How near each of some is, as a key.
    fn keys(&self, dots: &[f32], of: Range<usize>, by_product: bool, keys: &mut Vec<u64>) {
        keys.extend(of.map(|at| {
            let less = if by_product { 0.0 } else { self.halves[at] };
            key(dots[at] - less, at as u32)
        }));
    }
}

impl Lists {
    pub(super) fn len(&self) -> usize {
        self.lists.len()
    }

    /// Chooses lists by the distance of their centres, or by the product where a score is one and lengths count.
    pub(super) fn nearest(&self, query: &ByteQuery, by_product: bool, wanted: usize, near: &mut Near) {
        let Near { lists, dots, groups, group_dots } = near;
        self.groups.bytes.dots(query, group_dots);
        groups.clear();
        self.groups.keys(group_dots, 0..self.groups.len(), by_product, groups);
        let n = GROUPS_MIN.saturating_add(wanted.saturating_mul(LISTS_A_WANTED * groups.len()) / self.len());
        keep(groups, n);
        lists.clear();
        dots.resize(self.len().next_multiple_of(ROWS), 0.0);
        for &group in &*groups {
            let at = number_of(group) as usize;
            let (from, to) = (self.starts[at] as usize, self.starts[at + 1] as usize);
            self.lists.bytes.dots_of(from / ROWS..to.div_ceil(ROWS), query, dots);
            self.lists.keys(dots, from..to, by_product, lists);
        }
        keep(lists, wanted);
        lists.sort_unstable();
    }

    /// The list of a rotated vector.
    pub(super) fn list_of(&self, rotated: &[f32], query: &mut ByteQuery, near: &mut Near) -> usize {
        query.set(rotated);
        self.nearest(query, false, 1, near);
        number_of(near.lists[0]) as usize
    }

    pub(super) fn centre(&self, list: usize, dim: usize) -> &[f32] {
        &self.lists.values[list * dim..][..dim]
    }
}

/// Keeps the first of keys, in any order.
fn keep(keys: &mut Vec<u64>, n: usize) {
    if n < keys.len() {
        keys.select_nth_unstable(n);
        keys.truncate(n);
    }
}

/// The rows of all lists.
#[derive(Debug)]
pub(crate) struct Packed {
    /// The first block of each list, and the end.
    pub(crate) starts: Vec<u32>,
    /// Codes, block after block.
    pub(crate) lines: Vec<Line>,
    /// The rows of each block.
    pub(crate) rows: Vec<Line>,
    /// The place of each block's first lane.
    pub(crate) places: Vec<u32>,
    /// The slot of each row number.
    pub(crate) slots: Vec<u32>,
    /// Exact vectors by place.
    pub(crate) vectors: Vectors,
}

/// Exact vectors, prepared for the metric and not rotated.
#[derive(Debug)]
pub(crate) enum Vectors {
    Owned(Vec<f32>),
    /// A part of a file, of which the system keeps in memory what is read often.
    Mapped(Mapped),
}

/// A mapped part of a file.
#[derive(Debug)]
pub(crate) struct Mapped {
    pub(crate) map: Mmap,
    pub(crate) from: usize,
    pub(crate) bytes: usize,
    /// What was mapped, to be looked at again.
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    /// Its length and when it was last written, at the mapping.
    pub(crate) was: (u64, SystemTime),
}

impl Vectors {
    pub(crate) fn all(&self) -> &[f32] {
        match self {
            Self::Owned(values) => values,
            Self::Mapped(Mapped { map, from, bytes, .. }) => {
                bytemuck::try_cast_slice(&map[*from..from + bytes]).expect("opening a file checks this part")
            }
        }
    }

    /// Whether the vectors may be looked at: the system ends a process that reads behind the end of a file that was cut meanwhile, and what
    /// was written over is checked by nobody. A file that is cut between this and the look is not noticed.
    ///
    /// # Errors
    /// If the file was changed where it lies.
    pub(crate) fn check(&self) -> Result<(), IndexError> {
        let Self::Mapped(mapped) = self else { return Ok(()) };
        let changed = || IndexError::Changed { path: mapped.path.clone() };
        let now = mapped.file.metadata().map_err(|_| changed())?;
        match (now.len(), now.modified().unwrap_or(mapped.was.1)) == mapped.was {
            true => Ok(()),
            false => Err(changed()),
        }
    }
}

/// A row as it is put into a block.
pub(super) struct Coded {
    pub(super) codes: Vec<u8>,
    pub(super) scale: f32,
    pub(super) bias: f32,
}

impl Base {
    pub(crate) fn n_lists(&self) -> usize {
        self.lists.len()
    }

    /// Rows at building.
    pub(crate) fn len(&self) -> usize {
        self.packed.vectors.all().len() / self.dim
    }

    pub(super) fn n_blocks(&self) -> usize {
        self.packed.rows.len()
    }

    pub(super) fn place(&self, slot: u32) -> usize {
        self.packed.places[slot as usize / ROWS] as usize + slot as usize % ROWS
    }

    pub(super) fn vector(&self, slot: u32) -> &[f32] {
        &self.packed.vectors.all()[self.place(slot) * self.dim..][..self.dim]
    }

    pub(super) fn row(&self, slot: u32) -> u32 {
        self.packed.rows[slot as usize / ROWS].0[slot as usize % ROWS]
    }

    pub(super) fn slot(&self, row: u32) -> Option<u32> {
        self.packed.slots.get(row as usize).copied().filter(|&slot| slot != NONE)
    }

    /// Codes a rotated vector of a list.
    pub(super) fn code(&self, list: usize, rotated: &[f32], coded: &mut Coded) {
        code(self.bits, self.config.metric, self.lists.centre(list, self.dim), rotated, coded);
    }
}

/// Codes a rotated vector by what it has beyond its centre. With `r` that, and `r'` what its codes say of it, a product with `q`
/// is `q c + q r' + c (r - r') + (q - c) (r - r')`: what only the row decides goes into its bias, and the last term, the error, is small
/// where the query is near the centre. Inner products of queries of any length take the bias for nothing.
pub(super) fn code(bits: Bits, metric: Metric, centre: &[f32], rotated: &[f32], coded: &mut Coded) {
    let rest: Vec<f32> = rotated.iter().zip(centre).map(|(x, c)| x - c).collect();
    coded.codes.resize(rest.len(), 0);
    coded.scale = codes::encode(bits, &rest, &mut coded.codes);
    let middle = bits.middle();
    let of_centre = |coded: &Coded| -> f32 {
        let missing = |(&code, &x): (&u8, &f32)| x - coded.scale * (f32::from(code) - middle);
        let products = coded.codes.iter().zip(&rest).zip(centre);
        products.map(|(pair, c)| missing(pair) * c).sum()
    };
    coded.bias = match metric {
        Metric::InnerProduct => 0.0,
        Metric::Cosine => of_centre(coded),
        Metric::L2 => of_centre(coded) - 0.5 * dot(rotated, rotated),
    };
}
