//! Asking the cloud for hops: once, or again and again beside a watch.

use crate::{
    config::Config,
    discovery::{
        self, Asker, Change, Discovery, Known,
        aws::{self, answers::Answers, discover::discover},
        beside, changes,
    },
    error::Error,
    hop::Hop,
    output,
    rules::{Rules, policy::Policy, settings::Settings},
};

/// Asks, waits for the answer, and tells what is not known. Returns all hops,
/// those that were `told` first.
pub(super) fn once(told: &[Hop]) -> anyhow::Result<Vec<Hop>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let Discovery { hops, notes } = beside(told, discover(&runtime.block_on(aws::ask())));
    for note in notes {
        output::message(format_args!("injector: note: {note}"));
    }
    Ok(hops)
}

/// Asks in the background, and knows what was answered before.
#[derive(Debug)]
pub(super) struct Discoverer {
    asker: Asker,
    known: Known,
    settings: Settings,
    told: Vec<Hop>,
    policies: Vec<Policy>,
    /// In force.
    hops: Vec<Hop>,
}

/// What an answer comes to.
#[derive(Debug)]
pub(super) struct News {
    /// All hops that are to be in force.
    pub(super) hops: Vec<Hop>,
    /// What differs from those that are; empty where nothing does.
    pub(super) changes: Vec<Change>,
    /// What was not known, as far as it was not told before.
    pub(super) notes: Vec<String>,
}

impl Discoverer {
    /// As `settings` say, beside what was `told`. `None` where nobody is to be
    /// asked.
    ///
    /// Errors where this build can't ask, or should too often.
    pub(super) fn new(settings: &Settings, told: &Config) -> Result<Option<Self>, Error> {
        let Some(interval) = discovery::interval(settings)? else { return Ok(None) };
        Ok(Some(Self {
            asker: Asker::new(interval),
            known: Known::default(),
            settings: settings.clone(),
            told: told.hops.clone(),
            policies: told.policies.clone(),
            hops: told.hops.clone(),
        }))
    }

    /// Waits for the next answer. May be dropped and called again while it
    /// waits.
    pub(super) async fn answer(&mut self) -> Answers {
        self.asker.answer().await
    }

    /// What to make of an answer.
    pub(super) fn news(&mut self, answers: Answers) -> News {
        self.known.learn(answers);
        let Discovery { hops, notes } = self.known.beside(&self.told);
        News { changes: changes(&self.hops, &hops), hops, notes: self.known.fresh(notes) }
    }

    /// The rules with these hops.
    pub(super) fn rules(&self, hops: &[Hop]) -> Result<Rules, Error> {
        Rules::for_anyone(&self.settings, hops, &self.policies)
    }

    /// These hops are in force now.
    pub(super) fn in_force(&mut self, hops: Vec<Hop>) {
        self.hops = hops;
    }
}
