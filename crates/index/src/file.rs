//! An index as a file: a head, what stays in memory, and exact vectors, which are mapped and read when they are asked for.
//!
//! All numbers are little-endian. The head is `magic, version, n_rows, body bytes, vector bytes`, BLAKE3 of the body, of the vectors, and of the
//! head so far. The body ends where the vectors can begin, at a multiple of 4096 bytes.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;
use upnext_math::Rotation;
use upnext_math::codes::{Bits, Line, ROWS};
use upnext_math::memory::in_large_pages;
use upnext_math::seed;

use crate::quantised::base::{Base, Centres, Lists, Mapped, NONE, Packed, Vectors};
use crate::quantised::tune::Tuned;
use crate::{Config, DIM_MAX, IndexError, Metric, Quantised, ROWS_MAX};

const MAGIC: [u8; 8] = *b"UPNXNEAR";
const VERSION: u32 = 2;
const HEAD: usize = 8 + 4 + 4 + 8 + 8 + 3 * 32;
const ALIGNED: usize = 4_096;

// Mapped numbers are used as they lie in the file.
const _: () = assert!(cfg!(target_endian = "little"), "files of indexes are little-endian");

impl Quantised {
    /// Writes the index aside and renames it, so that a reader finds the old file or the new one. The file may only be read, as those who
    /// have it open rely on it; another may take its place. In the file, what came and
    /// went is [folded](Quantised::fold) in.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), IndexError> {
        let path = path.as_ref();
        let state = self.folded_state()?;
        let error = |source| IndexError::File { path: path.into(), what: "written", source };
        let mut aside = path.as_os_str().to_owned();
        // Others may write the same file at this moment.
        aside.push(format!(".{}.new", std::process::id()));
        write(&state.base, Path::new(&aside)).map_err(error)?;
        std::fs::rename(&aside, path).map_err(error)
    }

    /// Opens a file that [`save`](Self::save) wrote, and checks every byte of it. Vectors stay in the file, which must not be changed or
    /// cut while the index is open: then every search is refused ([`IndexError::Changed`]). To replace it is safe.
    ///
    /// # Errors
    /// If it cannot be read, is no index or one of another version, or was cut or damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, IndexError> {
        let path = path.as_ref();
        Ok(Self::of(read(path)?))
    }
}

fn write(base: &Base, path: &Path) -> std::io::Result<()> {
    let mut body = Vec::new();
    let config = &base.config;
    let metric = match config.metric {
        Metric::InnerProduct => 0,
        Metric::Cosine => 1,
        Metric::L2 => 2,
    };
    let numbers = [
        base.dim as u64,
        metric,
        config.seed,
        u64::from(config.recall.to_bits()),
        config.lists.unwrap_or(0) as u64,
        config.bits.map_or(0, Bits::count) as u64,
        config.tuning_queries as u64,
        base.bits.count() as u64,
        base.n_lists() as u64,
        base.lists.groups.len() as u64,
        base.packed.rows.len() as u64,
        base.tuned.steps.len() as u64,
    ];
    numbers.iter().for_each(|number| body.extend(number.to_le_bytes()));
    for &(k, lists, times) in &base.tuned.steps {
        body.extend([k, lists.to_bits(), times.to_bits()].iter().flat_map(|x| x.to_le_bytes()));
    }
    body.extend(bytemuck::cast_slice::<f32, u8>(&base.lists.lists.values));
    body.extend(bytemuck::cast_slice::<f32, u8>(&base.lists.groups.values));
    body.extend(bytemuck::cast_slice::<u32, u8>(&base.lists.starts));
    body.extend(bytemuck::cast_slice::<u32, u8>(&base.packed.starts));
    for lines in [&base.packed.rows, &base.packed.lines] {
        body.extend(lines.iter().flat_map(|line| bytemuck::cast::<[u32; ROWS], [u8; 64]>(line.0)));
    }
    body.resize((HEAD + body.len()).next_multiple_of(ALIGNED) - HEAD, 0);

    let vectors: &[u8] = bytemuck::cast_slice(base.packed.vectors.all());
    let mut head = Vec::with_capacity(HEAD);
    head.extend(MAGIC);
    head.extend(VERSION.to_le_bytes());
    head.extend((base.len() as u32).to_le_bytes());
    head.extend((body.len() as u64).to_le_bytes());
    head.extend((vectors.len() as u64).to_le_bytes());
    head.extend(blake3::hash(&body).as_bytes());
    head.extend(blake3::hash(vectors).as_bytes());
    head.extend(blake3::hash(&head).as_bytes());

    let mut file = File::create(path)?;
    for part in [&head, &body, vectors] {
        file.write_all(part)?;
    }
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions)?;
    file.sync_all()
}

