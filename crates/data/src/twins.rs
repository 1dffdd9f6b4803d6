//! Videos that are the same one under two ids: by their titles, or by their vectors.
//!
//! Both searches look only at videos that fall into one bucket, and at no more than [`WINDOW`] neighbours in it, so
//! a hundred thousand videos take about a second and memory stays a few numbers a video. Near-misses beyond the
//! buckets are lost with a probability that is written beside each search.

use crate::leakage::Vectors;
use crate::split::mix;
use crate::{Catalogue, Video};

/// Titles with fewer letters and digits than this say too little: `Emma` is not a copy of `Emma`.
const LETTERS_MIN: usize = 12;
/// Share of common shingles from which two titles are the same (Jaccard).
const JACCARD_MIN: f64 = 0.9;
/// Cosine from which two vectors are the same.
const COSINE_MIN: f64 = 0.999;
/// The same for what they differ in from the mean vector; noise weighs more there.
const COSINE_FROM_MEAN_MIN: f64 = 0.9;
/// How many neighbours of a bucket a video is compared with.
const WINDOW: usize = 32;

/// Groups of videos that are the same: a number for each video, equal within a group; a video without twin has its
/// own row as number.
///
/// Titles are compared after dropping case, spaces and signs. Two are the same if at least nine tenths of their
/// shingles of four letters are common, all numbers in them agree (`Part 2` is no copy of `Part 1`), and neither
/// year, length nor maker, where known of both, differs. Vectors are the same from a cosine of 0.999 on, if they
/// also point the same way from the mean of all: in a space that has collapsed every cosine is near 1.
pub fn twins(videos: &Catalogue, vectors: &[Vectors<'_>]) -> Vec<u32> {
    let mut groups = Groups((0..videos.len() as u32).collect());
    by_title(videos, &mut groups);
    vectors.iter().for_each(|vectors| by_vector(*vectors, &mut groups));
    (0..videos.len() as u32).map(|video| groups.root(video)).collect()
}

/// Disjoint sets with path halving (Tarjan & van Leeuwen 1984).
struct Groups(Vec<u32>);

impl Groups {
    fn root(&mut self, mut row: u32) -> u32 {
        while self.0[row as usize] != row {
            let above = self.0[self.0[row as usize] as usize];
            self.0[row as usize] = above;
            row = above;
        }
        row
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b) as usize] = a.min(b);
    }
}

/// What is compared of a title.
struct Title {
    /// Hashes of its shingles, sorted, each once.
    shingles: Vec<u64>,
    /// Hash of its numbers in order: digits, Roman and Chinese numerals, and "upper" and "lower" parts.
    numbers: u64,
}

fn read(title: &str) -> Option<Title> {
    let lower = title.to_lowercase();
    let letters: Vec<char> = lower.chars().filter(|c| c.is_alphanumeric()).collect();
    if letters.len() < LETTERS_MIN {
        return None;
    }
    let hash = |chars: &[char]| chars.iter().fold(17, |hash, &c| mix(hash ^ u64::from(c)));
    let mut shingles: Vec<u64> = letters.windows(4).map(hash).collect();
    shingles.sort_unstable();
    shingles.dedup();
    let mut numbers = 0;
    for word in lower.split(|c: char| !c.is_alphanumeric()) {
        if !word.is_empty() && word.chars().all(|c| "ivx".contains(c)) {
            numbers = word.chars().fold(mix(numbers), |hash, c| mix(hash ^ u64::from(c)));
        }
        for c in word.chars().filter(|&c| c.is_numeric() || "一二三四五六七八九十上中下".contains(c))
        {
            numbers = mix(numbers ^ u64::from(c));
        }
    }
    Some(Title { shingles, numbers })
}

