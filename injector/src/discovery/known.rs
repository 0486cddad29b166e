//! The cloud's answers so far.

use std::collections::BTreeSet;

use super::{Discovery, beside};
use crate::{
    discovery::aws::{answers::Answers, discover::discover},
    hop::Hop,
};

/// The latest answers, and what was said about them.
#[derive(Debug, Default)]
pub(crate) struct Known {
    answers: Option<Answers>,
    /// Older answers, for calls that failed the last time.
    kept: BTreeSet<String>,
    /// The notes that were reported last.
    notes: BTreeSet<String>,
}

impl Known {
    /// Takes in an answer. Where it says nothing, keeping earlier values.
    pub(crate) fn learn(&mut self, answers: Answers) {
        let (answers, kept) = match self.answers.take() {
            Some(before) => answers.or_before(&before),
            None => (answers, BTreeSet::new()),
        };
        (self.answers, self.kept) = (Some(answers), kept);
    }

    /// All hops: those that are known beside the `configured` ones.
    pub(crate) fn beside(&self, configured: &[Hop]) -> Discovery {
        let known = self.answers.as_ref().map(discover).unwrap_or_default();
        let Discovery { hops, mut notes } = beside(configured, known);
        notes.extend(self.kept.iter().cloned());
        Discovery { hops, notes }
    }

    /// Those of `notes` that are to be reported: they were not among the last ones.
    pub(crate) fn fresh(&mut self, notes: Vec<String>) -> Vec<String> {
        let notes: BTreeSet<_> = notes.into_iter().collect();
        let fresh = notes.difference(&self.notes).cloned().collect();
        self.notes = notes;
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        discovery::aws::answers::{Instance, Interface, METADATA, Unanswered},
        hop::HopArg,
    };

    fn unanswered() -> Unanswered {
        Unanswered { call: METADATA, why: "no answer".to_owned() }
    }

    fn answers() -> Answers {
        let interface = Interface { id: "eni-1".to_owned(), prefixes: vec!["10.0.0.1/32".parse().expect("a prefix")] };
        let instance = Instance { interfaces: vec![interface], ..Instance::default() };
        Answers { instance: Ok(instance), tracking: Ok([("eni-1".to_owned(), None)].into()), balancers: Ok(vec![]) }
    }

    fn names(discovery: &Discovery) -> Vec<&str> {
        discovery.hops.iter().map(|hop| hop.name.as_str()).collect()
    }

    #[test]
    fn known_hops_stay_beside_configured_ones() {
        let mut known = Known::default();
        let configured = [HopArg::parse_hop("nat=nat-gateway").expect("a hop")];
        assert_eq!(names(&known.beside(&configured)), ["nat"]);
        known.learn(answers());
        assert_eq!(names(&known.beside(&configured)), ["nat", "eni-1"]);
        let nothing =
            Answers { instance: Err(unanswered()), tracking: Err(unanswered()), balancers: Err(unanswered()) };
        known.learn(nothing);
        assert_eq!(names(&known.beside(&[])), ["eni-1"]);
        assert!(known.beside(&[]).notes.contains(&"imds: no answer; keeping earlier values".to_owned()));
    }

    #[test]
    fn notes_are_reported_once_and_again_when_they_come_back() {
        let mut known = Known::default();
        let notes = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (found, fresh) in [(&["a", "b"][..], &["a", "b"][..]), (&["b"], &[]), (&["a", "b"], &["a"]), (&[], &[])] {
            assert_eq!(known.fresh(notes(found)), fresh, "{found:?}");
        }
    }
}