fn read(path: &Path) -> Result<Base, IndexError> {
    let error = |source| IndexError::File { path: path.into(), what: "read", source };
    let damaged = |part| IndexError::Damaged { path: path.into(), part };
    let mut file = File::open(path).map_err(error)?;
    let metadata = file.metadata().map_err(error)?;
    let (found, written) = (metadata.len(), metadata.modified().map_err(error)?);
    let mut head = Vec::new();
    (&mut file).take(HEAD as u64).read_to_end(&mut head).map_err(error)?;
    if head.len() < 12 || head[..8] != MAGIC {
        return Err(IndexError::NotAnIndex { path: path.into() });
    }
    let version = u32::from_le_bytes(head[8..12].try_into().expect("4 bytes"));
    if version != VERSION {
        return Err(IndexError::Version { path: path.into(), found: version, expected: VERSION });
    }
    if head.len() < HEAD {
        return Err(IndexError::Length { path: path.into(), found, expected: HEAD as u64 });
    }
    if blake3::hash(&head[..HEAD - 32]).as_bytes()[..] != head[HEAD - 32..] {
        return Err(damaged("head"));
    }
    let long = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("8 bytes"));
    let n_rows = u32::from_le_bytes(head[12..16].try_into().expect("4 bytes")) as usize;
    let (body_bytes, vector_bytes) = (long(16), long(24));
    let expected = (HEAD as u64).saturating_add(body_bytes).saturating_add(vector_bytes);
    if found != expected {
        return Err(IndexError::Length { path: path.into(), found, expected });
    }

    // Vectors are used where they lie: whole numbers, from where numbers may begin.
    if !vector_bytes.is_multiple_of(4) || !(HEAD as u64 + body_bytes).is_multiple_of(ALIGNED as u64) {
        return Err(damaged("form"));
    }
    let mut body = vec![0; body_bytes as usize];
    file.read_exact(&mut body).map_err(error)?;
    if blake3::hash(&body).as_bytes()[..] != head[32..64] {
        return Err(damaged("lists and codes"));
    }
    // Read, not mapped: what is only checked shall not stay in memory.
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece).map_err(error)? {
            0 => break,
            n => hasher.update(&piece[..n]),
        };
    }
    if hasher.finalize().as_bytes()[..] != head[64..96] {
        return Err(damaged("vectors"));
    }
    file.rewind().map_err(error)?;
    let vectors = match vector_bytes {
        0 => Vectors::Owned(Vec::new()),
        _ => {
            #[expect(unsafe_code, reason = "a mapped file is memory that others may change")]
            // SAFETY: files of indexes are written aside and renamed, never changed where they lie, and `open` asks callers to
            // leave them alone; each search looks whether they did.
            let map = unsafe { Mmap::map(&file) }.map_err(error)?;
            let (from, bytes) = (HEAD + body_bytes as usize, vector_bytes as usize);
            Vectors::Mapped(Mapped { map, from, bytes, file, path: path.into(), was: (found, written) })
        }
    };
    parse(&body, n_rows, vectors).ok_or_else(|| damaged("form"))
}