fn jaccard(a: &[u64], b: &[u64]) -> f64 {
    let (mut i, mut j, mut common) = (0, 0, 0usize);
    while i < a.len() && j < b.len() {
        match a[i].cmp(&b[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => (i, j, common) = (i + 1, j + 1, common + 1),
        }
    }
    common as f64 / (a.len() + b.len() - common) as f64
}

/// Whether nothing that is known of both speaks against their being one video.
fn agree(a: &Video, b: &Video) -> bool {
    let length = match (a.duration_seconds, b.duration_seconds) {
        (Some(a), Some(b)) => (a - b).abs() <= 0.02 * a.max(b),
        _ => true,
    };
    length
        && a.year.zip(b.year).is_none_or(|(a, b)| a == b)
        && a.creator.zip(b.creator).is_none_or(|(a, b)| a == b)
}

/// MinHash in 10 bands of 4 (Broder 1997): two titles with nine tenths in common are missed in 3 of 100,000 cases.
fn by_title(videos: &Catalogue, groups: &mut Groups) {
    let titles: Vec<Option<Title>> = videos.videos().iter().map(|video| read(&video.title)).collect();
    for band in 0..10u64 {
        let mut keys: Vec<(u64, u32)> = Vec::new();
        for (row, title) in titles.iter().enumerate() {
            let Some(title) = title else { continue };
            let key = (0..4).fold(title.numbers, |key, n| {
                let seed = mix(band * 4 + n + 1);
                let least = title.shingles.iter().map(|shingle| mix(shingle ^ seed)).min().unwrap_or(0);
                mix(key ^ least)
            });
            keys.push((key, row as u32));
        }
        within_buckets(&mut keys, |a, b| {
            let (Some(one), Some(other)) = (&titles[a as usize], &titles[b as usize]) else { return };
            if groups.root(a) != groups.root(b)
                && one.numbers == other.numbers
                && agree(videos.video(a), videos.video(b))
                && jaccard(&one.shingles, &other.shingles) >= JACCARD_MIN
            {
                groups.join(a, b);
            }
        });
    }
}

/// Random hyperplanes (Charikar 2002), 12 tables of 16 bits: at a cosine of 0.999 around the mean vector a bit
/// differs in 1.4 % of cases and a pair is missed in one of a hundred million; far from the mean in more, at most
/// one of a thousand where the mean takes nine tenths of the length.
fn by_vector(vectors: Vectors<'_>, groups: &mut Groups) {
    let dim = vectors.dim;
    let row_of = |row: u32| &vectors.values[row as usize * dim..(row as usize + 1) * dim];
    let norms: Vec<f64> = (0..vectors.len() as u32)
        .map(|row| row_of(row).iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt())
        .collect();
    let known: Vec<u32> = (0..vectors.len() as u32)
        .filter(|&row| norms[row as usize] > 0.0 && norms[row as usize].is_finite())
        .collect();
    // Vectors of one model lie in a cone: planes through its middle tell them apart.
    let mut mean = vec![0.0f64; dim];
    for &row in &known {
        let norm = norms[row as usize] * known.len() as f64;
        mean.iter_mut().zip(row_of(row)).for_each(|(mean, &x)| *mean += f64::from(x) / norm);
    }
    let mean: Vec<f32> = mean.into_iter().map(|x| x as f32).collect();
    for table in 0..12u64 {
        let planes: Vec<Vec<f32>> = (0..16).map(|bit| plane(dim, table * 16 + bit)).collect();
        let shifts: Vec<f32> = planes.iter().map(|plane| dot(plane, &mean)).collect();
        let mut keys: Vec<(u64, u32)> = known
            .iter()
            .map(|&row| {
                let norm = norms[row as usize] as f32;
                let bits = planes.iter().zip(&shifts).fold(0, |bits, (plane, shift)| {
                    bits << 1 | u64::from(dot(plane, row_of(row)) / norm >= *shift)
                });
                (bits, row)
            })
            .collect();
        within_buckets(&mut keys, |a, b| {
            if groups.root(a) == groups.root(b) {
                return;
            }
            let (of_a, of_b) = (norms[a as usize], norms[b as usize]);
            let (mut product, mut apart, mut apart_a, mut apart_b) = (0.0, 0.0, 0.0, 0.0);
            for ((&x, &y), &mean) in row_of(a).iter().zip(row_of(b)).zip(&mean) {
                let (x, y, mean) = (f64::from(x) / of_a, f64::from(y) / of_b, f64::from(mean));
                product += x * y;
                apart += (x - mean) * (y - mean);
                apart_a += (x - mean).powi(2);
                apart_b += (y - mean).powi(2);
            }
            // Vectors that are all one, but for rounding, tell nothing apart.
            let telling = apart > 1e-10;
            if telling && product >= COSINE_MIN && apart > COSINE_FROM_MEAN_MIN * (apart_a * apart_b).sqrt() {
                groups.join(a, b);
            }
        });
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// A random direction: sums of four uniform numbers are near enough to normal ones.
fn plane(dim: usize, number: u64) -> Vec<f32> {
    let uniform = |x: u64| (mix(x) >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
    let seed = mix(number ^ 0x7477_696e);
    (0..dim as u64).map(|at| (0..4).map(|n| uniform(seed ^ (at * 4 + n))).sum()).collect()
}

/// Shows each pair of rows with one key, up to [`WINDOW`] neighbours apart.
fn within_buckets(keys: &mut [(u64, u32)], mut pair: impl FnMut(u32, u32)) {
    keys.sort_unstable();
    for bucket in keys.chunk_by(|a, b| a.0 == b.0) {
        for (at, &(_, a)) in bucket.iter().enumerate() {
            bucket[at + 1..].iter().take(WINDOW).for_each(|&(_, b)| pair(a, b));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titled(titles: &[&str]) -> Catalogue {
        let mut videos = Catalogue::new();
        for (row, title) in titles.iter().enumerate() {
            videos.intern(&row.to_string());
            videos.video_mut(row as u32).title = title.to_string();
        }
        videos
    }

    #[test]
    fn a_title_with_another_case_and_signs_is_the_same_and_a_sequel_is_not() {
        let videos = titled(&[
            "War of the Worlds, The (director's cut of the year)",
            "war of the worlds the - directors cut of the year!",
            "The long road to the village, part 1",
            "The long road to the village, part 2",
            "The long road to the village, part II",
            "Emma",
            "Emma",
        ]);
        assert_eq!(twins(&videos, &[]), [0, 0, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn one_title_in_two_years_is_two_films() {
        let mut videos = titled(&["The phantom of the opera"; 3]);
        (videos.video_mut(0).year, videos.video_mut(1).year) = (Some(1925), Some(2004));
        videos.video_mut(2).year = Some(2004);
        assert_eq!(twins(&videos, &[]), [0, 1, 1]);
    }

    #[test]
    fn vectors_of_nearly_one_direction_are_the_same_among_many_that_are_not() {
        let (n, dim) = (2_000, 32);
        let mut values: Vec<f32> = (0..n as u64).flat_map(|row| plane(dim, 1_000 + row)).collect();
        // A cone: all share a large part.
        values.iter_mut().for_each(|x| *x += 0.5);
        // Row 1,999 is row 7, longer and a little off.
        let copy: Vec<f32> = values[7 * dim..8 * dim]
            .iter()
            .enumerate()
            .map(|(at, x)| 2.0 * x + 0.01 * (at % 2) as f32)
            .collect();
        values[1_999 * dim..].copy_from_slice(&copy);
        let found = twins(&titled(&vec![""; n]), &[Vectors { dim, values: &values }]);
        assert_eq!(found[1_999], 7);
        assert_eq!(found.iter().enumerate().filter(|&(row, &group)| row as u32 != group).count(), 1);
    }

    #[test]
    fn in_a_space_that_has_collapsed_videos_are_not_all_one() {
        let (n, dim) = (200, 16);
        let mut values: Vec<f32> = (0..n as u64).flat_map(|row| plane(dim, 9_000 + row)).collect();
        // Every cosine is above 0.999.
        values.iter_mut().for_each(|x| *x = 1.0 + 0.01 * *x);
        values.copy_within(3 * dim..4 * dim, 8 * dim);
        let found = twins(&titled(&vec![""; n]), &[Vectors { dim, values: &values }]);
        let twice: Vec<usize> = (0..n).filter(|&row| found[row] != row as u32).collect();
        assert_eq!((twice, found[8]), (vec![8], 3));
    }

    #[test]
    fn a_hundred_thousand_copies_of_one_title_take_no_longer_than_others() {
        let videos = titled(&vec!["the same caption again and again"; 100_000]);
        let started = std::time::Instant::now();
        assert!(twins(&videos, &[]).iter().all(|&group| group == 0));
        // Quadratic work would take hours.
        assert!(started.elapsed().as_secs() < 60);
    }
}
