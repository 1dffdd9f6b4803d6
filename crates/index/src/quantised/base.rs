//! What was built: lists, codes and exact vectors. It never changes.

use std::sync::Arc;

use memmap2::Mmap;
use upnext_math::Rotation;
use upnext_math::codes::{self, Bits, Bounds, ByteQuery, Bytes, Line, ROWS};
use upnext_math::dot::dot;

use super::Config;
use super::tune::Tuned;
use crate::Metric;

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

/// The centres of lists, rotated.
#[derive(Debug)]
pub(crate) struct Lists {
    /// `(n_lists, dim)`.
    pub(crate) centres: Vec<f32>,
    /// The mean squared distance of a list's rows from its centre.
    pub(crate) spreads: Vec<f32>,
    /// Half the squared length of each centre, and the whole.
    pub(super) halves: Vec<f32>,
    pub(super) squares: Vec<f32>,
    /// What rows of a list score less than its centre, on average, and how far they lie around it in one direction.
    pub(super) less: Vec<f32>,
    pub(super) deviations: Vec<f32>,
    /// Centres as bytes, which every query is compared with.
    pub(super) bytes: Bytes,
}

impl Lists {
    pub(crate) fn new(centres: Vec<f32>, spreads: Vec<f32>, dim: usize, metric: Metric) -> Self {
        let squares: Vec<f32> = centres.chunks_exact(dim).map(|centre| dot(centre, centre)).collect();
        let halves: Vec<f32> = squares.iter().map(|square| 0.5 * square).collect();
        let less = match metric {
            Metric::L2 => halves.iter().zip(&spreads).map(|(half, spread)| half + 0.5 * spread).collect(),
            Metric::Cosine | Metric::InnerProduct => vec![0.0; spreads.len()],
        };
        let deviations = spreads.iter().map(|spread| (spread / dim as f32).sqrt()).collect();
        let bytes = Bytes::new(&centres, dim);
        Self { centres, spreads, halves, squares, less, deviations, bytes }
    }

    /// What bounds the scores of each list's rows: they lie around the centre, and a query gains by that in proportion to its
    /// distance from the centre, or by an inner product to its own length.
    pub(super) fn bounds(&self, metric: Metric, square: f32, margin: f32) -> Bounds<'_> {
        let given = Bounds {
            less: &self.less,
            squares: &self.squares,
            square,
            weight: 2.0,
            deviations: &self.deviations,
            margin,
        };
        match metric {
            Metric::L2 | Metric::Cosine => given,
            // Where nothing is taken, nothing is added either: `less` is all zeros then.
            Metric::InnerProduct => Bounds { squares: &self.less, weight: 0.0, ..given },
        }
    }

    pub(super) fn centre(&self, list: usize, dim: usize) -> &[f32] {
        &self.centres[list * dim..][..dim]
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
    Mapped {
        map: Mmap,
        from: usize,
        bytes: usize,
    },
}

impl Vectors {
    pub(crate) fn all(&self) -> &[f32] {
        match self {
            Self::Owned(values) => values,
            Self::Mapped { map, from, bytes } => {
                bytemuck::try_cast_slice(&map[*from..from + bytes]).expect("opening a file checks this part")
            }
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
        self.lists.spreads.len()
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

    /// The list of a rotated vector.
    pub(super) fn nearest_list(&self, rotated: &[f32]) -> usize {
        let mut query = ByteQuery::default();
        query.set(rotated);
        let mut dots = Vec::new();
        self.lists.bytes.dots(&query, &mut dots);
        upnext_math::dot::largest_difference(&dots[..self.n_lists()], &self.lists.halves)
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
