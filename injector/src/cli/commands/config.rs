//! `config`: checks, shows and starts configuration files.

use std::path::Path;

use crate::{
    cli::{ConfigCommand, FileFormat},
    config::{self, Config},
    error::{Code, Error},
    output,
};

pub(super) fn run(command: &ConfigCommand) -> anyhow::Result<Code> {
    match command {
        ConfigCommand::Check { file } => check(file),
        ConfigCommand::Show { file, output } => show(file, *output),
        ConfigCommand::Default => {
            output::lines(config::DEFAULT.trim_end())?;
            Ok(Code::Ok)
        }
    }
}

fn load(file: &Path) -> Result<Config, Error> {
    Ok(Config::load(file)?)
}

fn check(file: &Path) -> anyhow::Result<Code> {
    let config = load(file)?;
    let (hops, policies, applications) = (config.hops.len(), config.policies.len(), config.applications.len());
    output::line(format_args!(
        "{}: ok, hops: {hops}, policies: {policies}, applications: {applications}",
        file.display()
    ))?;
    Ok(Code::Ok)
}

fn show(file: &Path, format: FileFormat) -> anyhow::Result<Code> {
    let config = load(file)?;
    match format {
        FileFormat::Toml => output::lines(config::to_toml(&config).trim_end())?,
        FileFormat::Json => output::json_document(&output::config_document(&config))?,
    }
    Ok(Code::Ok)
}
