//! What a controller asks gateways, and how it goes on when they do not answer.

use controller::questions::AskError;
use engine::id::ApplianceId;
use protocol::{
    frame::write_frame,
    message::{Asked, ControllerRequest, GatewayAnswer, Question, Refusal, Resolution, Told},
};

use crate::{
    gateway::Gate,
    harness::{House, PATIENCE, id_of, open, read},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_asked_on_the_stream_it_opened_and_answers_in_any_order() {
    let house = House::new().await;
    let mut gate = Gate::new(&house, "gate").await;
    gate.snapshot().await;
    let controller = house.running.controller.clone();
    let ask = |resource: &str| {
        let (controller, question) = (controller.clone(), Question::Resolve { resource: resource.to_owned() });
        async move { controller.questions.ask(ApplianceId::new(id_of("gate")), question).await }
    };
    assert_eq!(ask("early").await.err(), Some(AskError::NotConnected));
    let mut stream = open(&gate.carrier, &ControllerRequest::Questions).await;
    let patient = controller.clone();
    let first = tokio::spawn(async move {
        loop {
            let question = Question::Resolve { resource: "first".to_owned() };
            match patient.questions.ask(ApplianceId::new(id_of("gate")), question).await {
                Err(AskError::NotConnected) => tokio::task::yield_now().await,
                other => return other,
            }
        }
    });
    let one: Asked = read(&mut stream).await;
    let second = tokio::spawn(ask("second"));
    let two: Asked = read(&mut stream).await;
    assert_eq!(two.question, Question::Resolve { resource: "second".to_owned() });
    let answer = |text: &str| GatewayAnswer::Resolved(Resolution { addresses: vec![text.to_owned()], error: None });
    let resolved = |answer: Result<GatewayAnswer, AskError>| match answer {
        Ok(GatewayAnswer::Resolved(resolution)) => resolution.addresses.concat(),
        other => panic!("{other:?}"),
    };
    for (number, text) in [(999, "nobody's"), (two.number, "to the second"), (one.number, "to the first")] {
        write_frame(stream.send.as_mut(), &Told { number, answer: answer(text) }).await.unwrap();
    }
    assert_eq!(resolved(second.await.unwrap()), "to the second");
    assert_eq!(resolved(first.await.unwrap()), "to the first");

    let refused = tokio::spawn(ask("third"));
    let three: Asked = read(&mut stream).await;
    let refusal = Refusal { code: "question.timeout".into(), message: "no answer".into(), retry_after_secs: None };
    let told = Told { number: three.number, answer: GatewayAnswer::Refused(refusal) };
    write_frame(stream.send.as_mut(), &told).await.unwrap();
    assert_eq!(refused.await.unwrap().err(), Some(AskError::Refused("no answer".to_owned())));

    let silent = ask("fourth").await.err();
    assert_eq!(silent, Some(AskError::Silent));
    let lost = tokio::spawn(ask("fifth"));
    let _: Asked = read(&mut stream).await;
    let _: Asked = read(&mut stream).await;
    drop(stream);
    gate.carrier.close(0, "gone");
    assert_eq!(lost.await.unwrap().err(), Some(AskError::Lost));
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_gateway_is_not_asked() {
    let house = House::new().await;
    house.add_user("ana").await;
    let session = house.sign_in("ana").await;
    let _stream = open(&session.carrier, &ControllerRequest::Questions).await;
    tokio::time::timeout(PATIENCE, session.carrier.closed()).await.expect("the connection is closed");
    house.running.stop().await;
}
