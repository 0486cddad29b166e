mod clocks;

use super::*;

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400;
/// Those that kernels are built with.
const RATES: [u32; 4] = [100, 250, 300, 1000];

/// A machine with a connection that was opened when it began.
#[derive(Clone, Copy)]
struct Machine {
    boot_ns: u64,
    monotonic_ns: u64,
    rate: u32,
    /// Jiffies at boot.
    first_tick: u32,
    opened_ns: u64,
    socket: Socket,
    seen: Seen,
}

impl Machine {
    /// Jiffies begin five minutes before they wrap, as the kernel's do.
    fn new(rate: u32) -> Self {
        let first_tick = (-300 * rate.cast_signed()).cast_unsigned();
        let mut machine = Self {
            boot_ns: 1000 * SECOND,
            monotonic_ns: 1000 * SECOND,
            rate,
            first_tick,
            opened_ns: 1000 * SECOND,
            socket: Socket::default(),
            seen: Seen::default(),
        };
        machine.socket.data_received = machine.ticks();
        machine.socket.ack_received = machine.ticks();
        machine.seen = Seen::established(machine.boot_ns, machine.monotonic_ns, 0);
        machine
    }

    fn ticks(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "as the kernel does")]
        let ticks = (self.monotonic_ns / tick_ns(self.rate)) as u32;
        self.first_tick.wrapping_add(ticks)
    }

    fn wait(&mut self, ms: u64) {
        self.boot_ns += ms * 1_000_000;
        self.monotonic_ns += ms * 1_000_000;
    }

    fn sleep(&mut self, ms: u64) {
        self.boot_ns += ms * 1_000_000;
    }

    fn receive_data(&mut self) {
        self.socket.data_received = self.ticks();
        self.socket.segments_in += 1;
    }

    fn receive_ack(&mut self) {
        self.socket.ack_received = self.ticks();
        self.socket.segments_in += 1;
    }

    fn receive_probe(&mut self) {
        self.socket.probe_received = self.ticks();
        self.socket.segments_in += 1;
    }

    /// Moves no stamp.
    fn receive_garbage(&mut self) {
        self.socket.segments_in += 1;
    }

    fn send_acknowledged(&mut self) {
        self.socket.acknowledged_us = self.monotonic_ns / 1000;
        self.receive_ack();
    }

    fn scan(&mut self) -> Idle {
        let now = Now {
            boot_ns: self.boot_ns,
            monotonic_ns: self.monotonic_ns,
            ticks: self.ticks(),
            ticks_per_second: self.rate,
        };
        let idle = measure(&self.socket, &self.seen, self.opened_ns, &now);
        self.seen = idle.seen;
        idle
    }

    #[track_caller]
    fn expect(&mut self, case: &str, wire_s: u64, application_s: u64) {
        let idle = self.scan();
        for (what, reported_ms, true_s) in
            [("wire", idle.wire_ms, wire_s), ("application", idle.application_ms, application_s)]
        {
            // A tick at either end; the units in which moments and time in suspension are kept.
            let (least, most) = ((true_s * 1000).saturating_sub(11), true_s * 1000 + 550);
            assert!(
                (least..=most).contains(&reported_ms),
                "{case}, {} Hz, {what}: {reported_ms} ms, {true_s} s is true",
                self.rate
            );
        }
    }
}

fn machines() -> impl Iterator<Item = Machine> {
    RATES.into_iter().map(Machine::new)
}

#[test]
fn the_latest_event_counts() {
    for mut machine in machines() {
        machine.expect("just opened", 0, 0);
        machine.wait(10_000);
        machine.expect("nothing received", 10, 10);
        machine.receive_data();
        machine.wait(20_000);
        machine.receive_ack();
        machine.wait(5000);
        machine.expect("probe answered", 5, 25);
        machine.receive_probe();
        machine.wait(3000);
        machine.expect("probed by the peer", 3, 28);
        machine.send_acknowledged();
        machine.wait(2000);
        machine.expect("sent and acknowledged", 2, 2);
    }
}

/// However often it is sent again.
#[test]
fn what_is_not_acknowledged_is_no_activity() {
    for mut machine in machines() {
        machine.send_acknowledged();
        machine.wait(30_000);
        machine.receive_ack();
        for elapsed_s in [100, 200, 300] {
            machine.wait(100_000);
            // All that changes is what the socket has sent.
            machine.expect("sent into the void", elapsed_s, 30 + elapsed_s);
        }
    }
}

#[test]
fn idle_times_never_exceed_the_age() {
    let now = Now { boot_ns: 1007 * SECOND, monotonic_ns: 1007 * SECOND, ticks: 5, ticks_per_second: 250 };
    let idle = measure(&Socket::default(), &Seen::default(), 1000 * SECOND, &now);
    assert_eq!((idle.wire_ms, idle.application_ms), (7000, 7000));
}

#[test]
fn a_stamp_of_zero_never_happened() {
    let mut machine = Machine::new(250);
    machine.first_tick = machine.first_tick.wrapping_sub(machine.ticks());
    assert_eq!(machine.ticks(), machine.first_tick.wrapping_add(250_000));
    machine.socket = Socket { segments_in: 1, ..Socket::default() };
    machine.wait(60_000);
    machine.expect("as of the last scan, which establishment was", 60, 60);
}

#[test]
fn a_stamp_from_another_cpu_may_lie_ahead() {
    for mut machine in machines() {
        machine.wait(90_000);
        machine.receive_data();
        machine.socket.data_received += 1;
        machine.expect("received just now", 0, 0);
    }
}

#[test]
fn a_kernel_without_a_tick_rate_makes_no_activity() {
    assert_eq!(tick_ns(0), 0);
    assert_eq!(RATES.map(tick_ns), [10_000_000, 4_000_000, 3_333_333, 1_000_000]);
}

#[test]
fn counters_show_what_stamps_miss() {
    for mut machine in machines() {
        machine.wait(50_000);
        machine.expect("nothing moved", 50, 50);
        machine.wait(20_000);
        machine.receive_garbage();
        machine.wait(20_000);
        machine.expect("garbage since the last scan", 40, 90);
        machine.wait(5000);
        machine.expect("what it showed is remembered", 45, 95);
        machine.receive_garbage();
        machine.wait(1000);
        machine.receive_ack();
        machine.wait(7000);
        machine.expect("explained by a stamp", 7, 103);
    }
}

#[test]
fn existing_connections_have_no_scan_to_compare_with() {
    let mut machine = Machine::new(250);
    machine.seen = Seen::adopted(machine.boot_ns, machine.monotonic_ns);
    machine.receive_garbage();
    machine.wait(70_000);
    machine.expect("adopted", 70, 70);
}

#[test]
fn tracked_packets_show_when_garbage_came() {
    for mut machine in machines() {
        machine.wait(50_000);
        machine.scan();
        machine.wait(20_000);
        machine.receive_garbage();
        machine.socket.packet_received = machine.ticks();
        machine.wait(10_000);
        machine.expect("tracked", 10, 80);
        machine.wait(10_000);
        machine.expect("and remembered", 20, 90);
    }
}
