//! Users and the groups they belong to.

use serde::{Deserialize, Serialize};

use crate::{Attributes, Names};

/// Outside ids of users, with the labels that put them into groups.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Users {
    names: Names,
    labels_of: Vec<Vec<u32>>,
    /// Groups as `kind:value`, for example `user_active_degree:full_active`.
    pub labels: Names,
    /// What else is known of each user: `register_days`, `age`, `language`. One value a row, or no column.
    pub attributes: Attributes,
    friends: Vec<Vec<u32>>,
}

impl Users {
    /// No users.
    pub fn new() -> Self {
        Self::default()
    }

    /// The row of a user, who is added if new.
    pub fn intern(&mut self, name: &str) -> u32 {
        let row = self.names.intern(name);
        if row as usize == self.labels_of.len() {
            self.labels_of.push(Vec::new());
        }
        row
    }

    /// The row of a user, if known.
    pub fn row(&self, name: &str) -> Option<u32> {
        self.names.row(name)
    }

    /// The outside id of a row.
    ///
    /// # Panics
    /// If the row is not in the table.
    pub fn name(&self, row: u32) -> &str {
        self.names.name(row)
    }

    /// Gives a user a label such as `age:18-24`; a second time changes nothing.
    pub fn label(&mut self, row: u32, label: &str) {
        let label = self.labels.intern(label);
        let labels = &mut self.labels_of[row as usize];
        if let Err(at) = labels.binary_search(&label) {
            labels.insert(at, label);
        }
    }

    /// Rows of [`Users::labels`] for a user, sorted.
    pub fn labels_of(&self, row: u32) -> &[u32] {
        &self.labels_of[row as usize]
    }

    /// Makes one user know another; a second time changes nothing.
    pub fn befriend(&mut self, row: u32, friend: u32) {
        let most = row as usize + 1;
        if self.friends.len() < most {
            self.friends.resize(most, Vec::new());
        }
        let friends = &mut self.friends[row as usize];
        if let Err(at) = friends.binary_search(&friend) {
            friends.insert(at, friend);
        }
    }

    /// Rows of the users that a user knows, sorted.
    pub fn friends_of(&self, row: u32) -> &[u32] {
        self.friends.get(row as usize).map_or(&[], |friends| friends)
    }

    /// The outside ids.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The same users without whatever is known of some rows: their outside ids give way to `forgotten:N`, their labels, attributes
    /// and friends are gone, and nobody knows them any more. Rows of users keep their numbers, labels their order; a label that nobody
    /// else has is gone.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn without(&self, gone: &[u32]) -> Self {
        let mut are_gone = vec![false; self.len()];
        gone.iter().for_each(|&row| are_gone[row as usize] = true);
        let is_gone = |row: u32| are_gone.get(row as usize).is_some_and(|&is| is);
        let mut users = Self { attributes: self.attributes.clone(), ..Self::new() };
        let mut is_had = vec![false; self.labels.len()];
        for (_, labels) in (0..).zip(&self.labels_of).filter(|(row, _)| !is_gone(*row)) {
            labels.iter().for_each(|&label| is_had[label as usize] = true);
        }
        for (label, _) in self.labels.iter().zip(&is_had).filter(|(_, is_had)| **is_had) {
            users.labels.intern(label);
        }
        let mut number = 0;
        for (row, name) in (0..).zip(self.names.iter()) {
            if !is_gone(row) {
                users.intern(name);
                for &label in self.labels_of(row) {
                    users.label(row, self.labels.name(label));
                }
                continue;
            }
            let stand_in = loop {
                number += 1;
                let name = format!("forgotten:{number}");
                if self.row(&name).is_none() {
                    break name;
                }
            };
            users.intern(&stand_in);
            users.attributes.clear_row(row as usize);
        }
        users.friends.clone_from(&self.friends);
        for (row, friends) in (0..).zip(&mut users.friends) {
            match is_gone(row) {
                true => friends.clear(),
                false => friends.retain(|&friend| !is_gone(friend)),
            }
        }
        users
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.labels_of.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels_of.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Column;

    #[test]
    fn who_is_taken_out_leaves_a_row_that_tells_nothing() {
        let mut users = Users::new();
        for name in ["ann", "bob", "forgotten:1", "cas"] {
            let row = users.intern(name);
            users.label(row, &format!("plan:{name}"));
        }
        users.befriend(0, 1);
        users.befriend(1, 3);
        users.befriend(3, 0);
        users.attributes.set("age", Column::Number(vec![1.0, 2.0, 3.0, 4.0]));
        let left = users.without(&[1]);
        assert_eq!(left.names().iter().collect::<Vec<_>>(), ["ann", "forgotten:2", "forgotten:1", "cas"]);
        assert_eq!((left.row("bob"), left.row("cas"), left.len()), (None, Some(3), 4));
        assert_eq!(
            left.labels.iter().collect::<Vec<_>>(),
            ["plan:ann", "plan:forgotten:1", "plan:cas"],
            "nobody else had bob's"
        );
        assert_eq!((left.labels_of(1), left.labels_of(3)), (&[][..], &[2][..]));
        assert_eq!(
            (left.friends_of(0), left.friends_of(1), left.friends_of(3)),
            (&[][..], &[][..], &[0][..])
        );
        let ages = left.attributes.numbers("age").unwrap();
        assert!(ages[1].is_nan() && ages[0] == 1.0 && ages[3] == 4.0);
    }
}
