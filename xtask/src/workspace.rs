//! Where things are in the workspace.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Root of the workspace that this command runs for.
pub(crate) fn root() -> PathBuf {
    // Cargo sets it at run time too: a binary that was copied along with its tree still finds that tree.
    let manifest_dir =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest_dir.parent().map_or_else(|| manifest_dir.clone(), Path::to_path_buf)
}

/// Cargo's target directory for the host crates: the one that this command was built in.
pub(crate) fn target_dir() -> PathBuf {
    let of_this_command = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.to_path_buf()));
    of_this_command.unwrap_or_else(|| root().join("target"))
}

/// What is kept for all checkouts: `injector` in the user's cache. Worth keeping between runs of CI.
pub(crate) fn cache_dir() -> PathBuf {
    let named = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let own = || env::home_dir().map(|home| home.join(".cache"));
    named.or_else(own).map_or_else(|| root().join("target/cache"), |cache| cache.join("injector"))
}

/// Tools that are no package of the system.
pub(crate) fn tools_dir() -> PathBuf {
    cache_dir().join("tools")
}

/// Cargo's home, where registry sources are unpacked.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| env::home_dir().map(|home| home.join(".cargo")))
}

/// Where sources of dependencies lie: a directory for each registry, its name made from the registry's address.
pub(crate) fn registries() -> Vec<PathBuf> {
    let sources = cargo_home().map(|home| home.join("registry/src"));
    let entries = sources.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}
