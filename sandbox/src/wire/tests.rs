use std::time::Duration;

use engine::script::lanes::Lane;
use engine::script::tree::Tree;
use engine::script::{Failure, FailureKind, ScriptKind};
use serde_json::json;

use super::*;

fn body(write: impl FnOnce(&mut codec::Writer<'_>)) -> Vec<u8> {
    let mut buffer = Vec::new();
    frame(&mut buffer, write).unwrap();
    assert_eq!(frame_length(*buffer.first_chunk().unwrap()), Ok(buffer.len() - 4));
    buffer.split_off(4)
}

#[track_caller]
fn round_trip(message: FromWorker) {
    let bytes = body(|to| message.write(to));
    assert_eq!(FromWorker::read(&bytes), Ok(message));
    for length in 0..bytes.len() {
        assert!(FromWorker::read(&bytes[..length]).is_err(), "cut at {length}");
    }
}

fn failure() -> Failure {
    Failure { kind: FailureKind::Type, script: "staff".into(), message: "no".into(), line: Some(3), column: None }
}

#[test]
fn what_a_worker_says_survives_the_wire() {
    round_trip(FromWorker::Hello(Hello { thread: 12, layers: 5 }));
    round_trip(FromWorker::OutOfMemory);
    round_trip(FromWorker::Admission(Err(failure())));
    round_trip(FromWorker::Admission(Ok(Tree { body: Vec::new() })));
    for result in [Ok(json!(true)), Ok(json!(["10.0.0.1"])), Err(failure())] {
        round_trip(FromWorker::Answer(Answer {
            result,
            output: "one\n".into(),
            duration: Duration::from_micros(17),
            instructions: 99,
            lane: Lane::Warm,
            claims_read: vec!["*".into()],
            cpu: Duration::from_millis(3),
            retire: true,
        }));
    }
}

#[test]
fn what_a_worker_is_asked_survives_the_wire() {
    let script = WireScript { name: "staff", kind: ScriptKind::Criteria, source: "return true;", secret: true };
    let limits = Limits { instructions: 7, memory: 8, java_members: true };
    for message in [
        ToWorker::Admit(AdmitRequest { limits, script }),
        ToWorker::Batch(BatchRequest {
            limits,
            serial: 9,
            lane: WireLane::Warm,
            now_ms: -5,
            claims: b"{}",
            criteria: vec![script],
            scripts: vec![script, script],
        }),
    ] {
        let bytes = body(|to| message.write(to));
        assert_eq!(ToWorker::read(&bytes), Ok(message.clone()));
        for length in 0..bytes.len() {
            assert!(ToWorker::read(&bytes[..length]).is_err(), "cut at {length}");
        }
    }
}

#[test]
fn a_length_that_lies_is_malformed() {
    assert!(frame_length(u32::MAX.to_le_bytes()).is_err());
    assert!(FromWorker::read(&[12, 2, 255, 255, 255, 255]).is_err());
    assert_eq!(FromWorker::read(&FromWorker::OUT_OF_MEMORY_FRAME[4..]), Ok(FromWorker::OutOfMemory));
}

#[test]
fn progress_is_read_back_and_half_a_record_is_none() {
    let progress = Progress { serial: 7, index: 3, cpu: Duration::from_nanos(99), began_ns: u64::MAX };
    let mut bytes = progress.to_bytes();
    assert_eq!(Progress::from_bytes(&bytes), Some(progress));
    bytes[0] ^= 1;
    assert_eq!(Progress::from_bytes(&bytes), None);
}