/// The parts of a body; none where they do not fit together.
fn parse(body: &[u8], n_rows: usize, vectors: Vectors) -> Option<Base> {
    let mut rest = Parts(body);
    let [
        dim,
        metric,
        seed,
        recall,
        lists,
        config_bits,
        tuning_queries,
        bits,
        n_lists,
        n_groups,
        n_blocks,
        n_steps,
    ] = rest.longs::<12>()?;
    let metric = match metric {
        0 => Metric::InnerProduct,
        1 => Metric::Cosine,
        2 => Metric::L2,
        _ => return None,
    };
    let of_count = |count| match count {
        2 => Some(Bits::Two),
        4 => Some(Bits::Four),
        _ => None,
    };
    let bits = of_count(bits)?;
    let dim = usize::try_from(dim).ok().filter(|dim| (1..=DIM_MAX).contains(dim))?;
    // Each list and block takes bytes of the body, so no more are possible than it has.
    let small = |n: u64| usize::try_from(n).ok().filter(|&n| n <= body.len());
    let (n_lists, n_groups) = (small(n_lists)?, small(n_groups)?);
    let (n_blocks, n_steps) = (small(n_blocks)?, small(n_steps)?);
    let config = Config {
        metric,
        seed,
        recall: f32::from_bits(u32::try_from(recall).ok()?),
        lists: Some(small(lists)?).filter(|&n| n > 0),
        bits: of_count(config_bits),
        tuning_queries: usize::try_from(tuning_queries).ok()?,
    };
    let steps = rest.words(n_steps.checked_mul(3)?)?;
    let float = f32::from_bits;
    let steps: Vec<_> = steps.chunks_exact(3).map(|x| (x[0], float(x[1]), float(x[2]))).collect();
    let floats = |words: Vec<u32>| words.into_iter().map(float).collect::<Vec<f32>>();
    let centres = floats(rest.words(n_lists.checked_mul(dim)?)?);
    let groups = floats(rest.words(n_groups.checked_mul(dim)?)?);
    let group_starts = rest.words(n_groups + 1)?;
    let starts = rest.words(n_lists + 1)?;
    let rows = rest.lines(n_blocks)?;
    let lines = rest.lines(n_blocks.checked_mul(bits.lines(dim))?)?;

    let climbs = |starts: &[u32], to: usize| {
        starts[0] == 0 && starts.is_sorted() && starts.last() == Some(&(to as u32))
    };
    let is_climbing = climbs(&starts, n_blocks) && climbs(&group_starts, n_lists);
    let are_steps = !steps.is_empty() && steps.is_sorted_by(|a, b| a.0 < b.0) && steps[0].0 > 0;
    if n_lists == 0 || !is_climbing || !are_steps || rest.0.iter().any(|&byte| byte != 0) {
        return None;
    }
    let (mut places, mut slots, mut n) = (Vec::with_capacity(n_blocks), Vec::new(), 0);
    for (block, rows) in rows.iter().enumerate() {
        places.push(n as u32);
        let filled = rows.0.iter().take_while(|row| **row != NONE).count();
        if rows.0[filled..].iter().any(|&row| row != NONE) {
            return None;
        }
        for (lane, &row) in rows.0[..filled].iter().enumerate() {
            if row >= ROWS_MAX {
                return None;
            }
            if slots.len() <= row as usize {
                slots.resize(row as usize + 1, NONE);
            }
            if std::mem::replace(&mut slots[row as usize], (block * ROWS + lane) as u32) != NONE {
                return None;
            }
        }
        n += filled;
    }
    if n != n_rows || vectors.all().len() != n_rows.checked_mul(dim)? {
        return None;
    }
    Some(Base {
        dim,
        bits,
        rotation: Arc::new(Rotation::new(dim, seed::mix(config.seed))),
        lists: Arc::new(Lists {
            lists: Centres::new(centres, dim),
            groups: Centres::new(groups, dim),
            starts: group_starts,
        }),
        packed: Arc::new(Packed { starts, lines, rows, places, slots, vectors }),
        tuned: Tuned { steps },
        config,
    })
}

/// What is left of a body.
struct Parts<'a>(&'a [u8]);

