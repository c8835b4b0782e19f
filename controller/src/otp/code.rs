//! Time-based one-time codes ([RFC 6238]) of six digits: HMAC-SHA-1 over the number of the 30 s step.
//!
//! [RFC 6238]: https://www.rfc-editor.org/rfc/rfc6238 "TOTP: Time-Based One-Time Password Algorithm"

use ring::hmac;
use time::OffsetDateTime;

/// A code as a user gave it. Has no `Debug`.
#[derive(Clone, Copy)]
pub(crate) struct Code(u32);

impl Code {
    /// Reads six digits; spaces, which apps show between them, are left out.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|character| !character.is_whitespace()).take(DIGITS + 1).collect();
        let fits = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| digits.parse().ok()).flatten().map(Self)
    }

    /// The newest step around `now` that this is the code of. Every step is computed and compared, whichever fits.
    pub(crate) fn newest_step(self, secret: &[u8], now: OffsetDateTime) -> Option<u64> {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
        let current = u64::try_from(now.unix_timestamp()).ok()? / STEP_SECS;
        // Numbers are compared as a whole, so the time tells nothing about single digits.
        let steps = current.saturating_sub(SKEW)..=current.saturating_add(SKEW);
        steps.fold(None, |newest, step| if code_at(&key, step) == self.0 { Some(step) } else { newest })
    }
}

fn code_at(key: &hmac::Key, step: u64) -> u32 {
    let tag = hmac::sign(key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let offset = bytes.last().map_or(0, |last| usize::from(last & 0x0f));
    let chosen = bytes.iter().skip(offset).take(4).fold(0, |number: u32, byte| (number << 8) | u32::from(*byte));
    (chosen & 0x7fff_ffff) % 10_u32.pow(DIGITS as u32)
}

const DIGITS: usize = 6;

/// Length of a step.
const STEP_SECS: u64 = 30;

/// Steps before and after the current one whose codes are taken: clocks differ, and people type.
const SKEW: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_rfc() {
        // Appendix B of RFC 6238, the last six of its eight digits.
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"12345678901234567890");
        for (seconds, code) in [
            (59, 287_082),
            (1_111_111_109, 81_804),
            (1_111_111_111, 50_471),
            (1_234_567_890, 5_924),
            (2_000_000_000, 279_037),
            (20_000_000_000, 353_130),
        ] {
            assert_eq!(code_at(&key, seconds / STEP_SECS), code, "{seconds}");
        }
    }

    #[test]
    fn a_code_is_six_digits() {
        for text in ["287082", " 287 082\n"] {
            assert!(Code::parse(text).is_some_and(|code| code.0 == 287_082), "{text}");
        }
        for text in ["", "28708", "2870820", "28708x", "+28708", "٢٨٧٠٨٢", "287082287082"] {
            assert!(Code::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_code_is_good_one_step_early_and_one_late() {
        let secret = b"12345678901234567890";
        let code = Code::parse("287082").unwrap();
        let step = |seconds| code.newest_step(secret, OffsetDateTime::from_unix_timestamp(seconds).unwrap());
        let found = [-1, 0, 29, 30, 59, 60, 89, 90].map(step);
        assert_eq!(found, [None, Some(1), Some(1), Some(1), Some(1), Some(1), Some(1), None]);
    }
}
