//! Turns the answers of AWS into hops, and into notes on what is missing.

use std::{collections::BTreeMap, time::Duration};

use super::{
    answers::{ATTRIBUTES, Answers, Balancer, BalancerListener, INTERFACES, Instance, Interface, ListenerProtocol},
    family::{family, generation},
};
use crate::{
    discovery::Discovery,
    hop::{Hop, Kind, Scope, Source},
    units::exact,
};

/// Hops and notes; an assumption about several hops for the same reason is
/// reported once.
#[derive(Debug, Default)]
struct Findings {
    hops: Vec<Hop>,
    notes: Vec<String>,
    assumed: BTreeMap<(Kind, String), Vec<String>>,
}

/// Hops and notes from `answers`.
///
/// What is not known gets the default of its kind, 350 s: on an interface that
/// may be too short, and only costs probes then.
pub(crate) fn discover(answers: &Answers) -> Discovery {
    let mut findings = Findings::default();
    match &answers.instance {
        Ok(instance) => findings.interfaces(instance, answers),
        Err(unanswered) => {
            findings.notes.push(format!("{unanswered}; no interfaces are known: flows without a hop use --timeout"));
        }
    }
    match &answers.balancers {
        Ok(balancers) => balancers.iter().for_each(|balancer| findings.balancer(balancer)),
        Err(unanswered) => findings.notes.push(format!("{unanswered}; no load balancers are known: assumed none")),
    }
    findings.finish()
}

impl Findings {
    fn interfaces(&mut self, instance: &Instance, answers: &Answers) {
        for interface in instance.interfaces.iter().filter(|interface| !interface.prefixes.is_empty()) {
            let timeout = answers.tracking.as_ref().map_err(ToString::to_string).and_then(|tracking| {
                tracking.get(&interface.id).ok_or_else(|| format!("{INTERFACES}: the answer lacks an interface"))
            });
            match timeout {
                Ok(Some(timeout)) => self.answered(interface, *timeout, INTERFACES.to_owned()),
                Ok(None) => self.by_generation(interface, &instance.type_name),
                Err(why) => self.assumed(Kind::Eni, &interface.id, local(interface), why),
            }
        }
    }

    /// Nothing was set: the default of the generation applies.
    fn by_generation(&mut self, interface: &Interface, instance_type: &str) {
        let family = family(instance_type);
        if let Some(generation) = generation(instance_type) {
            let by = format!("{INTERFACES} (not set: default of {family}, {generation})");
            self.answered(interface, generation.default_timeout(), by);
        } else {
            let why = format!("TcpEstablishedTimeout is not set, and {family:?} is not a known instance family");
            self.assumed(Kind::Eni, &interface.id, local(interface), why);
        }
    }

    fn answered(&mut self, interface: &Interface, timeout: Duration, by: String) {
        self.hop(Kind::Eni, &interface.id, Some(timeout), local(interface), Source::Discovered { by });
    }

    fn balancer(&mut self, balancer: &Balancer) {
        let name = format!("nlb-{}", balancer.name);
        match &balancer.listeners {
            Ok(listeners) => listeners.iter().for_each(|listener| self.listener(&name, balancer, listener)),
            Err(unanswered) => {
                let scope = Scope::remote(balancer.prefixes.clone(), None);
                self.assumed(Kind::NlbTcp, &name, scope, unanswered.to_string());
            }
        }
    }

    fn listener(&mut self, balancer_name: &str, balancer: &Balancer, listener: &BalancerListener) {
        let name = format!("{balancer_name}-{}", listener.port);
        let scope = Scope::remote(balancer.prefixes.clone(), Some(listener.port));
        match &listener.protocol {
            ListenerProtocol::Tls => self.hop(Kind::NlbTls, &name, None, scope, Source::Default),
            ListenerProtocol::Tcp(Ok(timeout)) => {
                self.hop(Kind::NlbTcp, &name, *timeout, scope, Source::Discovered { by: ATTRIBUTES.to_owned() });
            }
            ListenerProtocol::Tcp(Err(unanswered)) => self.assumed(Kind::NlbTcp, &name, scope, unanswered.to_string()),
        }
    }

    fn assumed(&mut self, kind: Kind, name: &str, scope: Scope, why: String) {
        self.hop(kind, name, None, scope, Source::Default);
        self.assumed.entry((kind, why)).or_default().push(name.to_owned());
    }

    /// Adds a hop; with the default of its kind where the value that was answered is
    /// outside of what is documented.
    fn hop(&mut self, kind: Kind, name: &str, timeout: Option<Duration>, scope: Scope, source: Source) {
        let hop = Hop::new(name, kind, timeout, scope.clone(), source);
        let hop = hop.or_else(|refused| {
            self.notes.push(format!("{name}: {refused}: assumed {}", exact(default_of(kind))));
            Hop::new(name, kind, None, scope, Source::Default)
        });
        self.hops.extend(hop);
    }

    fn finish(mut self) -> Discovery {
        for ((kind, why), names) in self.assumed {
            let assumed = exact(default_of(kind));
            self.notes.push(format!("{why}; not known for {}: assumed {assumed}", list(&names)));
        }
        Discovery { hops: self.hops, notes: self.notes }
    }
}

fn local(interface: &Interface) -> Scope {
    Scope::local(interface.prefixes.clone())
}

/// All kinds that are discovered here have one.
fn default_of(kind: Kind) -> Duration {
    kind.facts().default.unwrap_or_default()
}

/// `a, b, c and 12 more`.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
