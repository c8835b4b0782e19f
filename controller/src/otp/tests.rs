use engine::{id::IdentityProviderId, object::IdentityProviderType};
use ring::hmac;
use uuid::Uuid;

use super::*;

const NOW: i64 = 1_000_000_020;

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

fn seed(verified: bool) -> OtpSeed {
    let secret = Zeroizing::new(b"12345678901234567890".to_vec());
    let user = UserName::new("ana", "local");
    let shown = at(NOW);
    OtpSeed { user, secret, verified, shown, last_step: 0, failures: 0, locked_at: None, revision: None }
}

/// A provider that locks after three failures.
fn provider(lock: Duration) -> IdentityProvider {
    IdentityProvider {
        id: IdentityProviderId::new(Uuid::nil()),
        name: "local".to_owned(),
        provider_type: IdentityProviderType::LocalDatabase,
        admin_provider: false,
        lockout_threshold: 3,
        lockout_duration: lock,
        claim_mappings: Vec::new(),
        user_scripts: Vec::new(),
        on_demand: Vec::new(),
        device_limit: 1,
    }
}

/// The code of a moment, computed from the RFC once more.
fn code(seconds: i64) -> Code {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"12345678901234567890");
    let tag = hmac::sign(&key, &(seconds as u64 / 30).to_be_bytes());
    let offset = usize::from(tag.as_ref()[19] & 15);
    let number = u32::from_be_bytes(tag.as_ref()[offset..offset + 4].try_into().unwrap()) & 0x7fff_ffff;
    Code::parse(&format!("{:06}", number % 1_000_000)).unwrap()
}

/// A code that no step around now has.
fn wrong() -> Code {
    let mut guesses = (0..1000).map(|number| Code::parse(&format!("{number:06}")).unwrap());
    let secret = seed(true).secret;
    guesses.find(|guess| guess.newest_step(&secret, at(NOW)).is_none()).unwrap()
}

fn right(verdict: Verdict) -> (OtpSeed, bool) {
    let Verdict::Right { seed, enrolled } = verdict else { panic!("not right") };
    (seed, enrolled)
}

fn missed(verdict: Verdict) -> (OtpSeed, Option<Lock>) {
    let Verdict::Wrong { seed, lock } = verdict else { panic!("not wrong") };
    (seed, lock)
}

fn is_locked(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Locked { .. })
}

fn time(number: u32) -> Option<Lock> {
    Some(Lock::ForAWhile { number })
}

#[test]
fn a_code_is_taken_once_and_older_ones_no_more() {
    let provider = provider(Duration::from_secs(60));
    let (seed, enrolled) = right(judge(seed(false), code(NOW), &provider, at(NOW)));
    assert!(enrolled && seed.verified);
    for old in [NOW, NOW - 30] {
        assert!(matches!(judge(seed.clone(), code(old), &provider, at(NOW)), Verdict::Used));
    }
    let (seed, enrolled) = right(judge(seed, code(NOW + 30), &provider, at(NOW + 1)));
    assert!(!enrolled);
    assert!(matches!(judge(seed, code(NOW + 30), &provider, at(NOW + 40)), Verdict::Used));
}

#[test]
fn too_many_wrong_codes_lock_and_a_right_one_forgives() {
    let provider = provider(Duration::from_secs(120));
    let (seed, lock) = missed(judge(seed(true), wrong(), &provider, at(NOW)));
    assert_eq!(lock, None);
    let (seed, _) = right(judge(seed, code(NOW), &provider, at(NOW)));
    assert_eq!(seed.failures, 0);
    let (seed, _) = missed(judge(seed, wrong(), &provider, at(NOW)));
    let (seed, _) = missed(judge(seed, wrong(), &provider, at(NOW)));
    let (seed, lock) = missed(judge(seed, wrong(), &provider, at(NOW)));
    assert_eq!(lock, time(1));
    assert!(is_locked(judge(seed.clone(), code(NOW + 119), &provider, at(NOW + 119))));
    let (seed, _) = right(judge(seed, code(NOW + 120), &provider, at(NOW + 120)));
    assert_eq!((seed.failures, seed.locked_at), (0, None));
}

#[test]
fn a_provider_without_a_lock_locks_for_a_minute() {
    let provider = provider(Duration::ZERO);
    let seed = OtpSeed { failures: 2, ..seed(true) };
    let (seed, lock) = missed(judge(seed, wrong(), &provider, at(NOW)));
    assert_eq!(lock, time(1));
    assert!(is_locked(judge(seed, code(NOW + 59), &provider, at(NOW + 59))));
}

#[test]
fn a_threshold_for_passwords_is_not_one_for_codes() {
    for threshold in [0, 1, 4, 5, 6, 1000] {
        let provider = IdentityProvider { lockout_threshold: threshold, ..provider(Duration::ZERO) };
        let mut seed = seed(true);
        let mut wrong_ones = 0;
        loop {
            let (next, lock) = missed(judge(seed, wrong(), &provider, at(NOW)));
            (seed, wrong_ones) = (next, wrong_ones + 1);
            if lock.is_some() {
                break;
            }
        }
        assert_eq!(wrong_ones, threshold.clamp(1, 5), "{threshold}");
    }
}

