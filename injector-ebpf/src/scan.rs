//! The `scan` program: one visit per flow record, only when userspace reads
//! the iterator.

use core::{ffi::c_void, hint::black_box};

use aya_ebpf::{bindings::seq_file, helpers::generated::bpf_seq_write};
use injector_common::{
    applied::bit,
    decision::{Decision, NO_HOP, Selection},
    idle::{self, Idle},
    keepalive::{Keepalive, Own},
    packets::PacketRecord,
    record::{ADOPTED, FlowBrief, FlowRecord, FlowSample, LISTENER, state},
    scan::{self, ScanControl, ScanTotals, histogram_bucket},
    stats,
    status::{EXEMPT, Facts, LOCAL, classify, is_finding, retransmissions, unanswered, until_change_ms},
    timer::{longest_idle_ms, survives_a_lost_probe},
};

use crate::{
    ahead, clock, lookup,
    maps::{decision, scan_control, tracks_packets, visited},
    packets,
    tcp_sock::TcpSock,
};

/// `struct bpf_iter__bpf_sk_storage_map` in `net/core/bpf_sk_storage.c`:
///
/// ```c
/// __bpf_md_ptr(struct bpf_iter_meta *, meta);
/// __bpf_md_ptr(struct bpf_map *, map);
/// __bpf_md_ptr(struct sock *, sk);
/// __bpf_md_ptr(void *, value);
/// ```
#[repr(C)]
pub struct IterContext {
    meta: *const IterMeta,
    map: *const c_void,
    socket: *mut c_void,
    record: *mut FlowRecord,
}

/// `struct bpf_iter_meta` in include/linux/bpf.h:
///
/// ```c
/// __bpf_md_ptr(struct seq_file *, seq);
/// u64 session_id;
/// u64 seq_num;
/// ```
#[repr(C)]
struct IterMeta {
    seq: *mut seq_file,
    session_id: u64,
    seq_num: u64,
}

/// The results of one visit, before it decides whether to write anything.
///
/// It lies in a map: the verifier knows nothing of values read from there, and so drops the paths that led to them.
/// Held in registers they would make the verifier follow each path through all that comes after.
#[derive(Clone, Copy)]
pub struct Findings {
    own: Own,
    effective: Keepalive,
    wire_ms: u64,
    application_ms: u64,
    retransmits: u8,
    unanswered_probes: u8,
    state: u8,
    status: u8,
    wire: Limit,
    layer7: Limit,
}

/// Where the iterator is.
#[derive(Clone, Copy)]
struct Visit {
    ctx: *mut IterContext,
    tcp: TcpSock,
    packets: Option<&'static PacketRecord>,
}

/// A limit, and the hop that has it.
#[derive(Clone, Copy)]
struct Limit {
    limit_ms: u32,
    warn_ms: u32,
    hop: u32,
}

/// The limits of a flow: on the wire, and for payload alone.
struct Limits {
    wire: Limit,
    layer7: Limit,
    /// None counts: both ends are on this host.
    is_local: bool,
}

/// Measures the flow, writes it out if it passes the filter, and adds it up.
#[inline(always)]
pub fn visit(ctx: *mut IterContext) {
    // SAFETY: the context is the one above; the kernel passes null for the
    // socket and record in the call that ends the iteration.
    let (socket, record) = unsafe { ((*ctx).socket, (*ctx).record) };
    if socket.is_null() || record.is_null() {
        return;
    }
    let Some(control) = scan_control() else {
        return;
    };
    // SAFETY: both point to values of these maps, which the verifier checks.
    // Scans of one attachment are serialised by userspace.
    let (control, record) = unsafe { (&mut *control, &mut *record) };
    ahead::fetch(&mut control.ahead, record);
    let Some(tcp) = TcpSock::of(socket) else {
        return;
    };
    if record.origin == LISTENER {
        if control.mode != scan::LISTENERS || write_brief(ctx, tcp, NO_HOP, NO_HOP) {
            control.totals.listeners += 1;
        }
        return;
    }
    let visit = Visit { ctx, tcp, packets: packets::find(socket) };
    match look(&visit, record) {
        Ok(Some(flow)) => {
            let Some(place) = visited() else { return };
            // SAFETY: as above.
            let flow = unsafe {
                *place = flow;
                &*black_box(place)
            };
            settle(&visit, control, record, flow);
        }
        Ok(None) => control.totals.closing += 1,
        // Freed meanwhile: no flow any more.
        Err(_) => {}
    }
}

