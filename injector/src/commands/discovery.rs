//! Asking the cloud for hops: once, or again and again beside a watch.

use std::{collections::BTreeSet, time::Duration};

use tokio::{task::JoinHandle, time::sleep};

use crate::{
    aws::{self, answers::Answers, discover::discover},
    cli::{Attach, Cloud},
    config::Config,
    discover::{Change, Discovery, beside, changes},
    duration,
    exit::Error,
    hop::Hop,
    output,
    policy::Policy,
    rules::Rules,
    settings::Settings,
};

/// The cloud answers within a few seconds; asking more often only gets us
/// throttled.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// Asks, waits for the answer, and tells what is not known. Returns all hops,
/// those that were `told` first.
pub(super) fn once(cloud: Cloud, told: &[Hop]) -> anyhow::Result<Vec<Hop>> {
    check(cloud)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let Discovery { hops, notes } = beside(told, discover(&runtime.block_on(ask(cloud))));
    for note in notes {
        output::message(format_args!("injector: note: {note}"));
    }
    Ok(hops)
}

fn check(cloud: Cloud) -> Result<(), Error> {
    match cloud {
        Cloud::Aws => aws::check_support(),
    }
}

async fn ask(cloud: Cloud) -> Answers {
    match cloud {
        Cloud::Aws => aws::ask().await,
    }
}

/// Asks in the background, and knows what was answered before.
#[derive(Debug)]
pub(super) struct Discoverer {
    cloud: Cloud,
    interval: Duration,
    settings: Settings,
    told: Vec<Hop>,
    policies: Vec<Policy>,
    known: Option<Answers>,
    hops: Vec<Hop>,
    notes: BTreeSet<String>,
    asking: Option<JoinHandle<Answers>>,
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
    /// For `args`, beside the hops that were `told`. `None` where nobody is to be
    /// asked.
    ///
    /// Errors where this build can't ask, or should too often.
    pub(super) fn new(args: &Attach, settings: &Settings, told: &Config) -> Result<Option<Self>, Error> {
        let Some(cloud) = args.hops.discover else { return Ok(None) };
        check(cloud)?;
        let interval = args.discover_interval;
        if interval < SHORTEST_INTERVAL {
            let expected = format!("give {} or more", duration::exact(SHORTEST_INTERVAL));
            return Err(Error::BadValue { what: "--discover-interval", value: duration::exact(interval), expected });
        }
        Ok(Some(Self {
            cloud,
            interval,
            settings: settings.clone(),
            told: told.hops.clone(),
            policies: told.policies.clone(),
            known: None,
            hops: told.hops.clone(),
            notes: BTreeSet::new(),
            asking: None,
        }))
    }

    /// Waits for the next answer: the first one at once, then one an interval.
    /// May be dropped and called again while it waits.
    pub(super) async fn answer(&mut self) -> Answers {
        let (cloud, pause) = (self.cloud, if self.known.is_some() { self.interval } else { Duration::ZERO });
        let asking = self.asking.get_or_insert_with(|| {
            tokio::spawn(async move {
                sleep(pause).await;
                ask(cloud).await
            })
        });
        let answered = asking.await;
        self.asking = None;
        match answered {
            Ok(answers) => answers,
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }

    /// What to make of an answer. Where it says nothing, what was known before
    /// stays.
    pub(super) fn news(&mut self, answers: Answers) -> News {
        let (answers, kept) = match &self.known {
            Some(known) => answers.or_before(known),
            None => (answers, BTreeSet::new()),
        };
        let Discovery { hops, notes } = beside(&self.told, discover(&answers));
        self.known = Some(answers);
        let notes: BTreeSet<String> = notes.into_iter().chain(kept).collect();
        let new_notes = notes.difference(&self.notes).cloned().collect();
        self.notes = notes;
        News { changes: changes(&self.hops, &hops), hops, notes: new_notes }
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

impl Drop for Discoverer {
    fn drop(&mut self) {
        if let Some(asking) = &self.asking {
            asking.abort();
        }
    }
}
