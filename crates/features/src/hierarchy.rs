//! Categories in levels, first to third: known prefixes as rows, and codes in which siblings are alike.

use serde::{Deserialize, Serialize};

use crate::TrainRows;
use crate::category::{Vocabulary, hash};

/// A path from the first level down, for example `["Food", "Noodles", "Ramen"]`. An empty level ends it.
pub type Path<'a> = &'a [&'a str];

/// The prefixes of category paths, each with a row that it keeps. An unknown leaf falls back to its parent, since
/// the rows of a path are those of its prefixes that are known.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hierarchy {
    prefixes: Vocabulary,
}

/// Stands between the levels of a prefix; no reader lets it into a name.
const SEPARATOR: char = '\u{1f}';

impl Hierarchy {
    /// Every prefix of at least `count_min` train paths. A prefix is as frequent as its parent at most, so a
    /// known one has known parents.
    ///
    /// # Panics
    /// If a train row is not among the paths.
    pub fn fit(paths: &[Vec<&str>], train: &TrainRows, count_min: usize) -> Self {
        let of_train: Vec<String> = train.iter().flat_map(|row| prefixes(&paths[row])).collect();
        let mut prefixes = Vocabulary::default();
        prefixes.extend_many(of_train.iter().map(String::as_str), count_min);
        Self { prefixes }
    }

    /// Adds a path that is new with all its parents, while there are fewer than `rows_max` rows; rows stay.
    pub fn grow(&mut self, path: Path<'_>, rows_max: usize) {
        for prefix in prefixes(path) {
            if self.prefixes.grow(&prefix, rows_max) == Vocabulary::OTHER {
                break;
            }
        }
    }

    /// The rows of the known prefixes of a path, the first level first: the last one is the deepest that is
    /// known. Empty where not even the first level is.
    pub fn rows(&self, path: Path<'_>) -> Vec<u32> {
        let rows = prefixes(path).into_iter().map(|prefix| self.prefixes.row(&prefix));
        rows.take_while(|&row| row != Vocabulary::OTHER).collect()
    }

    /// How many rows there are; row 0 stands for what is not known at all.
    pub fn len(&self) -> usize {
        self.prefixes.len()
    }

    /// Whether it knows no category.
    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    /// The names of the columns of [`Hierarchy::path_one_hot`], levels joined by ` > `.
    pub fn columns(&self) -> Vec<String> {
        self.prefixes.columns("category").map(|name| name.replace(SEPARATOR, " > ")).collect()
    }

    /// Appends one column a row: 1 for each known prefix; for a path of which none is known, 1 for row 0; for no
    /// path, nothing but zeros.
    pub fn path_one_hot(&self, path: Path<'_>, out: &mut Vec<f32>) {
        let start = out.len();
        out.resize(start + self.len(), 0.0);
        let rows = self.rows(path);
        rows.iter().for_each(|&row| out[start + row as usize] = 1.0);
        if rows.is_empty() && !prefixes(path).is_empty() {
            out[start] = 1.0;
        }
    }
}

/// An additive code: the sum of one vector of signs a prefix, each of length 1, drawn by hash, so that it needs
/// no table and an unseen leaf still has its parents' part. The inner product of two codes is, but for chance of
/// the order of `levels / sqrt(dimension)`, the number of levels that the paths share from the top.
pub fn prefix_code(path: Path<'_>, dimension: usize, seed: u64) -> Vec<f32> {
    let length = 1.0 / (dimension.max(1) as f32).sqrt();
    let mut code = vec![0.0; dimension];
    for prefix in prefixes(path) {
        for (block, values) in (0u64..).zip(code.chunks_mut(64)) {
            let signs = hash(&prefix, seed.wrapping_add(block));
            for (bit, value) in values.iter_mut().enumerate() {
                *value += if signs >> bit & 1 == 1 { length } else { -length };
            }
        }
    }
    code
}

fn prefixes(path: Path<'_>) -> Vec<String> {
    let mut prefix = String::new();
    let levels = path.iter().take_while(|level| !level.is_empty()).enumerate();
    levels
        .map(|(depth, level)| {
            if depth > 0 {
                prefix.push(SEPARATOR);
            }
            prefix.push_str(level);
            prefix.clone()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_math::dot::dot;

    fn paths() -> Vec<Vec<&'static str>> {
        vec![
            vec!["Food", "Noodles", "Ramen"],
            vec!["Food", "Noodles", "Udon"],
            vec!["Food", "Soup"],
            vec!["Sport", "Ball", "Ramen"],
            vec!["Late", "Later"],
        ]
    }

    #[test]
    fn an_unknown_leaf_falls_back_to_its_parent() {
        let tree = Hierarchy::fit(&paths(), &TrainRows::all(4), 1);
        // Food in 3 paths, Food > Noodles in 2, then those of one in the order of their names.
        assert_eq!(tree.columns()[..3], ["category=other", "category=Food", "category=Food > Noodles"]);
        assert_eq!(tree.rows(&["Food", "Noodles", "Soba"]), [1, 2]);
        assert_eq!(tree.rows(&["Food", "Cake", "Ramen"]), [1]);
        assert_eq!(tree.rows(&["Late", "Later"]), Vec::<u32>::new());
        // The same name under another parent is another category.
        assert_ne!(tree.rows(&["Sport", "Ball", "Ramen"])[2], tree.rows(&["Food", "Noodles", "Ramen"])[2]);
        let frequent = Hierarchy::fit(&paths(), &TrainRows::all(4), 2);
        let mut row = Vec::new();
        for path in [&["Food", "Noodles", "Ramen"][..], &["Sport"], &["", "Noodles"]] {
            frequent.path_one_hot(path, &mut row);
        }
        assert_eq!(row, [0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_tree_grows_below_its_rows() {
        let mut tree = Hierarchy::fit(&paths(), &TrainRows::all(4), 2);
        tree.grow(&["Food", "Cake", "Pie"], 5);
        assert_eq!(tree.rows(&["Food", "Cake", "Pie"]), [1, 3, 4]);
        tree.grow(&["Sport", "Ball"], 5);
        assert_eq!(tree.rows(&["Sport", "Ball"]), Vec::<u32>::new());
        let kept: Hierarchy = serde_json::from_str(&serde_json::to_string(&tree).unwrap()).unwrap();
        assert_eq!(kept, tree);
    }

    #[test]
    fn codes_of_siblings_are_closer_than_those_of_cousins() {
        let code = |path: &[&str]| prefix_code(path, 1024, 3);
        let ramen = code(&["Food", "Noodles", "Ramen"]);
        // Shared levels: 3, 2, 1, 0; chance is near 3 / 32.
        let shared = [
            &["Food", "Noodles", "Ramen"][..],
            &["Food", "Noodles", "Udon"],
            &["Food", "Soup", "Miso"],
            &["Sport", "Ball", "Ramen"],
        ]
        .map(|path| dot(&ramen, &code(path)));
        for (found, levels) in shared.iter().zip([3.0, 2.0, 1.0, 0.0]) {
            assert!((found - levels).abs() < 0.4, "{shared:?}");
        }
        assert_eq!(code(&[]), vec![0.0; 1024]);
        assert_eq!(ramen, code(&["Food", "Noodles", "Ramen"]));
    }
}
