//! Messages on stderr.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// Verbosity from which the BPF programs' own messages are switched on.
pub const BPF_MESSAGES: u8 = 2;

/// Sends messages to stderr: warnings, with `-v` what is being done, with
/// `-vv` everything, the BPF programs' own messages among it. Libraries speak
/// up only when something is wrong.
pub fn init(verbose: u8) {
    let ours = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let levels = Targets::new().with_default(LevelFilter::WARN).with_target("injector", ours);
    let output =
        fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).without_time().with_target(false);
    tracing_subscriber::registry().with(output.with_filter(levels)).init();
}
