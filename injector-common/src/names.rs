//! Names of programs, maps and globals, as they stand in the BPF object and
//! below the pin directory.

/// The `sock_ops` program. Its link's pin is written last and removed first:
/// where it is there, the attachment is complete.
pub const KEEPALIVE: &str = "keepalive";
/// The `cgroup/setsockopt` program, attached only where applications may be
/// overruled, and the pin of its link.
pub const GUARD: &str = "guard";
/// The `cgroup_skb` programs, attached only where packets are tracked, and the
/// pins of their links.
pub const INGRESS: &str = "ingress";
/// See [`INGRESS`].
pub const EGRESS: &str = "egress";
/// Programs beside [`KEEPALIVE`] that not every attachment has.
pub const COMPANIONS: [&str; 3] = [GUARD, INGRESS, EGRESS];
/// The iterator over [`FLOWS`], and the pin of its link.
pub const SCAN: &str = "scan";

/// Socket-local storage: one [`crate::record::FlowRecord`] per flow.
pub const FLOWS: &str = "FLOWS";
/// Socket-local storage: one [`crate::packets::PacketRecord`] per flow whose
/// packets are tracked.
pub const PACKETS: &str = "PACKETS";
/// Array of [`crate::decision::Decision`], the first one for flows without a rule.
pub const DECISIONS: &str = "DECISIONS";
/// Trie from [`crate::decision::RuleKey`] to an index of [`DECISIONS`].
pub const RULES: &str = "RULES";
/// Array of [`crate::decision::HopName`].
pub const HOPS: &str = "HOPS";
/// Hash from the kernel's id of a cgroup to its number, `u32`, where that is
/// not 0.
pub const CGROUPS: &str = "CGROUPS";
/// Per-CPU array of `u64`, laid out by [`crate::stats`].
pub const COUNTERS: &str = "COUNTERS";
/// Array of one [`crate::scan::ScanControl`].
pub const SCAN_CONTROL: &str = "SCAN_CONTROL";
/// Array of one [`crate::attachment::Attachment`].
pub const ATTACHMENT: &str = "ATTACHMENT";

/// Maps that outlive the programs that use them: the next build, or the same
/// one with other parameters, goes on with them.
pub const LASTING_MAPS: [&str; 3] = [FLOWS, PACKETS, COUNTERS];
/// Maps of one generation: one build of the programs with its parameters.
pub const GENERATION_MAPS: [&str; 6] = [DECISIONS, RULES, HOPS, CGROUPS, SCAN_CONTROL, ATTACHMENT];

/// Read-only global: where the kernel's structures keep what we read, see
/// [`crate::offsets`].
pub const OFFSETS: &str = "OFFSETS";
/// Read-only global: jiffies per second of the running kernel.
pub const TICKS_PER_SECOND: &str = "TICKS_PER_SECOND";
/// Read-only global: identifies the rules of a generation.
pub const GENERATION: &str = "GENERATION";
/// Read-only global: the lookups that can find a rule, see
/// [`crate::decision::LOOKUPS`].
pub const LOOKUPS: &str = "LOOKUPS";
/// Read-only global: 1 where the guard is attached, otherwise 0.
pub const GUARDS: &str = "GUARDS";
/// Read-only global: 1 where the guard may read and set options (Linux 6.1),
/// otherwise 0.
pub const FITS: &str = "FITS";
/// Read-only global: 1 where packets are tracked, otherwise 0.
pub const TRACKS_PACKETS: &str = "TRACKS_PACKETS";
