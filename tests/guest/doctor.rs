//! What `injector doctor` says of this kernel.

use injector_tests::Injector;
use serde_json::Value;

/// Its report.
pub(crate) struct Doctor {
    checks: Vec<Value>,
}

impl Doctor {
    pub(crate) fn ask() -> Self {
        let report = Injector::find().run(&["doctor", "-o", "json"]).json();
        Self { checks: report["checks"].as_array().expect("doctor lists its checks").clone() }
    }

    /// Why there is nothing to expect of a feature that needs these checks, by their names; `None` where all is there.
    pub(crate) fn lacks(&self, needs: &[&str]) -> Option<String> {
        let found = |need: &&str| self.checks.iter().find(|check| check["what"] == **need);
        needs.iter().find_map(|need| match found(need) {
            Some(check) if check["ok"] == true => None,
            Some(check) => Some(format!("doctor: {need}: {}", check["detail"].as_str().unwrap_or_default())),
            // A misspelt need must not pass for a kernel's lack.
            None => panic!("doctor has no check named {need}"),
        })
    }
}