impl Parts<'_> {
    fn bytes(&mut self, n: usize) -> Option<&[u8]> {
        let (part, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(part)
    }

    fn longs<const N: usize>(&mut self) -> Option<[u64; N]> {
        let part = self.bytes(8 * N)?;
        Some(std::array::from_fn(|at| {
            u64::from_le_bytes(part[8 * at..8 * at + 8].try_into().expect("8 bytes"))
        }))
    }

    fn words(&mut self, n: usize) -> Option<Vec<u32>> {
        let part = self.bytes(n.checked_mul(4)?)?;
        Some(part.as_chunks::<4>().0.iter().map(|&word| u32::from_le_bytes(word)).collect())
    }

    fn lines(&mut self, n: usize) -> Option<Vec<Line>> {
        let part = self.bytes(n.checked_mul(4 * ROWS)?)?;
        let mut lines = in_large_pages(n);
        let line = |bytes: &[u8; 64]| Line(bytemuck::cast::<[u8; 64], [u32; ROWS]>(*bytes));
        lines.extend(part.as_chunks::<64>().0.iter().map(line));
        Some(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Allow, Index};
    use upnext_math::Matrix;

    fn small(seed: u64) -> Quantised {
        let mut random = seed::Random::new(seed);
        let values = (0..60 * 5).map(|_| random.normal()).collect();
        let config = Config { lists: Some(4), ..Config::new(Metric::L2) };
        Quantised::build(&Matrix::from_rows(60, 5, values), &config).unwrap()
    }

    #[test]
    fn what_was_saved_opens_and_answers_alike() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.bin");
        let index = small(1);
        assert!(index.remove(7));
        index.insert(1_000, &[0.5; 5]).unwrap();
        index.save(&path).unwrap();
        let opened = Quantised::open(&path).unwrap();
        assert_eq!((opened.len(), opened.contains(7), opened.config()), (60, false, index.config()));
        for k in [1, 10, 100] {
            let query = [0.1, -0.2, 0.3, 0.4, -0.5];
            let hits = index.search(&query, k, Allow::All).unwrap();
            assert_eq!(opened.search(&query, k, Allow::All).unwrap(), hits);
        }
        opened.update(1_000, &[9.0; 5]).unwrap();
        assert_eq!(opened.search(&[9.0; 5], 1, Allow::All).unwrap()[0].row, 1_000);
        opened.save(&path).unwrap();
        assert_eq!(Quantised::open(&path).unwrap().search(&[9.0; 5], 1, Allow::All).unwrap()[0].score, 0.0);
    }

    #[test]
    fn a_file_that_is_replaced_goes_on_answering_those_who_opened_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.bin");
        let (first, second) = (small(2), small(3));
        first.save(&path).unwrap();
        let opened = Quantised::open(&path).unwrap();
        second.save(&path).unwrap();
        let query = [0.1, -0.2, 0.3, 0.4, -0.5];
        let answers = |index: &Quantised| index.search(&query, 60, Allow::All).unwrap();
        assert_eq!(answers(&opened), answers(&first));
        assert_eq!(answers(&Quantised::open(&path).unwrap()), answers(&second));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(answers(&opened), answers(&first));
    }

    #[test]
    fn a_file_that_is_cut_or_written_over_while_it_is_open_is_refused_instead_of_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.bin");
        let query = [0.1, -0.2, 0.3, 0.4, -0.5];
        let (first, second) = (small(2), small(3));
        second.save(&path).unwrap();
        let other = std::fs::read(&path).unwrap();
        // Cut, as by `cp` of another file over it, before that writes; then with all bytes of the other.
        for bytes in [&other[..0], &other[..HEAD + 10], &other] {
            std::fs::remove_file(&path).unwrap();
            first.save(&path).unwrap();
            assert!(std::fs::metadata(&path).unwrap().permissions().readonly(), "it is written once");
            let opened = Quantised::open(&path).unwrap();
            opened.insert(1_000, &[0.5; 5]).unwrap();
            write_over(&path, bytes);
            for _ in 0..2 {
                let error = opened.search(&query, 60, Allow::All).unwrap_err().to_string();
                assert!(error.contains("index.bin was changed where it lies"), "{error}");
            }
            opened.fold();
            assert!(matches!(opened.tune(0.9), Err(IndexError::Changed { .. })));
            assert!(matches!(opened.save(folder.path().join("copy")), Err(IndexError::Changed { .. })));
        }
        // What lies there now is whole.
        let answers = |index: &Quantised| index.search(&query, 60, Allow::All).unwrap();
        assert_eq!(answers(&Quantised::open(&path).unwrap()), answers(&second));
    }

    /// Other bytes in the same file, as long as the clock of files takes to tell.
    fn write_over(path: &Path, bytes: &[u8]) {
        let mut permissions = std::fs::metadata(path).unwrap().permissions();
        #[expect(clippy::permissions_set_readonly_false, reason = "a file of a test")]
        permissions.set_readonly(false);
        std::fs::set_permissions(path, permissions).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::write(path, bytes).unwrap();
    }

    #[test]
    fn an_index_without_rows_is_saved_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.bin");
        Quantised::new(3, &Config::new(Metric::Cosine)).unwrap().save(&path).unwrap();
        let opened = Quantised::open(&path).unwrap();
        opened.insert(2, &[1.0, 0.0, 0.0]).unwrap();
        assert_eq!(
            opened.search(&[2.0, 0.0, 0.0], 3, Allow::All).unwrap(),
            [crate::Hit { row: 2, score: 1.0 }]
        );
    }

    #[test]
    fn a_file_that_was_cut_or_changed_anywhere_is_refused_with_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.bin");
        small(2).save(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let refusal = |bytes: &[u8]| {
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, bytes).unwrap();
            let error = Quantised::open(&path).expect_err("a damaged file").to_string();
            assert!(error.contains("index.bin") && error.contains(':'), "{error}");
            error
        };
        for n in (0..whole.len()).step_by(7).chain(whole.len() - 5..whole.len()) {
            refusal(&whole[..n]);
        }
        for at in (0..HEAD).chain((HEAD..whole.len()).step_by(5)) {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 8);
            refusal(&changed);
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert!(refusal(&longer).contains("it was cut or added to"));
        assert!(refusal(b"not an index at all").contains("does not begin as one"));
        let mut newer = whole;
        newer[8] = 9;
        assert!(refusal(&newer).contains("format 9; this build reads 2: build the index again"));
    }

    #[test]
    fn the_same_seed_gives_the_same_file_on_any_number_of_threads() {
        let folder = tempfile::tempdir().unwrap();
        let mut random = seed::Random::new(3);
        let values = (0..3_000 * 24).map(|_| random.normal()).collect();
        let vectors = Matrix::from_rows(3_000, 24, values);
        let built = |threads: usize, seed: u64| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let path = folder.path().join("index.bin");
            let config = Config { seed, ..Config::new(Metric::Cosine) };
            pool.install(|| Quantised::build(&vectors, &config).unwrap().save(&path).unwrap());
            std::fs::read(&path).unwrap()
        };
        let one = built(1, 5);
        assert!(one == built(3, 5));
        assert!(one != built(1, 6));
    }
}
