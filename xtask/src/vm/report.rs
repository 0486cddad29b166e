//! The report of a guest, and whether it is as expected.

use super::kernels::Kernel;

/// How a feature did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It works.
    Ok,
    /// It should work; why it doesn't.
    Failed(String),
    /// `injector doctor` says why it can't.
    Unsupported(String),
}

/// The report of one guest. `tests/guest/main.rs` writes it.
#[derive(Debug)]
pub(super) struct Report {
    /// The kernel that was asked for.
    pub(super) kernel: &'static Kernel,
    /// The release that it names itself.
    pub(super) release: Option<String>,
    /// Features in their order.
    pub(super) features: Vec<(String, Outcome)>,
    is_complete: bool,
}

impl Report {
    /// Picks its lines out of all that came on the console.
    pub(super) fn parse(kernel: &'static Kernel, console: &str) -> Self {
        let mut report = Self { kernel, release: None, features: Vec::new(), is_complete: false };
        for line in console.lines() {
            if let Some(release) = line.strip_prefix("KERNEL ") {
                report.release = Some(release.to_owned());
            } else if let Some(feature) = line.strip_prefix("FEATURE\t") {
                report.features.extend(parse_feature(feature));
            } else if line == "FEATURES end" {
                report.is_complete = true;
            }
        }
        report
    }

    /// The kernel's version without what Debian adds: "6.1".
    pub(super) fn version(&self) -> String {
        let release = self.release.as_deref().unwrap_or(self.kernel.name);
        release.split('.').take(2).collect::<Vec<_>>().join(".")
    }

    /// How a feature did, if it was tried.
    pub(super) fn outcome(&self, feature: &str) -> Option<&Outcome> {
        self.features.iter().find(|(name, _)| name == feature).map(|(_, outcome)| outcome)
    }

    /// What is not as it should be.
    pub(super) fn problems(&self) -> Vec<String> {
        let lacks = |feature: &str| self.kernel.lacks.iter().any(|(lacking, _)| *lacking == feature);
        let mut problems: Vec<String> = Vec::new();
        for (feature, outcome) in &self.features {
            match outcome {
                Outcome::Ok if lacks(feature) => problems.push(format!("{feature}: declared as lacking, but it works")),
                Outcome::Failed(why) => problems.push(format!("{feature}: {why}")),
                Outcome::Unsupported(why) if !lacks(feature) => {
                    problems.push(format!("{feature}: lacking, which is not declared: {why}"));
                }
                Outcome::Ok | Outcome::Unsupported(_) => {}
            }
        }
        if self.is_complete {
            let unknown = self.kernel.lacks.iter().filter(|(feature, _)| self.outcome(feature).is_none());
            problems
                .extend(unknown.map(|(feature, _)| format!("{feature}: declared as lacking, but nothing tries it")));
        } else {
            problems.push("the guest did not get to the end".to_owned());
        }
        problems
    }
}

/// Name, outcome and reason, separated by tabs.
fn parse_feature(line: &str) -> Option<(String, Outcome)> {
    let mut columns = line.splitn(3, '\t');
    let (feature, outcome, why) = (columns.next()?, columns.next()?, columns.next()?.to_owned());
    let outcome = match outcome {
        "ok" => Outcome::Ok,
        "unsupported" => Outcome::Unsupported(why),
        _ => Outcome::Failed(why),
    };
    Some((feature.to_owned(), outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    static KERNEL: Kernel = Kernel { name: "6.1", suite: "bookworm", lacks: &[("errors", "needs 6.2")] };

    fn report(lines: &str) -> Report {
        Report::parse(&KERNEL, lines)
    }

    #[test]
    fn lines_are_found_among_others() {
        let console = "Booting from ROM\r\nKERNEL 6.1.0-50-cloud-amd64\r\n[  1.0] a message\r\nFEATURE\ta: b\tok\t\r\n\
                       FEATURE\tb\tfailed\t1: no\r\nFEATURE\terrors\tunsupported\tdoctor: it: no\r\nFEATURES end\r\n";
        let report = report(console);
        assert_eq!(report.version(), "6.1");
        assert_eq!(report.outcome("a: b"), Some(&Outcome::Ok));
        assert_eq!(report.outcome("b"), Some(&Outcome::Failed("1: no".to_owned())));
        assert_eq!(report.outcome("errors"), Some(&Outcome::Unsupported("doctor: it: no".to_owned())));
        assert_eq!(report.problems(), ["b: 1: no"]);
    }

    #[test]
    fn what_differs_from_what_was_declared_is_a_problem() {
        for (lines, problem) in [
            ("FEATURE\terrors\tok\t\nFEATURES end", "errors: declared as lacking, but it works"),
            ("FEATURES end", "errors: declared as lacking, but nothing tries it"),
            ("FEATURE\terrors\tunsupported\tno", "the guest did not get to the end"),
            (
                "FEATURE\ta\tunsupported\tno\nFEATURE\terrors\tunsupported\tno\nFEATURES end",
                "a: lacking, which is not declared: no",
            ),
        ] {
            assert_eq!(report(lines).problems(), [problem], "{lines}");
        }
    }
}
