//! The configuration file.

use std::path::Path;

use injector::internals::{Config, ConfigError, to_toml};

/// A file. What is wrong with it is reported with line and column; what is right is shown so that it is read again.
pub fn config(bytes: &[u8]) {
    let path = Path::new("injector.toml");
    match Config::parse(path, bytes) {
        Ok(config) => {
            let shown = to_toml(&config);
            let again = Config::parse(path, shown.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{shown}"));
            assert_eq!(again.hops.len(), config.hops.len(), "{shown}");
        }
        Err(error) => assert_names_the_place(&error, bytes),
    }
}

fn assert_names_the_place(error: &ConfigError, bytes: &[u8]) {
    let ConfigError::At { line, column, ref message, .. } = *error else { panic!("no place in {error}") };
    let text = String::from_utf8_lossy(bytes);
    let length = text.split('\n').nth(line - 1).map(|line| line.chars().count());
    assert!(length.is_some_and(|length| (1..=length + 1).contains(&column)), "there is no {line}:{column}: {error}");
    assert!(message.len() > 5 && !message.contains('\n'), "{error}");
}
