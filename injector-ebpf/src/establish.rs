//! The `keepalive` program: what happens to a socket when its connection is
//! established.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, bpf_sock},
    programs::SockOpsContext,
};
use aya_log_ebpf::debug;
use injector_common::{
    applied::{Applied, GUARDED},
    keepalive::{Action, FlowPolicy, Keepalive, Own, Sysctl, choose, unfitted},
    opaque::Opaque as _,
    record::{ESTABLISHED, FlowRecord, Seen},
    stats,
};

use crate::{clock, lookup, maps, options, sk_storage, sock_ops, tcp_sock::TcpSock};

/// Treats the socket, and counts the outcome.
#[inline(always)]
pub fn established(ctx: &SockOpsContext) {
    let direction = match ctx.op() {
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => stats::ACTIVE,
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => stats::PASSIVE,
        _ => return,
    };
    let endpoints = sock_ops::endpoints(ctx);
    let Some(socket) = sock_ops::socket(ctx) else {
        return;
    };
    let cgroup_id = lookup::cgroup_of(TcpSock::of(socket.cast()));
    let choice = lookup::choose(&endpoints, direction, cgroup_id).choice;
    let Some(policy) = lookup::policy(&choice) else {
        return;
    };
    let (outcome, applied) = treat(ctx, &policy, socket);
    let opened_ns = clock::boot_ns();
    let mut record = FlowRecord {
        cookie: sock_ops::cookie(ctx),
        opened_ns,
        seen: Seen::established(opened_ns, clock::monotonic_ns(), sock_ops::segments_in(ctx)),
        // Not one row of zeros with those before it: the compiler would call memset, which takes the stack of a second
        // function, and with it verifiers before 6.2 keep apart all that differs by any number.
        reported: 0_u8.opaque(),
        direction,
        outcome,
        origin: ESTABLISHED,
        choice,
        generation: maps::generation(),
        applied,
        endpoints,
    };
    let is_remembered = if outcome == stats::EXEMPT {
        sk_storage::remove(socket);
        true
    } else {
        sk_storage::store(socket, &mut record)
    };
    let outcome = if is_remembered { outcome } else { stats::NO_STORAGE };
    if !endpoints.are_of_self_test() {
        maps::count(stats::outcome_index(direction, outcome));
    }
    debug!(ctx, "port {} direction {} outcome {}", ctx.local_port(), direction, outcome);
}

/// Sets what follows from the policy and the socket's own settings. Returns the outcome, and what was set.
#[inline(always)]
fn treat(ctx: &SockOpsContext, policy: &FlowPolicy, socket: *mut bpf_sock) -> (u8, Applied) {
    let (own, sysctl) = own_choice(socket);
    let (own, sysctl) = (own.opaque(), sysctl.opaque());
    let nested = sock_ops::nested(ctx);
    let is_nested = nested.is_covered.opaque();
    let unfitted = unfitted(policy, &own, &sysctl, is_nested).opaque();
    let guarded = if maps::guards() { GUARDED } else { 0 };
    let marks = (Applied::marks_of(&own, is_nested) | guarded).opaque();
    let (outcome, keepalive) = match choose(policy, &own, &sysctl, is_nested, &unfitted) {
        Action::Exempt => (stats::EXEMPT, Keepalive::default()),
        Action::Respect => (stats::RESPECTED, Keepalive::default()),
        Action::Inject(keepalive) => (stats::INJECTED, keepalive),
        Action::Tighten(keepalive) => (stats::TIGHTENED, keepalive),
    };
    let (outcome, keepalive) = (outcome.opaque(), keepalive.opaque());
    match outcome {
        stats::EXEMPT => return (outcome, Applied::default()),
        stats::RESPECTED => {
            sock_ops::announce_nested(ctx, nested.is_set);
            return (outcome, Applied::found(&own, &sysctl, &unfitted, nested.is_set, marks));
        }
        _ => {}
    }
    sock_ops::announce_nested(ctx, true);
    let applied = Applied::new(&keepalive, &unfitted, marks);
    if apply(ctx, &keepalive).is_ok() { (outcome, applied) } else { (stats::FAILED, applied) }
}

/// The socket's own settings. Where they can't be read it counts as having none, and is counted as unreadable.
#[inline(always)]
fn own_choice(socket: *mut bpf_sock) -> (Own, Sysctl) {
    let read = || {
        let tcp = TcpSock::of(socket.cast()).ok_or(0)?;
        let own = tcp.own_keepalive();
        let sysctl = if own.is_untouched() { Sysctl::default() } else { tcp.sysctl_beside(&own)? };
        Ok::<_, i32>((own, sysctl))
    };
    read().unwrap_or_else(|_| {
        maps::count(stats::UNREADABLE);
        (Own::default(), Sysctl::default())
    })
}

/// Sets all parameters, up to the first one that is refused: half of them protect no flow, and the verifier has one
/// path to follow instead of all combinations. The switch comes after the times, so that the kernel arms its timer
/// once, with the right one.
#[inline(always)]
fn apply(ctx: &SockOpsContext, keepalive: &Keepalive) -> Result<(), ()> {
    set(ctx, stats::OPTION_IDLE, keepalive.idle_s)?;
    set(ctx, stats::OPTION_INTERVAL, keepalive.interval_s)?;
    set(ctx, stats::OPTION_PROBES, keepalive.probes)?;
    set(ctx, stats::OPTION_KEEPALIVE, 1)?;
    if keepalive.user_timeout_ms != 0 {
        set(ctx, stats::OPTION_USER_TIMEOUT, keepalive.user_timeout_ms)?;
    }
    Ok(())
}

#[inline(always)]
fn set(ctx: &SockOpsContext, option: u8, value: u32) -> Result<(), ()> {
    options::set(ctx.as_ptr(), option, value).map_err(|errno| maps::count(stats::failure_index(option, errno)))
}
