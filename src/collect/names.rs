//! Names of the other end of a flow, in the form in which they are compared.
//!
//! In: facts as they stood on the wire. Out: names; beside the one that counts also those that other readings of the same
//! bytes give.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::fact::{Facts, value};
use crate::merge::Map;
use crate::record::{NAME_FIELDS, normal_name};

/// Names that one worker keeps in the form in which they are compared.
const INTERNED_MAX: usize = 1 << 16;
/// The longest of them: a host name has no more (RFC 1035, section 2.3.4).
const INTERNED_BYTES_MAX: usize = 255;
/// Names kept of a flow that can be read in more than one way, beside the first.
pub const OTHER_NAMES_MAX: usize = 16;

/// What facts name the destination beside names that are known.
pub(super) fn other_names(facts: &Facts, known: impl Iterator<Item = Arc<str>>) -> Box<[Arc<str>]> {
    let known: Vec<Arc<str>> = known.collect();
    let names = NAME_FIELDS.iter().flat_map(|field| facts.of(field)).filter_map(|fact| compared(fact.value));
    let others: BTreeSet<Arc<str>> = names.filter(|name| !known.contains(name)).collect();
    others.into_iter().take(OTHER_NAMES_MAX).collect()
}

/// A name as it stood on the wire as names are compared; `None` when nothing is left of it.
pub(super) fn compared(raw: &[u8]) -> Option<Arc<str>> {
    Some(normal_name(&value::name(raw))).filter(|name| !name.is_empty()).map(Arc::from)
}

/// Names as they stood on the wire to names as they are compared, each made once.
#[derive(Default)]
pub(super) struct Interned(Map<Box<[u8]>, Option<Arc<str>>>);

impl Interned {
    /// The name for comparing; `None` when nothing is left of it.
    pub(super) fn name(&mut self, raw: &[u8]) -> Option<Arc<str>> {
        if let Some(name) = self.0.get(raw) {
            return name.clone();
        }
        let name = compared(raw);
        if self.0.len() < INTERNED_MAX && raw.len() <= INTERNED_BYTES_MAX {
            self.0.insert(raw.into(), name.clone());
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{Seen, Side};
    use crate::parse::tls;

    /// Names are kept in the form for comparing up to a number, and long ones never; they are compared all the same.
    #[test]
    fn names_in_the_form_for_comparing() {
        let mut names = Interned::default();
        let long = format!("{}.Example", "a.".repeat(INTERNED_BYTES_MAX / 2));
        assert!(names.name(long.as_bytes()).is_some() && names.0.is_empty());
        for n in 0..INTERNED_MAX + 9 {
            assert_eq!(names.name(format!("N{n}.Example").as_bytes()).as_deref(), Some(&*format!("n{n}.example")));
        }
        assert_eq!(names.0.len(), INTERNED_MAX);
    }

    /// Of the names that other readings of a flow give so many are kept.
    #[test]
    fn names_of_other_readings() {
        let other = |count: usize| {
            let mut facts = Facts::default();
            for n in 0..count {
                facts.add(&tls::SNI, Side::Source, Seen::default(), format!("n{n:02}.example").as_bytes());
            }
            other_names(&facts, [Arc::from("n00.example")].into_iter()).len()
        };
        assert_eq!((other(3), other(OTHER_NAMES_MAX + 1), other(40)), (2, OTHER_NAMES_MAX, OTHER_NAMES_MAX));
    }
}
