//! injector's BPF programs: entry points only, one file a program.
#![no_std]
#![no_main]

mod ahead;
mod clock;
mod establish;
mod guard;
mod kernel;
mod lookup;
mod maps;
mod options;
mod packets;
mod scan;
mod sk_storage;
mod sock_ops;
mod tcp_sock;

use aya_ebpf::{
    macros::{cgroup_skb, cgroup_sockopt, sock_ops},
    programs::{SkBuffContext, SockOpsContext, SockoptContext},
};

use crate::{packets::Way, scan::IterContext};

/// Sets keepalive on a socket at the moment its connection is established.
///
/// Runs for every `sock_ops` event of the cgroup; must return 1 and leave
/// `reply` alone for those it does not own, or it would answer for others. For
/// its own the kernel ignores the reply.
#[sock_ops]
#[expect(clippy::needless_pass_by_value, reason = "the signature that the macro calls")]
fn keepalive(ctx: SockOpsContext) -> u32 {
    establish::established(&ctx);
    1
}

/// Sees every `setsockopt` of the cgroup before the kernel does; 1 lets it go
/// on. Since 5.3; sets options itself since 5.15, and reads them since 6.1.
#[cgroup_sockopt(setsockopt)]
#[expect(clippy::needless_pass_by_value, reason = "the signature that the macro calls")]
fn guard(ctx: SockoptContext) -> i32 {
    guard::setsockopt(&ctx);
    1
}

/// Sees every packet to a socket of the cgroup; 1 lets it go on. Since 4.10,
/// with socket storage since 5.2.
#[cgroup_skb(ingress)]
#[expect(clippy::needless_pass_by_value, reason = "the signature that the macro calls")]
fn ingress(ctx: SkBuffContext) -> i32 {
    packets::stamp(&ctx, Way::In);
    1
}

/// The same for packets from its sockets.
#[cgroup_skb(egress)]
#[expect(clippy::needless_pass_by_value, reason = "the signature that the macro calls")]
fn egress(ctx: SkBuffContext) -> i32 {
    packets::stamp(&ctx, Way::Out);
    1
}

/// Visits the flow record of one socket. `bpf_iter__bpf_sk_storage_map`, 5.9+.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
extern "C" fn scan(ctx: *mut IterContext) -> i32 {
    scan::visit(ctx);
    0
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier proves that nothing gets here.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
