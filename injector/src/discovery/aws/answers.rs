//! The raw answers of AWS.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use ipnet::IpNet;
use thiserror::Error;

/// The metadata of this instance, which is no call that IAM knows.
pub(crate) const METADATA: &str = "imds";
/// The call for the timeouts of interfaces.
pub(crate) const INTERFACES: &str = "ec2:DescribeNetworkInterfaces";
/// The call for the load balancers.
pub(crate) const BALANCERS: &str = "elasticloadbalancing:DescribeLoadBalancers";
/// The call for their listeners.
pub(crate) const LISTENERS: &str = "elasticloadbalancing:DescribeListeners";
/// The call for the timeouts of listeners.
pub(crate) const ATTRIBUTES: &str = "elasticloadbalancing:DescribeListenerAttributes";
/// All that is asked.
const CALLS: [&str; 5] = [METADATA, INTERFACES, BALANCERS, LISTENERS, ATTRIBUTES];

/// One answer, or why there is none.
pub(crate) type Answer<T> = Result<T, Unanswered>;

/// A call that failed, or lacked the answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{call}: {why}")]
pub(crate) struct Unanswered {
    /// The call, as IAM names it, or [`METADATA`].
    pub call: &'static str,
    /// The error.
    pub why: String,
}

/// Everything that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answers {
    /// This instance.
    pub instance: Answer<Instance>,
    /// `TcpEstablishedTimeout` of its interfaces, by their ids; `None` where it
    /// was never set.
    pub tracking: Answer<HashMap<String, Option<Duration>>>,
    /// Network Load Balancers of the region.
    pub balancers: Answer<Vec<Balancer>>,
}

/// An instance, from its metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Instance {
    /// `m8g.16xlarge`.
    pub type_name: String,
    /// `eu-west-1`.
    pub region: String,
    /// Its network interfaces.
    pub interfaces: Vec<Interface>,
}

/// A network interface of the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    /// `eni-0123456789abcdef0`.
    pub id: String,
    /// Its addresses, and the prefixes that are delegated to it.
    pub prefixes: Vec<IpNet>,
}

/// A Network Load Balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Balancer {
    /// Its name, unique in its region.
    pub name: String,
    /// Addresses of its own interfaces.
    pub prefixes: Vec<IpNet>,
    /// Its listeners, as far as TCP goes.
    pub listeners: Answer<Vec<BalancerListener>>,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BalancerListener {
    /// Where it listens.
    pub port: u16,
    /// What it does with a connection.
    pub protocol: ListenerProtocol,
}

/// Protocols of listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenerProtocol {
    /// Forwards it, and drops it after `tcp.idle_timeout.seconds`; `None` where
    /// the answer does not have that attribute.
    Tcp(Answer<Option<Duration>>),
    /// Ends TLS. Its timeout is fixed.
    #[cfg_attr(not(any(feature = "aws", test)), expect(dead_code, reason = "only AWS answers it"))]
    Tls,
}

impl Answers {
    /// All calls, and whether each of them was answered wherever it was made.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let unanswered = self.unanswered();
        CALLS.into_iter().map(move |call| (call, !unanswered.contains(call)))
    }

    fn unanswered(&self) -> BTreeSet<&'static str> {
        let balancers = || self.balancers.iter().flatten();
        let listeners = || balancers().flat_map(|balancer| balancer.listeners.iter().flatten());
        [self.instance.as_ref().err(), self.tracking.as_ref().err(), self.balancers.as_ref().err()]
            .into_iter()
            .chain(balancers().map(|balancer| balancer.listeners.as_ref().err()))
            .chain(listeners().map(BalancerListener::unanswered))
            .flatten()
            .map(|unanswered| unanswered.call)
            .collect()
    }

    /// These, with the values known `before` in place of failed calls. Returns notes on what was kept.
    #[must_use]
    pub(crate) fn or_before(self, before: &Self) -> (Self, BTreeSet<String>) {
        let mut kept = BTreeSet::new();
        let answers = Self {
            instance: keep(self.instance, Some(&before.instance), &mut kept),
            tracking: keep(self.tracking, Some(&before.tracking), &mut kept),
            balancers: keep(self.balancers, Some(&before.balancers), &mut kept).map(|balancers| {
                let known = before.balancers.as_deref().unwrap_or_default();
                balancers.into_iter().map(|balancer| balancer.or_before(known, &mut kept)).collect()
            }),
        };
        (answers, kept)
    }
}

