//! Numbers that the verifier can't foresee.
//!
//! The verifier follows every path through a program. Paths that join again count as one only where it knows the same
//! of their numbers, and it remembers each constant of an earlier decision: a dozen decisions in a row make thousands
//! of paths, and at a million instructions it gives up. Unknown numbers look alike to it.

/// Always 0. Not in `.rodata`, so to the verifier it may be any number.
#[cfg(target_arch = "bpf")]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss")]
static mut ZERO: u32 = 0;

#[cfg(target_arch = "bpf")]
#[inline(always)]
fn zero() -> u32 {
    // SAFETY: a valid static that is never written. Volatile, or the compiler would foresee it.
    unsafe { (&raw const ZERO).read_volatile() }
}

#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
const fn zero() -> u32 {
    0
}

/// What the verifier must not foresee.
pub trait Opaque: Sized {
    /// The same value.
    #[must_use]
    fn opaque(self) -> Self;
}

impl Opaque for u32 {
    #[inline(always)]
    fn opaque(self) -> Self {
        self ^ zero()
    }
}

impl Opaque for u8 {
    #[inline(always)]
    fn opaque(self) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "all of its bits are 0")]
        let zero = zero() as Self;
        self ^ zero
    }
}

impl Opaque for bool {
    #[inline(always)]
    fn opaque(self) -> Self {
        u32::from(self).opaque() != 0
    }
}
