//! The maps and globals, and the counters on top of them. Names and layouts
//! are those of `injector-common`.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, HashMap, LpmTrie, PerCpuArray, SkStorage, lpm_trie::Key},
    macros::btf_map,
};
use injector_common::{
    attachment::Attachment,
    decision::{Decision, HopName, KEY_BITS, RuleKey},
    offsets,
    packets::PacketRecord,
    record::FlowRecord,
    scan::ScanControl,
    stats,
};

use crate::scan::Findings;

/// One record per flow, freed by the kernel with its socket.
#[btf_map]
pub static FLOWS: SkStorage<FlowRecord> = SkStorage::new();

/// One more record where packets are tracked.
#[btf_map]
pub static PACKETS: SkStorage<PacketRecord> = SkStorage::new();

/// Made as large as it must be when it is loaded, like [`RULES`].
#[btf_map]
static DECISIONS: Array<Decision, 1> = Array::new();

#[btf_map]
static RULES: LpmTrie<RuleKey, u32, 1> = LpmTrie::new();

/// Filled by userspace as cgroups come.
#[btf_map]
static CGROUPS: HashMap<u64, u32, 1, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();

/// Not used by any program: the hops' names, for userspace.
#[btf_map]
static HOPS: Array<HopName, 1> = Array::new();

#[btf_map]
static COUNTERS: PerCpuArray<u64, { stats::COUNTERS as usize }> = PerCpuArray::new();

#[btf_map]
static SCAN_CONTROL: Array<ScanControl, 1> = Array::new();

/// The programs' own: what the scan under way knows of the flow that it visits.
#[btf_map]
static VISITED: Array<Findings, 1> = Array::new();

/// Not used by any program: what userspace wants to find again.
#[btf_map]
static ATTACHMENT: Array<Attachment, 1> = Array::new();

/// In `.rodata`, which is frozen before loading: constants to the verifier.
/// 5.10 refuses socket pointers moved by anything else.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata")]
static OFFSETS: [u32; offsets::COUNT] = [0; offsets::COUNT];

#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata")]
static TICKS_PER_SECOND: u32 = 0;

#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata")]
static GENERATION: u32 = 0;

#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata")]
static LOOKUPS: u32 = 0;

#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata")]
static GUARDS: u32 = 0;

#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata")]
static FITS: u32 = 0;

#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata")]
static TRACKS_PACKETS: u32 = 0;

/// Where the kernel keeps `member` (an index of [`offsets`]).
#[inline(always)]
pub fn offset(member: usize) -> usize {
    // SAFETY: `member` is one of the indices that `offsets` defines. Volatile,
    // because the loader fills the array after the compiler has seen its zeros.
    unsafe { (&raw const OFFSETS).cast::<u32>().add(member).read_volatile() as usize }
}

/// Jiffies per second.
#[inline(always)]
pub fn ticks_per_second() -> u32 {
    // SAFETY: a valid static; volatile for the same reason.
    unsafe { (&raw const TICKS_PER_SECOND).read_volatile() }
}

/// Identifies the rules of this program.
#[inline(always)]
pub fn generation() -> u32 {
    // SAFETY: a valid static; volatile for the same reason.
    unsafe { (&raw const GENERATION).read_volatile() }
}

/// The lookups that can find a rule.
#[inline(always)]
pub fn lookups() -> u32 {
    // SAFETY: a valid static; volatile for the same reason.
    unsafe { (&raw const LOOKUPS).read_volatile() }
}

/// Whether the guard is attached.
#[inline(always)]
pub fn guards() -> bool {
    // SAFETY: a valid static; volatile for the same reason.
    unsafe { (&raw const GUARDS).read_volatile() != 0 }
}

/// Whether the guard may read and set options.
#[inline(always)]
pub fn fits() -> bool {
    // SAFETY: a valid static; volatile for the same reason.
    unsafe { (&raw const FITS).read_volatile() != 0 }
}

/// Whether packets are tracked.
#[inline(always)]
pub fn tracks_packets() -> bool {
    // SAFETY: a valid static; volatile for the same reason.
    unsafe { (&raw const TRACKS_PACKETS).read_volatile() != 0 }
}

/// A decision, by its index.
#[inline(always)]
pub fn decision(index: u32) -> Option<&'static Decision> {
    DECISIONS.get(index)
}

/// The index of the decision for a key.
#[inline(always)]
pub fn rule(key: RuleKey) -> Option<u32> {
    RULES.get(&Key::new(KEY_BITS, key)).copied()
}

/// The number of a cgroup; 0 for those that have none.
#[inline(always)]
pub fn set_of(cgroup_id: u64) -> u16 {
    // SAFETY: values are only ever replaced as a whole, by userspace; one that
    // is given to another cgroup meanwhile was this one's before.
    let set = unsafe { CGROUPS.get(cgroup_id) };
    #[expect(clippy::cast_possible_truncation, reason = "userspace gives no larger one than MAX_SET")]
    set.map_or(0, |&set| set as u16)
}

/// The scan under way.
#[inline(always)]
pub fn scan_control() -> Option<*mut ScanControl> {
    SCAN_CONTROL.get_ptr_mut(0)
}

/// Where a visit keeps what it knows of the flow.
#[inline(always)]
pub fn visited() -> Option<*mut Findings> {
    VISITED.get_ptr_mut(0)
}

/// Adds one to a counter of [`stats`].
#[inline(always)]
pub fn count(index: u32) {
    if let Some(counter) = COUNTERS.get_ptr_mut(index) {
        // SAFETY: the slot is this CPU's own, and programs are not migrated
        // while they run.
        unsafe { *counter += 1 }
    }
}
