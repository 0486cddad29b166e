//! Ticks that wrap, stamps that do not move, and time in suspension.

use proptest::prelude::*;

use super::*;

/// As the kernel has it, in ticks of 32 bits.
#[test]
fn the_kernels_own_clock() {
    for mut machine in machines() {
        machine.wait(9000);
        machine.receive_ack();
        machine.wait(4000);
        machine.receive_data();
        machine.sleep(100_000);
        machine.wait(5000);
        machine.receive_probe();
        let unheard_ms = machine.scan().unheard_ms;
        assert!((4990..=5010).contains(&unheard_ms), "{unheard_ms} ms at {} Hz", machine.rate);
    }
}

/// For how long stamps are unambiguous, in seconds.
fn wrap_s(rate: u32) -> u64 {
    (u64::from(u32::MAX) + 1) * tick_ns(rate) / SECOND
}

#[test]
fn a_stamp_that_has_not_moved_is_no_later_activity() {
    for mut machine in machines() {
        machine.receive_data();
        let mut elapsed_s = 0;
        while elapsed_s < 3 * wrap_s(machine.rate) {
            machine.wait(DAY * 1000);
            elapsed_s += DAY;
            machine.expect("not moved", elapsed_s, elapsed_s);
        }
    }
}

/// Around the moment at which a stamp has wrapped, a scan a second.
#[test]
fn a_wrap_goes_unnoticed() {
    for mut machine in machines() {
        machine.receive_data();
        let wrap_s = wrap_s(machine.rate);
        machine.wait((wrap_s / 2) * 1000);
        machine.scan();
        machine.wait((wrap_s - wrap_s / 2 - 400) * 1000);
        machine.receive_ack();
        for second in 0..800 {
            machine.expect("the wrap is near", second, wrap_s - 400 + second);
            machine.wait(1000);
        }
    }
}

/// Answers to probes move one stamp while the others wrap.
#[test]
fn one_stamp_wraps_while_others_move() {
    for mut machine in machines() {
        machine.receive_probe();
        let mut elapsed_s = 0;
        while elapsed_s < wrap_s(machine.rate) + 2 * DAY {
            machine.wait(240_000);
            machine.receive_ack();
            machine.wait(61_000);
            elapsed_s += 301;
            machine.expect("probes are answered", 61, elapsed_s);
        }
    }
}

#[test]
fn time_in_suspension_counts() {
    for mut machine in machines() {
        machine.receive_data();
        machine.wait(2000);
        machine.expect("awake", 2, 2);
        machine.sleep(100_000);
        machine.expect("slept", 102, 102);
        machine.wait(3000);
        machine.expect("the next scan", 105, 105);
        machine.receive_ack();
        machine.wait(1000);
        machine.expect("heard again", 1, 106);
        machine.sleep(50_000);
        machine.wait(1000);
        machine.expect("slept again", 52, 157);
        machine.send_acknowledged();
        machine.expect("recovered", 0, 0);
    }
}

/// What moved since the last scan may have moved before the suspension.
#[test]
fn a_doubt_makes_the_idle_time_longer() {
    for mut machine in machines() {
        machine.wait(10_000);
        machine.scan();
        machine.wait(2000);
        machine.send_acknowledged();
        machine.wait(1000);
        machine.sleep(100_000);
        machine.wait(1000);
        machine.expect("before it", 102, 102);
        machine.receive_data();
        machine.wait(1000);
        machine.sleep(7000);
        machine.receive_data();
        machine.wait(500);
        let idle = machine.scan();
        // Not further back than the last scan.
        assert!((7500..=9300).contains(&idle.wire_ms), "{idle:?}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Wait(u64),
    Sleep(u64),
    Data,
    Ack,
    Probe,
    Garbage,
    Send,
    Scan,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u64..2_000_000).prop_map(Step::Wait),
        1 => (1_000_000_u64..20 * DAY * 1000).prop_map(Step::Wait),
        1 => (1000_u64..10_000_000).prop_map(Step::Sleep),
        1 => Just(Step::Data),
        2 => Just(Step::Ack),
        1 => Just(Step::Probe),
        1 => Just(Step::Garbage),
        1 => Just(Step::Send),
        6 => Just(Step::Scan),
    ]
}

proptest! {
    /// Whatever happens and whenever scans run: never too short, and too long by no more than what can't be known.
    #[test]
    fn never_too_short(rate in prop::sample::select(&RATES[..]), steps in proptest::collection::vec(any_step(), 1..60)) {
        let mut machine = Machine::new(rate);
        let (mut heard_ns, mut payload_ns, mut scanned_ns) = (machine.opened_ns, machine.opened_ns, machine.opened_ns);
        let mut is_certain = true;
        for step in steps {
            // A scan runs before a stamp can wrap twice.
            if machine.boot_ns - scanned_ns > wrap_s(rate) / 2 * SECOND {
                machine.scan();
                (scanned_ns, is_certain) = (machine.boot_ns, false);
            }
            match step {
                Step::Wait(ms) => machine.wait(ms),
                Step::Sleep(ms) => {
                    // Moments differ by a unit at least.
                    machine.wait(600);
                    machine.sleep(ms);
                    is_certain = false;
                }
                Step::Data => machine.receive_data(),
                Step::Ack => machine.receive_ack(),
                Step::Probe => machine.receive_probe(),
                Step::Garbage => {
                    machine.receive_garbage();
                    is_certain = false;
                }
                Step::Send => machine.send_acknowledged(),
                Step::Scan => {
                    let idle = machine.scan();
                    let (wire_ns, application_ns) = (machine.boot_ns - heard_ns, machine.boot_ns - payload_ns);
                    // A tick at either end, and what is cut off below a millisecond.
                    prop_assert!(idle.wire_ms + 21 >= wire_ns / 1_000_000, "{idle:?} {wire_ns}");
                    prop_assert!(idle.application_ms + 21 >= application_ns / 1_000_000, "{idle:?} {application_ns}");
                    if is_certain {
                        prop_assert!(idle.wire_ms <= wire_ns / 1_000_000 + 21, "{idle:?} {wire_ns}");
                        prop_assert!(idle.application_ms <= application_ns / 1_000_000 + 21, "{idle:?} {application_ns}");
                    }
                    scanned_ns = machine.boot_ns;
                }
            }
            if matches!(step, Step::Data | Step::Ack | Step::Probe | Step::Garbage | Step::Send) {
                heard_ns = machine.boot_ns;
            }
            if matches!(step, Step::Data | Step::Send) {
                payload_ns = machine.boot_ns;
            }
        }
    }
}