/// Reads and judges the socket; `None` once the connection is closing.
#[inline(always)]
fn look(visit: &Visit, record: &mut FlowRecord) -> Result<Option<Findings>, i32> {
    let tcp = visit.tcp;
    let state = tcp.state();
    if !state::is_live(state) || tcp.is_orphan() {
        return Ok(None);
    }
    let (choice, half_closed) = lookup::of(record, tcp, state::is_half_closed(state));
    let Some(limits) = limits(record, &choice, half_closed, state) else { return Ok(None) };
    let own = tcp.own_keepalive();
    let effective = own.effective(&tcp.sysctl_beside(&own)?);
    let mut activity = tcp.activity();
    if let Some(packets) = visit.packets {
        activity.packet_received = packets.received.last;
    }
    let probes_out = tcp.probes_out();
    let retransmits = retransmissions(tcp.retransmits(), probes_out, tcp.sent());
    let idle = idle::measure(&activity, &record.seen, record.opened_ns, &clock::now());
    let unanswered_probes = unanswered(probes_out, idle.unheard_ms, effective.idle_s);
    let Limits { wire, layer7, is_local } = limits;
    let status = classify(&Facts {
        enabled: own.enabled,
        longest_idle_ms: longest_idle_ms(effective.idle_s, effective.interval_s),
        survives_a_lost_probe: survives_a_lost_probe(&effective),
        unanswered_probes,
        retransmits,
        is_local,
        idle_ms: idle.wire_ms,
        limit_ms: u64::from(wire.limit_ms),
        warn_ms: u64::from(wire.warn_ms),
        app_idle_ms: idle.application_ms,
        layer7_ms: u64::from(layer7.limit_ms),
        layer7_warn_ms: u64::from(layer7.warn_ms),
    });
    let status = if lookup::is_exempt(&choice) { EXEMPT } else { status };
    // Where the kernel comes back for the same flow, this leads to the same idle times.
    record.seen = idle.seen;
    let Idle { wire_ms, application_ms, .. } = idle;
    Ok(Some(Findings {
        own,
        effective,
        wire_ms,
        application_ms,
        retransmits,
        unanswered_probes,
        state,
        status,
        wire,
        layer7,
    }))
}

/// The limits that count for a flow in its present state.
#[inline(always)]
fn limits(record: &FlowRecord, choice: &Selection, half_closed: u32, state: u8) -> Option<Limits> {
    let (limit, timer) = (decision(choice.limit)?, decision(choice.layer7)?);
    let wire = if state::is_half_closed(state) {
        let Decision { half_closed_ms, half_closed_warn_ms, half_closed_hop, .. } = *decision(half_closed)?;
        Limit { limit_ms: half_closed_ms, warn_ms: half_closed_warn_ms, hop: half_closed_hop }
    } else {
        Limit { limit_ms: limit.policy.limit_ms, warn_ms: limit.policy.warn_ms, hop: limit.hop }
    };
    let layer7 = Limit { limit_ms: timer.layer7_ms, warn_ms: timer.layer7_warn_ms, hop: timer.layer7_hop };
    let is_local = limit.loopback == 0 && timer.loopback == 0 && record.endpoints.are_local();
    Some(Limits { wire, layer7, is_local })
}

/// Writes first: where the buffer is full, the kernel comes back for the same
/// flow with an empty one, and nothing may have been counted by then.
#[inline(always)]
fn settle(visit: &Visit, control: &mut ScanControl, record: &mut FlowRecord, flow: &Findings) {
    let is_exempt = flow.status == EXEMPT;
    let is_reported = control.mode == scan::WATCH && record.reported != 0;
    let is_new = !is_exempt && control.budget != 0 && is_wanted(control, flow);
    if (is_reported || is_new) && !write(visit, control, record, flow) {
        return;
    }
    if is_new && !is_reported && control.budget != scan::UNLIMITED {
        control.budget -= 1;
    }
    if control.mode == scan::WATCH && (is_reported || is_new) {
        record.reported = if is_finding(flow.status) { flow.status } else { 0 };
    }
    if !is_exempt {
        add_up(&mut control.totals, record, flow);
    }
}

#[inline(always)]
fn is_wanted(control: &ScanControl, flow: &Findings) -> bool {
    let passes = match control.mode {
        scan::ALL | scan::BRIEF => true,
        scan::FINDINGS | scan::WATCH => is_finding(flow.status),
        _ => false,
    };
    passes && flow.wire_ms >= control.min_idle_ms
}

#[inline(always)]
fn add_up(totals: &mut ScanTotals, record: &FlowRecord, flow: &Findings) {
    let idle_ms = flow.wire_ms;
    if let Some(count) = totals.by_status.get_mut(usize::from(flow.status)) {
        *count += 1;
    }
    totals.adopted += u64::from(record.origin == ADOPTED);
    if flow.status == LOCAL {
        return;
    }
    if let Some(count) = totals.idle_histogram.get_mut(histogram_bucket(idle_ms)) {
        *count += 1;
    }
    note_change(totals, &flow.wire, idle_ms);
    if flow.layer7.limit_ms != 0 {
        note_change(totals, &flow.layer7, flow.application_ms);
    }
}