impl Balancer {
    fn or_before(mut self, known: &[Self], kept: &mut BTreeSet<String>) -> Self {
        let Some(before) = known.iter().find(|before| before.name == self.name) else { return self };
        let listeners = keep(self.listeners, Some(&before.listeners), kept);
        let known = before.listeners.as_deref().unwrap_or_default();
        self.listeners =
            listeners.map(|listeners| listeners.into_iter().map(|one| one.or_before(known, kept)).collect());
        self
    }
}

impl BalancerListener {
    const fn unanswered(&self) -> Option<&Unanswered> {
        match &self.protocol {
            ListenerProtocol::Tcp(Err(unanswered)) => Some(unanswered),
            ListenerProtocol::Tcp(Ok(_)) | ListenerProtocol::Tls => None,
        }
    }

    fn or_before(mut self, known: &[Self], kept: &mut BTreeSet<String>) -> Self {
        let before = known.iter().find(|before| before.port == self.port).and_then(|before| match &before.protocol {
            ListenerProtocol::Tcp(timeout) => Some(timeout),
            ListenerProtocol::Tls => None,
        });
        if let ListenerProtocol::Tcp(timeout) = self.protocol {
            self.protocol = ListenerProtocol::Tcp(keep(timeout, before, kept));
        }
        self
    }
}

fn keep<T: Clone>(now: Answer<T>, before: Option<&Answer<T>>, kept: &mut BTreeSet<String>) -> Answer<T> {
    match (now, before) {
        (Err(unanswered), Some(Ok(before))) => {
            kept.insert(format!("{unanswered}; keeping earlier values"));
            Ok(before.clone())
        }
        (now, _) => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unanswered() -> Unanswered {
        Unanswered { call: "ec2:DescribeNetworkInterfaces", why: "RequestLimitExceeded".to_owned() }
    }

    fn answers(timeout: Answer<Option<Duration>>) -> Answers {
        let listener = BalancerListener { port: 443, protocol: ListenerProtocol::Tcp(timeout) };
        let balancer = Balancer { name: "db".to_owned(), prefixes: vec![], listeners: Ok(vec![listener]) };
        Answers {
            instance: Ok(Instance::default()),
            tracking: Ok([("eni-1".to_owned(), None)].into()),
            balancers: Ok(vec![balancer]),
        }
    }

    #[test]
    fn what_is_not_answered_stays_as_it_was() {
        let known = answers(Ok(Some(Duration::from_secs(1800))));
        let nothing =
            Answers { instance: Err(unanswered()), tracking: Err(unanswered()), balancers: Err(unanswered()) };
        let (answers_now, kept) = nothing.clone().or_before(&known);
        assert_eq!(answers_now, known);
        let expected = "ec2:DescribeNetworkInterfaces: RequestLimitExceeded; keeping earlier values";
        assert_eq!(kept.into_iter().collect::<Vec<_>>(), [expected]);
        assert_eq!(nothing.clone().or_before(&nothing), (nothing, BTreeSet::new()));
    }

    #[test]
    fn each_call_reports_whether_it_was_answered() {
        let failed = |answers: &Answers| {
            answers.calls().filter(|(_, is_answered)| !is_answered).map(|(call, _)| call).collect::<Vec<_>>()
        };
        assert_eq!(failed(&answers(Ok(None))), [""; 0]);
        assert_eq!(answers(Ok(None)).calls().count(), CALLS.len());
        let refused = |call| Unanswered { call, why: "AccessDenied".to_owned() };
        assert_eq!(failed(&answers(Err(refused(ATTRIBUTES)))), [ATTRIBUTES]);
        let tracking = Err(refused(INTERFACES));
        let balancers = Err(refused(INTERFACES));
        assert_eq!(failed(&Answers { instance: Err(refused(METADATA)), tracking, balancers }), [METADATA, INTERFACES]);
    }

    #[test]
    fn so_does_a_listener_of_its_own() {
        let known = answers(Ok(Some(Duration::from_secs(1800))));
        let (now, kept) = answers(Err(unanswered())).or_before(&known);
        assert_eq!((now, kept.len()), (known.clone(), 1));
        let changed = answers(Ok(Some(Duration::from_secs(60))));
        assert_eq!(changed.clone().or_before(&known), (changed, BTreeSet::new()));
    }
}
