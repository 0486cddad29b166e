//! Whether only root and this user control something in the file system.

const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Why others may have had a hand in what has this owner and mode, as `user` sees it; `None` where they had none.
pub(crate) fn objection(mode: u32, owner: u32, user: u32) -> Option<String> {
    if owner != 0 && owner != user {
        let us = if user == 0 { "root".to_owned() } else { format!("root or user {user}") };
        return Some(format!("it belongs to user {owner}, not to {us}: remove it, or chown it"));
    }
    (mode & WRITABLE_BY_OTHERS != 0).then(|| format!("others may write to it (mode {:04o}): chmod go-w", mode & 0o7777))
}