#[inline(always)]
fn note_change(totals: &mut ScanTotals, limit: &Limit, idle_ms: u64) {
    if let Some(ms) = until_change_ms(idle_ms, u64::from(limit.warn_ms), u64::from(limit.limit_ms))
        && ms < totals.next_change_ms
    {
        totals.next_change_ms = ms;
    }
}

const SAMPLE_SIZE: u32 = 152;
const _: () = assert!(size_of::<FlowSample>() == SAMPLE_SIZE as usize);
const PACKETS_SIZE: u32 = 80;
const _: () = assert!(size_of::<PacketRecord>() == PACKETS_SIZE as usize);
const BRIEF_SIZE: u32 = 16;
const _: () = assert!(size_of::<FlowBrief>() == BRIEF_SIZE as usize);

/// Returns whether there was room.
#[inline(always)]
fn write(visit: &Visit, control: &ScanControl, record: &FlowRecord, flow: &Findings) -> bool {
    if control.mode == scan::BRIEF {
        write_brief(visit.ctx, visit.tcp, flow.wire.hop, flow.layer7.hop)
    } else {
        write_sample(visit, record, flow) && (!tracks_packets() || write_packets(visit))
    }
}

#[inline(always)]
fn write_brief(ctx: *mut IterContext, tcp: TcpSock, hop: u32, layer7_hop: u32) -> bool {
    let brief = FlowBrief { inode: tcp.inode().unwrap_or(0), hop, layer7_hop };
    // SAFETY: `seq` is the iterator's own, and the value has no padding.
    let result = unsafe { bpf_seq_write((*(*ctx).meta).seq, (&raw const brief).cast(), BRIEF_SIZE) };
    result == 0
}

#[inline(always)]
fn write_sample(visit: &Visit, record: &FlowRecord, flow: &Findings) -> bool {
    let Visit { ctx, tcp, .. } = *visit;
    let is_local = flow.status == LOCAL;
    let sample = FlowSample {
        cookie: record.cookie,
        age_ms: clock::boot_ns().saturating_sub(record.opened_ns) / 1_000_000,
        idle_ms: flow.wire_ms,
        app_idle_ms: flow.application_ms,
        cgroup_id: tcp.cgroup_id().unwrap_or(0),
        inode: tcp.inode().unwrap_or(0),
        netns: tcp.netns().unwrap_or(0),
        uid: tcp.uid(),
        limit_ms: if is_local { 0 } else { flow.wire.limit_ms },
        hop: if is_local { NO_HOP } else { flow.wire.hop },
        layer7_ms: if is_local { 0 } else { flow.layer7.limit_ms },
        layer7_hop: if is_local { NO_HOP } else { flow.layer7.hop },
        endpoints: record.endpoints,
        effective: flow.effective,
        applied: record.applied.keepalive(),
        enabled: u8::from(flow.own.enabled),
        unanswered_probes: flow.unanswered_probes,
        retransmits: flow.retransmits,
        state: flow.state,
        direction: record.direction,
        outcome: record.outcome,
        status: flow.status,
        origin: record.origin,
        own: own_options(&flow.own),
        asked: record.applied.asked,
        marks: record.applied.marks,
        padding: 0,
    };
    // SAFETY: `seq` is the iterator's own, and the sample is initialised in
    // full: it has no implicit padding.
    let result = unsafe { bpf_seq_write((*(*ctx).meta).seq, (&raw const sample).cast(), SAMPLE_SIZE) };
    result == 0
}

/// Those that no sysctl stands in for, as bits by their index.
#[inline(always)]
fn own_options(own: &Own) -> u8 {
    let set = |value: u32, option: u8| if value == 0 { 0 } else { bit(option) };
    set(own.idle_s, stats::OPTION_IDLE)
        | set(own.interval_s, stats::OPTION_INTERVAL)
        | set(own.probes, stats::OPTION_PROBES)
        | set(own.user_timeout_ms, stats::OPTION_USER_TIMEOUT)
}

/// Where packets are tracked they follow the sample
/// ([`injector_common::record::TrackedSample`]). The kernel takes both back where
/// there was room for the first alone.
#[inline(always)]
fn write_packets(visit: &Visit) -> bool {
    static NONE: PacketRecord = PacketRecord::NONE;
    let Visit { ctx, packets, .. } = *visit;
    let packets = packets.unwrap_or(&NONE);
    // SAFETY: `seq` is the iterator's own, and the record has no padding.
    let result = unsafe { bpf_seq_write((*(*ctx).meta).seq, (&raw const *packets).cast(), PACKETS_SIZE) };
    result == 0
}