/// Somebody guesses for as long as it takes, always as soon as a lock ends.
#[test]
fn whoever_guesses_on_waits_longer_and_in_the_end_for_good() {
    let provider = provider(Duration::from_secs(60));
    let (mut seed, mut now, mut waits, mut judged) = (seed(true), at(NOW), Vec::new(), 0);
    let wrong = wrong();
    loop {
        match judge(seed.clone(), wrong, &provider, now) {
            Verdict::Wrong { seed: next, lock } => {
                judged += 1;
                seed = next;
                if lock == Some(Lock::ForGood) {
                    break;
                }
                if let Some(Lock::ForAWhile { number }) = lock {
                    let length = lock_length(number, &provider);
                    assert!(is_locked(judge(seed.clone(), wrong, &provider, now + length - Duration::from_secs(1))));
                    waits.push(length.as_secs() / 60);
                    now += length;
                }
            }
            // One guess in 300,000 is right at some moment; a user whose code it is then is not guessed at.
            Verdict::Right { .. } | Verdict::Used => now += Duration::from_secs(30),
            Verdict::Locked { .. } | Verdict::EnrolmentOver => panic!("locked when it should not be"),
        }
    }
    assert_eq!(judged, MOST_FAILURES);
    assert_eq!(waits[..12], [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440]);
    assert!(waits[12..].iter().all(|wait| *wait == 1440) && waits.len() == 33);
    let years_later = NOW + 3_000_000_000;
    let verdict = judge(seed.clone(), code(years_later), &provider, at(years_later));
    assert!(matches!(verdict, Verdict::Locked { lock: Lock::ForGood, .. }), "not even the right one");
    let user = UserName::new("ana", "local");
    assert!(is_locked_for_good(&new_seed(&user, Some(seed), now).unwrap()), "another secret does not help");
    assert!(!is_locked_for_good(&new_seed(&user, None, now).unwrap()));
}

#[test]
fn a_lock_that_is_over_leaves_what_was_counted() {
    let provider = provider(Duration::from_secs(60));
    let seed = OtpSeed { failures: 3, locked_at: Some(at(NOW)), ..seed(true) };
    let later = at(NOW + 60);
    let wrong = (0..1000).map(|number| Code::parse(&format!("{number:06}")).unwrap());
    let mut wrong = wrong.filter(|guess| guess.newest_step(&seed.secret, later).is_none());
    let (seed, lock) = missed(judge(seed.clone(), wrong.next().unwrap(), &provider, later));
    assert_eq!((seed.failures, seed.locked_at, lock), (4, None, None));
    let (seed, _) = missed(judge(seed, wrong.next().unwrap(), &provider, later));
    let (seed, lock) = missed(judge(seed, wrong.next().unwrap(), &provider, later));
    assert_eq!((seed.failures, seed.locked_at, lock), (6, Some(later), time(2)));
    assert!(is_locked(judge(seed, code(NOW + 179), &provider, at(NOW + 179))), "twice as long");
}

#[test]
fn a_provider_whose_locks_are_longer_than_a_day_keeps_them() {
    let provider = provider(Duration::from_secs(48 * 60 * 60));
    assert_eq!(lock_length(1, &provider), lock_length(40, &provider));
    assert_eq!(lock_length(40, &provider), Duration::from_secs(48 * 60 * 60));
}

#[test]
fn a_secret_shown_long_ago_cannot_be_confirmed() {
    let provider = provider(Duration::from_secs(60));
    let late = NOW + 600;
    assert!(matches!(judge(seed(false), code(late), &provider, at(late)), Verdict::EnrolmentOver));
    right(judge(seed(false), code(late - 1), &provider, at(late - 1)));
    right(judge(seed(true), code(late), &provider, at(late)));
}

#[test]
fn a_new_seed_is_another_secret_and_keeps_what_was_counted() {
    let user = UserName::new("ana", "local");
    let first = new_seed(&user, None, at(NOW)).unwrap();
    assert_eq!((first.secret.len(), first.verified, first.failures), (20, false, 0));
    let revision = Some(Uuid::from_u128(7));
    let old = OtpSeed { failures: 3, locked_at: Some(at(NOW)), revision, ..first.clone() };
    let second = new_seed(&user, Some(old), at(NOW)).unwrap();
    assert_ne!(*second.secret, *first.secret);
    assert_eq!((second.failures, second.locked_at, second.revision), (3, Some(at(NOW)), revision));
}

#[test]
fn the_uri_is_what_apps_read() {
    let user = UserName::new("ana b/ç?", "Über&dir");
    let seed = OtpSeed { user, ..seed(false) };
    let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    let label = "ana%20b%2F%C3%A7%3F@%C3%9Cber%26dir@c.example.com";
    assert_eq!(*uri(&seed, "c.example.com"), format!("otpauth://totp/{label}?secret={secret}&issuer=Portcullis"));
}
