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

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.labels_of.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels_of.is_empty()
    }
}
