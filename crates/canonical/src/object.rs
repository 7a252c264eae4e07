//! A JSON object whose names are unique under every reader's eyes and stand in canonical order.

use crate::{Value, names};

/// Members sorted by UTF-16 code units; no two names are equal, also not under case folding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    members: Vec<(String, Value)>,
}

/// Why a member cannot be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The object has a member of this very name.
    #[error("the object already has a member `{0}`; remove it before inserting another")]
    Duplicate(String),
    /// The object has a member whose name differs only in case.
    #[error("member `{added}` differs from `{present}` only in case; rename one of them")]
    CaseFolded {
        /// The name to be inserted.
        added: String,
        /// The name that is there.
        present: String,
    },
}

impl Object {
    /// An object without members.
    #[must_use]
    pub const fn new() -> Self {
        Self { members: Vec::new() }
    }

    /// Takes members in any order; refuses names that are equal, also under case folding.
    pub fn try_from_members<I, N>(members: I) -> Result<Self, NameError>
    where
        I: IntoIterator<Item = (N, Value)>,
        N: Into<String>,
    {
        Self::seal(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
            .map_err(|collision| collision.error)
    }

    /// Sorts and checks; the error keeps the index, in the order given, of the later name.
    pub(crate) fn seal(mut members: Vec<(String, Value)>) -> Result<Self, Collision> {
        if let Some((earlier, later)) = names::collision(&members) {
            let name = |index: usize| members.get(index).map(|m| m.0.clone()).unwrap_or_default();
            return Err(Collision { index: later, error: clash(name(later), name(earlier)) });
        }
        if !members.is_sorted_by(|a, b| names::order(&a.0, &b.0).is_lt()) {
            members.sort_unstable_by(|a, b| names::order(&a.0, &b.0));
        }
        Ok(Self { members })
    }

    /// The member of this exact name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.find(name).ok().and_then(|at| self.members.get(at)).map(|(_, value)| value)
    }

    /// The member of this exact name, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        let at = self.find(name).ok()?;
        self.members.get_mut(at).map(|(_, value)| value)
    }

    /// Whether there is a member of this exact name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// Adds a member; one of the same name, also under case folding, is never replaced.
    ///
    /// Each call compares with all names; for many members use [`Object::try_from_members`].
    pub fn insert(
        &mut self,
        name: impl Into<String>,
        value: impl Into<Value>,
    ) -> Result<(), NameError> {
        let name = name.into();
        if let Some(present) = self.names().find(|present| names::collide(present, &name)) {
            return Err(clash(name, present.to_owned()));
        }
        let at = match self.find(&name) {
            Ok(at) | Err(at) => at,
        };
        self.members.insert(at, (name, value.into()));
        Ok(())
    }

    /// Takes the member of this exact name out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.find(name).ok()?;
        Some(self.members.remove(at).1)
    }

    /// The number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The members in canonical order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { members: self.members.iter() }
    }

    /// The names in canonical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(name, _)| name.as_str())
    }

    /// Members that were part of a sealed object, in its order.
    pub(crate) fn from_sorted(members: Vec<(String, Value)>) -> Self {
        debug_assert!(members.is_sorted_by(|a, b| names::order(&a.0, &b.0).is_lt()));
        Self { members }
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.members.binary_search_by(|(present, _)| names::order(present, name))
    }
}

/// Two members that may not stand in one object.
pub(crate) struct Collision {
    pub(crate) index: usize,
    pub(crate) error: NameError,
}

fn clash(added: String, present: String) -> NameError {
    if added == present {
        NameError::Duplicate(added)
    } else {
        NameError::CaseFolded { added, present }
    }
}

/// The members of an [`Object`] in canonical order.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    members: std::slice::Iter<'a, (String, Value)>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a Value);

    fn next(&mut self) -> Option<Self::Item> {
        self.members.next().map(|(name, value)| (name.as_str(), value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.members.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a Object {
    type Item = (&'a str, &'a Value);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl IntoIterator for Object {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}
