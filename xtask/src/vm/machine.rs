//! One guest, from power on to power off.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// The scenarios take a minute and a half on a busy machine, a good part of it waiting.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// Not with cmpxchg16b: under Debian 12's QEMU 7.2 one guest in a dozen (a 6.12) died of a double fault when it was
/// interrupted right after the one in its allocator, with the virtual-8086 bit among the flags.
const CPU: &str = "max,-cx16";
/// New kernels (7.2 does) take the memory for socket storage from `kmalloc_nolock`, which without cmpxchg16b has none unless
/// the allocator is under debugging. Old ones don't know the option. Old ones (5.10) panic at boot, too, where the host is so
/// busy that their test of the timer misses its ticks.
const CMDLINE: &str = "console=ttyS0 quiet panic=-1 no_timer_check slab_debug=F,kmalloc-*";

/// Boots, and returns what was written to the serial console, which `log` keeps. A guest that doesn't end by itself is ended.
pub(super) fn console(image: &Path, initramfs: &Path, log: &Path) -> Result<String> {
    // Should qemu fail before it opens the log, the one of the last run must not speak for this.
    fs::write(log, "").with_context(|| format!("making {}", log.display()))?;
    let mut guest = Command::new("qemu-system-x86_64")
        // Everywhere the same: whether a machine has KVM would only decide how long it takes.
        .args(["-accel", "tcg", "-cpu", CPU, "-smp", "1", "-m", "512M"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .args(["-append", CMDLINE])
        .arg("-kernel")
        .arg(image)
        .arg("-initrd")
        .arg(initramfs)
        .arg("-serial")
        .arg(format!("file:{}", log.display()))
        .stdin(Stdio::null())
        .spawn()
        .context("`qemu-system-x86_64` could not be started: install Debian's qemu-system-x86")?;
    wait(&mut guest).context("waiting for qemu")?;
    let console = fs::read(log).with_context(|| format!("reading {}", log.display()))?;
    Ok(String::from_utf8_lossy(&console).into_owned())
}

fn wait(guest: &mut Child) -> std::io::Result<()> {
    let started = Instant::now();
    while guest.try_wait()?.is_none() {
        if started.elapsed() > TIME_LIMIT {
            guest.kill()?;
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
