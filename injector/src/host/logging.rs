//! Messages on stderr.

use std::{
    fmt::{self, Debug, Formatter},
    io::{self, IsTerminal as _},
};

use serde::Serialize;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Layer as _,
    field::RecordFields,
    filter::{LevelFilter, Targets},
    fmt::{
        FormatFields,
        format::{DefaultFields, Writer},
    },
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::printable::printable;

/// Verbosity from which the BPF programs' own messages are switched on.
pub(crate) const BPF_MESSAGES: u8 = 2;

/// Sends messages to stderr: warnings, with `-v` what is being done, with `-vv`
/// everything, the BPF programs' own messages among it. Libraries only report
/// errors.
pub(crate) fn init(verbose: u8) {
    let ours = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let output = tracing_subscriber::fmt::layer()
        .fmt_fields(OneLine)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .without_time()
        .with_target(false);
    tracing_subscriber::registry().with(output.with_filter(levels(ours))).init();
}

fn levels(ours: LevelFilter) -> Targets {
    Targets::new().with_default(LevelFilter::WARN).with_target("injector", ours)
}

/// Fields as tracing formats them, on one line: messages and fields hold names that others chose.
struct OneLine;

impl<'writer> FormatFields<'writer> for OneLine {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut text = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut text), fields)?;
        writer.write_str(&printable(&text))
    }
}

/// Format of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

impl LogFormat {
    /// Its name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Lines that wait for the reader of the agent's log. Further ones are dropped.
const MAX_WAITING: usize = 1024;

/// The agent's log.
pub(crate) struct AgentLog {
    dropped: ErrorCounter,
}

impl Debug for AgentLog {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AgentLog").field("dropped", &self.dropped()).finish()
    }
}

impl AgentLog {
    /// Lines that were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.dropped_lines() as u64
    }
}

/// Sends the agent's log to stderr, through a queue: a slow reader blocks nothing. With `-v` everything that is done.
/// Queued lines are written when the guard is dropped.
pub(crate) fn init_agent(verbose: u8, format: LogFormat) -> (AgentLog, WorkerGuard) {
    let ours = if verbose == 0 { LevelFilter::INFO } else { LevelFilter::DEBUG };
    let (writer, guard) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(MAX_WAITING).finish(io::stderr());
    let dropped = writer.error_counter();
    let output = tracing_subscriber::fmt::layer().with_writer(writer).with_target(false);
    let output = match format {
        LogFormat::Text => output.fmt_fields(OneLine).with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => output.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(output.with_filter(levels(ours))).init();
    (AgentLog { dropped }, guard)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no thread panicked").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_name_does_not_forge_lines() {
        let written = Written::default();
        let writer = written.clone();
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(OneLine)
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .with_target(false);
        let name = "x\nERROR forged\u{202e}";
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!(cgroup = %name, process = name, list = ?[name], "of {name}");
        });
        let text = String::from_utf8(written.0.lock().expect("no thread panicked").clone()).expect("text");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert_eq!(text.matches("ERROR forged\\u{202e}").count(), 4, "{text}");
    }
}
