//! A real PostgreSQL server and a real psql session.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::deadline::{SOON, eventually};
use crate::programs::command::tool;
use crate::programs::process::{Place, Process, Signal};

/// The account that Debian's package makes: the server refuses to run as root.
const ACCOUNT: &str = "postgres";

/// A server with a fresh, empty database and PostgreSQL's own defaults for keepalive. Dropping it stops it.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    _data: TempDir,
}

impl Postgres {
    /// Makes a database cluster and serves it on the default port.
    pub fn start(place: Place<'_>) -> Self {
        Self::start_with(place, "")
    }

    /// The same, with these lines in its `postgresql.conf`.
    pub fn start_with(place: Place<'_>, settings: &str) -> Self {
        let data = tempfile::tempdir().expect("there is room for a temporary directory");
        let account = |flag: &str| -> u32 {
            let id = tool("id", &[flag, ACCOUNT]);
            id.trim().parse().expect("`id` prints a number")
        };
        chown(data.path(), Some(account("-u")), Some(account("-g"))).expect("root may give a directory away");
        initialise(data.path(), settings);
        let directory = data.path().to_string_lossy().into_owned();
        let server = binary("postgres");
        let arguments = [
            &as_account(),
            &[
                server.as_str(),
                "-D",
                &directory,
                "-k",
                &directory, // the socket file: not in a shared directory
                "-c",
                "listen_addresses=*",
                "-c",
                "fsync=off",
            ][..],
        ]
        .concat();
        let process = Process::spawn(place, "setpriv", &arguments);
        eventually("PostgreSQL is ready", SOON, || {
            process.stderr().contains("ready to accept connections").then_some(())
        });
        Self { process, _data: data }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The immediate shutdown: the server ends its children, which a plain kill would leave.
        self.process.signal(Signal::QUIT);
        let _ = self.process.wait_if_ends(SOON);
    }
}

fn initialise(directory: &Path, settings: &str) {
    let initdb = binary("initdb");
    let path = directory.to_string_lossy();
    let arguments = [
        &as_account(),
        &[initdb.as_str(), "-D", &path, "--no-sync", "--locale=C", "--encoding=UTF8", "--auth=trust"][..],
    ]
    .concat();
    tool("setpriv", &arguments);
    let rules = directory.join("pg_hba.conf");
    std::fs::write(&rules, "host all all all trust\n").expect("initdb made the directory");
    // Last, so that it rules over what initdb wrote.
    let mut configuration = OpenOptions::new().append(true).open(directory.join("postgresql.conf"));
    let configuration = configuration.as_mut().expect("initdb made the file");
    configuration.write_all(settings.as_bytes()).expect("there is room for a few lines");
}

const fn as_account() -> [&'static str; 5] {
    ["--reuid", ACCOUNT, "--regid", ACCOUNT, "--init-groups"]
}

/// The program itself: what Debian has on the search path is a wrapper, or nothing.
fn binary(name: &str) -> String {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found: Option<PathBuf> =
        versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.is_file()).max();
    found.map_or_else(|| name.to_owned(), |path| path.to_string_lossy().into_owned())
}

/// A psql session that stays open between queries.
#[derive(Debug)]
pub struct Psql {
    process: Process,
}

impl Psql {
    /// Starts psql. It connects at once, and says so by the answer to the first query.
    pub fn start(place: Place<'_>, host: &str) -> Self {
        let psql = binary("psql");
        let target = format!("host={host} user={ACCOUNT} dbname={ACCOUNT}");
        let arguments = ["--no-psqlrc", "--no-align", "--tuples-only", &target];
        Self { process: Process::spawn(place, &psql, &arguments) }
    }

    /// Sends a query and returns the first line of the answer, or `None` when none came in time.
    pub fn query(&mut self, sql: &str, within: Duration) -> Option<String> {
        self.process.send_line(sql);
        self.process.line(within)
    }

    /// Waits for psql to give up. Returns all that it complained about, or `None` where it has not given up in time.
    pub fn complaint(&mut self, within: Duration) -> Option<String> {
        self.process.wait_if_ends(within)?;
        Some(self.stderr())
    }

    /// What psql complained about so far.
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }
}
