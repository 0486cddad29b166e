//! Manual pages: one for each command, and one for the configuration file.

use std::{fs, io::Write, path::Path};

use anyhow::Context as _;
use clap::Command;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use crate::config;

/// Of the release.
const DATE: &str = "2026-11-27";

const EXIT_STATUS: [(&str, &str); 6] = [
    ("0", "Success."),
    ("1", "Failure."),
    ("2", "Invalid command line or configuration."),
    ("3", "This host lacks what it takes: doctor reports what."),
    ("4", "Missing privilege."),
    ("5", "Findings: flows --fail, doctor, check."),
];

const FILES: [(&str, &str); 3] = [
    ("/etc/injector/config.toml", "Configuration of the agent; see injector.toml(5)."),
    ("/sys/fs/bpf/injector/v1/NAME", "Pins of the attachment NAME: its links and maps."),
    ("/sys/fs/cgroup", "Where cgroup v2 is usually mounted; hybrid hosts have it in /sys/fs/cgroup/unified."),
];

const ENVIRONMENT: [(&str, &str); 3] = [
    ("NO_COLOR", "If set and not empty, output has no colors."),
    ("NOTIFY_SOCKET, WATCHDOG_USEC", "Set by systemd; run reports to it that it is ready, and that it still runs."),
    ("COMPLETE", "Set by completion scripts to the name of their shell."),
];

/// The page of injector itself.
pub(super) fn page() -> anyhow::Result<Vec<u8>> {
    render(&built(), &built())
}

/// Writes all pages into `directory`, as `man1/NAME.1` and `man5/NAME.5`.
///
/// Errors where a page can't be written.
pub(super) fn write_all(directory: &Path) -> anyhow::Result<()> {
    let root = built();
    let mut pages = vec![("man1", format!("{}.1", root.get_name()), render(&root, &root)?)];
    for command in commands(&root) {
        pages.push(("man1", format!("{}.1", page_name(command)), render(&root, command)?));
    }
    pages.push(("man5", "injector.toml.5".to_owned(), configuration(&root)?));
    for (section, name, page) in pages {
        let section = directory.join(section);
        fs::create_dir_all(&section).with_context(|| format!("creating {}", section.display()))?;
        let path = section.join(name);
        fs::write(&path, page).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn built() -> Command {
    let mut command = super::command();
    command.build();
    command
}

/// All commands below `root` but the one that prints help.
fn commands(root: &Command) -> Vec<&Command> {
    let below = root.get_subcommands().filter(|one| one.get_name() != "help");
    below.flat_map(|one| [vec![one], commands(one)].concat()).collect()
}

fn page_name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn render(root: &Command, command: &Command) -> anyhow::Result<Vec<u8>> {
    // Its examples have a section of their own.
    let man = Man::new(command.clone().after_help(""));
    let mut page = Vec::new();
    title(root, &page_name(command), "1").to_writer(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.get_subcommands().any(|one| one.get_name() != "help") {
        man.render_subcommands_section(&mut page)?;
    }
    examples(command).to_writer(&mut page)?;
    for (heading, entries) in [("EXIT STATUS", &EXIT_STATUS[..]), ("FILES", &FILES), ("ENVIRONMENT", &ENVIRONMENT)] {
        definitions(heading, entries).to_writer(&mut page)?;
    }
    see_also(root, &page_name(command)).to_writer(&mut page)?;
    Ok(with_plain_space(page)?.into_bytes())
}

/// Possible values come after a break, an empty line and another break, which is the space of one, and a warning to mandoc.
fn with_plain_space(page: Vec<u8>) -> anyhow::Result<String> {
    Ok(String::from_utf8(page)?.replace(".br\n\n.br\n", ".sp\n"))
}

fn title(root: &Command, name: &str, section: &str) -> Roff {
    let version = format!("{} {}", root.get_name(), root.get_version().unwrap_or_default());
    let mut title = Roff::new();
    title.control("TH", [&*name.to_uppercase(), section, DATE, &version, "injector manual"]);
    title
}

fn definitions(heading: &str, entries: &[(&str, &str)]) -> Roff {
    let mut section = Roff::new();
    section.control("SH", [heading]);
    for (term, meaning) in entries {
        section.control("TP", []).text([bold(*term)]).text([roman(*meaning)]);
    }
    section
}

/// The lines below "Examples:" in the help.
fn examples(command: &Command) -> Roff {
    let mut section = Roff::new();
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    if let Some((_, examples)) = help.split_once("Examples:\n") {
        section.control("SH", ["EXAMPLES"]);
        verbatim(&mut section, examples);
    }
    section
}

fn verbatim(section: &mut Roff, lines: &str) {
    section.control("nf", []);
    for line in lines.lines() {
        section.text([roman(line.trim_end())]);
    }
    section.control("fi", []);
}

fn see_also(root: &Command, name: &str) -> Roff {
    let commands = commands(root).into_iter().map(page_name);
    let pages: Vec<_> = [root.get_name().to_owned()]
        .into_iter()
        .chain(commands)
        .filter(|page| page != name)
        .map(|page| (page, "1"))
        .chain([("injector.toml".to_owned(), "5"), ("tcp".to_owned(), "7"), ("cgroups".to_owned(), "7")])
        .filter(|(page, _)| page != name)
        .collect();
    let mut section = Roff::new();
    section.control("SH", ["SEE ALSO"]);
    for (place, (page, number)) in pages.iter().enumerate() {
        let end = if place + 1 == pages.len() { "" } else { "," };
        section.text([bold(page), roman(format!("({number}){end}"))]);
    }
    section
}

fn configuration(root: &Command) -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    let mut text = title(root, "injector.toml", "5");
    text.control("SH", ["NAME"]).text([roman("injector.toml - configuration file of injector")]);
    text.control("SH", ["DESCRIPTION"]).text([roman(
        "The file of `injector run --config`, and of --config of attach, timeouts, check and recommend: TOML. The agent \
         reads it again when it changes, and on SIGHUP. A file with a mistake is rejected as a whole, with the line and \
         column of the mistake; the previous configuration stays applied.",
    )]);
    text.control("SH", ["KEYS"])
        .text([roman("All keys, with their defaults, as `injector config default` prints them:")]);
    verbatim(&mut text, config::DEFAULT);
    text.to_writer(&mut page)?;
    definitions("FILES", &FILES[..1]).to_writer(&mut page)?;
    see_also(root, "injector.toml").to_writer(&mut page)?;
    page.flush()?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page() {
        let directory = tempfile::tempdir().expect("a directory");
        write_all(directory.path()).expect("written");
        for name in ["man1/injector.1", "man1/injector-attach.1", "man1/injector-config-show.1", "man5/injector.toml.5"]
        {
            let page = fs::read_to_string(directory.path().join(name)).expect(name);
            for heading in ["NAME", "DESCRIPTION", "FILES", "SEE ALSO"] {
                assert!(
                    page.contains(&format!(".SH {heading}\n")) || page.contains(&format!(".SH \"{heading}\"\n")),
                    "{name} has no {heading}"
                );
            }
        }
        let attach = fs::read_to_string(directory.path().join("man1/injector-attach.1")).expect("written");
        assert!(attach.contains("EXAMPLES") && attach.contains("EXIT STATUS"), "{attach}");
    }
}
