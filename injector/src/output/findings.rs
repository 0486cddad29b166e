//! The report of `check`.

use serde::Serialize;

use crate::{advice::check::Finding, discovery::local::Host, printable::printable};

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    ok: bool,
    findings: &'a [Finding],
    host: &'a Host,
}

/// The document of `check -o json`.
pub(crate) fn findings_document<'a>(findings: &'a [Finding], host: &'a Host) -> impl Serialize + 'a {
    Document { schema: "injector.check/v1", ok: findings.is_empty(), findings, host }
}

/// The same for people: a paragraph each.
pub(crate) fn findings_report(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "no findings".to_owned();
    }
    let paragraph = |finding: &Finding| {
        let Finding { code, what, why, set, location } = finding;
        let [what, why, set, location] = [what, why, set, location].map(|part| printable(part));
        format!("{code}: {what}\n  why    {why}\n  set    {set}\n  where  {location}")
    };
    findings.iter().map(paragraph).collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_each() {
        let finding = |code| Finding {
            code,
            what: "this".to_owned(),
            why: "that".to_owned(),
            set: "it".to_owned(),
            location: "there".to_owned(),
        };
        assert_eq!(findings_report(&[]), "no findings");
        assert_eq!(
            findings_report(&[finding("a"), finding("b")]),
            "a: this\n  why    that\n  set    it\n  where  there\n\nb: this\n  why    that\n  set    it\n  where  there"
        );
    }
}
