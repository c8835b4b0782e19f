//! Asking conditions: those that are answered on the spot together, every other one by itself, so that a slow script keeps no
//! other condition waiting.

use std::{future::poll_fn, sync::Arc, task::Poll};

use engine::{
    id::ConditionId,
    session::{Answered, RunId},
};

use sandbox::Urgency;

use super::{Inner, LiveSession};

impl LiveSession {
    /// Asks conditions; each answer comes back under its run. The engine says what one that was overtaken counts for.
    pub(super) fn evaluate(self: &Arc<Self>, inner: &mut Inner, asked: Vec<(ConditionId, RunId)>) {
        let urgency = std::mem::take(&mut inner.urgency);
        if asked.is_empty() {
            return;
        }
        let (session, claims) = (self.clone(), inner.claims.clone());
        let asking = self.gateway.scripts.asking();
        tokio::spawn(async move {
            let mut answers = Vec::with_capacity(asked.len());
            for (condition, run) in asked {
                let (asks, claims) = (session.clone(), claims.clone());
                let mut question =
                    Box::pin(async move { (condition, run, asks.ask(condition, claims, urgency).await) });
                match poll_fn(|context| Poll::Ready(question.as_mut().poll(context))).await {
                    Poll::Ready(answer) => answers.push(answer),
                    Poll::Pending => {
                        let session = session.clone();
                        let waiting = (urgency == Urgency::Background).then(|| session.gateway.scripts.waiting());
                        tokio::spawn(async move {
                            session.take_answers(vec![question.await]);
                            drop(waiting);
                        });
                    }
                }
            }
            session.take_answers(answers);
            drop(asking);
        });
    }

    fn take_answers(self: &Arc<Self>, answers: Vec<(ConditionId, RunId, Answered)>) {
        if answers.is_empty() {
            return;
        }
        self.act(|inner, now| {
            let answers = answers.into_iter();
            let effects = answers.flat_map(|(id, run, answer)| inner.session.handle_answer(id, run, answer, now));
            ((), effects.collect())
        });
        self.retime();
    }
}
