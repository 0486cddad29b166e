//! The outcomes of the sockets that an attachment saw.

use injector_common::stats::{
    ACTIVE, ERRNOS, OPTION_NAMES, OPTIONS, OUTCOME_NAMES, OUTCOMES, PASSIVE, UNREADABLE, failure_index, outcome_index,
    overruled_index,
};

/// The counters of an attachment, summed over all CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(Vec<u64>);

/// How often an option was refused with one errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Failure {
    /// The option.
    pub option: &'static str,
    /// Why the kernel refused it.
    pub errno: u32,
    /// How often.
    pub count: u64,
}

impl Counters {
    /// From the values of the counter map, in the order of their indices.
    pub const fn new(values: Vec<u64>) -> Self {
        Self(values)
    }

    /// Adds what was counted since an earlier reading of the same counters. One that went back was set to 0 in between,
    /// so its whole value was counted since.
    pub fn advance(&mut self, earlier: Option<&Self>, now: &Self) {
        self.0.resize(self.0.len().max(now.0.len()), 0);
        for (index, (total, &value)) in self.0.iter_mut().zip(&now.0).enumerate() {
            let before = earlier.and_then(|earlier| earlier.0.get(index)).copied().unwrap_or(0);
            *total += value.checked_sub(before).unwrap_or(value);
        }
    }

    fn at(&self, index: u32) -> u64 {
        self.0.get(index as usize).copied().unwrap_or(0)
    }

    /// Sockets of `direction` by outcome.
    pub fn outcomes(&self, direction: u8) -> impl Iterator<Item = (&'static str, u64)> {
        (0_u8..).zip(OUTCOME_NAMES).map(move |(outcome, name)| (name, self.at(outcome_index(direction, outcome))))
    }

    /// Sockets by outcome, both directions together.
    pub fn totals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.outcomes(ACTIVE)
            .zip(self.outcomes(PASSIVE))
            .map(|((name, active), (_, passive))| (name, active.saturating_add(passive)))
    }

    /// Sockets whose own choice could not be read.
    pub fn unreadable(&self) -> u64 {
        self.at(UNREADABLE)
    }

    /// Calls of applications that were overruled, by option.
    pub fn overruled(&self) -> impl Iterator<Item = (&'static str, u64)> {
        (0_u8..).zip(OPTION_NAMES).map(|(index, option)| (option, self.at(overruled_index(index))))
    }

    /// Refused options.
    pub fn failures(&self) -> Vec<Failure> {
        (0_u8..)
            .zip(OPTION_NAMES)
            .flat_map(|(index, option)| (0..ERRNOS).map(move |errno| (index, option, errno)))
            .map(|(index, option, errno)| Failure { option, errno, count: self.at(failure_index(index, errno)) })
            .filter(|failure| failure.count > 0)
            .collect()
    }
}

const _: () = assert!(OUTCOMES as usize == OUTCOME_NAMES.len() && OPTIONS as usize == OPTION_NAMES.len());

#[cfg(test)]
mod tests {
    use injector_common::stats::{COUNTERS, INJECTED, OPTION_IDLE, RESPECTED};

    use super::*;

    #[test]
    fn each_counter_is_found_again() {
        let mut values = vec![0; COUNTERS as usize];
        values[outcome_index(ACTIVE, INJECTED) as usize] = 3;
        values[outcome_index(PASSIVE, INJECTED) as usize] = 4;
        values[outcome_index(PASSIVE, RESPECTED) as usize] = 5;
        values[failure_index(OPTION_IDLE, 22) as usize] = 6;
        values[UNREADABLE as usize] = 7;
        let counters = Counters::new(values);
        assert_eq!(counters.outcomes(ACTIVE).next(), Some(("injected", 3)));
        assert_eq!(counters.totals().collect::<Vec<_>>()[..3], [("injected", 7), ("tightened", 0), ("respected", 5)]);
        assert_eq!(counters.failures(), [Failure { option: "TCP_KEEPIDLE", errno: 22, count: 6 }]);
        assert_eq!(counters.unreadable(), 7);
    }

    #[test]
    fn totals_outlive_what_they_were_counted_by() {
        let reading = |value| Counters::new(vec![value]);
        let mut total = Counters::default();
        total.advance(None, &reading(5));
        total.advance(Some(&reading(5)), &reading(7));
        assert_eq!(total, reading(7));
        total.advance(Some(&reading(7)), &reading(2));
        assert_eq!(total, reading(9), "set to 0 in between");
    }
}
