//! The life of a session after sign-in: when tokens are renewed, when the user is asked again, when it ends.
//!
//! Running flows survive everything here but their gateway's "no". A renewal presents new tokens on the connections there
//! are. Signing in again makes new connections beside the old ones, which end with their last flow.

use std::{sync::Arc, time::Duration};

use engine::id::DeviceId;
use protocol::message::Refusal;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::Instant,
};
use zeroize::Zeroizing;

use crate::{
    dial::Backoff,
    err::ClientError,
    event::{ClientEvent, PasswordRequest},
    hub::{Answer, Command, Hub},
    link::{Grant, LinkHandle},
    session::{Due, Session, Setback, ends_sign_in, timestamp},
    status::{SiteState, SiteStatus, State},
    survey::{Changes, Survey},
};

/// Runs one session.
pub(crate) struct Manager {
    hub: Arc<Hub>,
    device: DeviceId,
    session: Session,
    links: Vec<LinkHandle>,
    retired: Vec<LinkHandle>,
    tasks: JoinSet<()>,
    /// Takes the password the user was asked for.
    password: Option<oneshot::Receiver<Zeroizing<String>>>,
    must_sign_in: bool,
    /// Asks for the password again at this time, when signing in failed for a passing reason.
    ask_again: Option<Instant>,
    wanted: bool,
    not_before: Instant,
    /// When the device is looked at again.
    next_survey: Instant,
    /// The look that is being taken, if one is.
    survey: JoinSet<Survey>,
    changes: Changes,
    backoff: Backoff,
}

/// What made the manager stop.
pub(crate) struct SignOut(pub(crate) oneshot::Sender<()>);

impl Manager {
    pub(crate) fn new(hub: Arc<Hub>, device: DeviceId, session: Session) -> Self {
        let now = Instant::now();
        let interval = session.surveyor().interval();
        let changes = Changes::new(session.reported().clone(), interval * RESTLESS_INTERVALS);
        Self {
            hub,
            device,
            session,
            links: Vec::new(),
            retired: Vec::new(),
            tasks: JoinSet::new(),
            password: None,
            must_sign_in: false,
            ask_again: None,
            wanted: false,
            not_before: now,
            next_survey: now + interval,
            survey: JoinSet::new(),
            changes,
            backoff: Backoff::new(Duration::from_secs(5), Duration::from_secs(60)),
        }
    }

    /// Keeps the session alive until the user signs out.
    pub(crate) async fn run(&mut self, commands: &mut mpsc::Receiver<Command>) -> Option<SignOut> {
        self.announce_sign_in();
        loop {
            let pause = self.next_look();
            tokio::select! {
                command = commands.recv() => match command? {
                    Command::Renew(reply) => self.renew_for_user(reply).await,
                    Command::SiteEnded => self.wanted = true,
                    Command::EndAnnounced { at, sign_in, reason } => self.announce_end(at, sign_in, reason),
                    Command::Answer(answer, reply) => {
                        let outcome = self.answer(&answer).await;
                        // Whoever answered may have left.
                        let _ = reply.send(outcome);
                    }
                    Command::SignOut(done) => return Some(SignOut(done)),
                },
                answer = answered(&mut self.password) => self.take_password(answer).await,
                () = tokio::time::sleep(pause) => {}
                Some(found) = self.survey.join_next() => self.take_survey(found.ok()),
                Some(_) = self.tasks.join_next() => self.retired.retain(|link| !link.is_over()),
            }
            self.look().await;
        }
    }

    /// Ends all connections and, when the user wants it, the session at the controller.
    pub(crate) async fn stop(mut self, sign_out: bool) {
        for link in self.links.iter().chain(&self.retired) {
            link.stop();
        }
        self.hub.set_links(Vec::new());
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP, ended).await.is_err() {
            tracing::debug!("Gateway connections did not end in time");
        }
        if sign_out {
            if let Err(error) = self.session.sign_out(&self.hub).await {
                tracing::warn!(%error, code = error.code(), "Controller could not be told of the sign-out");
            }
            self.hub.tell(ClientEvent::SignedOut);
        }
        self.hub.board.update(|status| status.state = State::Ended);
    }

    /// Does what is due by the clock or by an earlier event.
    async fn look(&mut self) {
        if self.must_sign_in {
            if self.ask_again.is_some_and(|at| at <= Instant::now()) {
                self.ask_password("the last attempt did not get through".to_owned());
            }
            return;
        }
        if self.next_survey <= Instant::now() {
            self.next_survey = Instant::now() + self.session.surveyor().interval();
            if self.survey.is_empty() {
                let surveyor = self.session.surveyor().clone();
                self.survey.spawn(async move { surveyor.survey().await });
            }
        }
        match self.session.due() {
            Due::SignIn(at) if at <= OffsetDateTime::now_utc() => {
                return self.ask_password("your sign-in has reached its longest life".to_owned());
            }
            Due::Renew(at) if at <= OffsetDateTime::now_utc() => self.wanted = true,
            Due::SignIn(_) | Due::Renew(_) => {}
        }
        if self.wanted && self.not_before <= Instant::now() {
            // Whoever waits for the outcome asked by a command.
            let _ = self.renew().await;
        }
    }

    /// How long there is nothing to do. Bounded, because the wall clock jumps and laptops sleep.
    fn next_look(&self) -> Duration {
        let until = |at: Instant| at.saturating_duration_since(Instant::now());
        if self.must_sign_in {
            return self.ask_again.map_or(LONGEST_SLEEP, until).min(LONGEST_SLEEP);
        }
        let (Due::Renew(due) | Due::SignIn(due)) = self.session.due();
        let due = Duration::try_from(due - OffsetDateTime::now_utc()).unwrap_or(Duration::ZERO);
        let renewal = if self.wanted { until(self.not_before) } else { due.max(until(self.not_before)) };
        renewal.min(until(self.next_survey)).min(LONGEST_SLEEP)
    }

    /// Compares what was found with what was reported. Without an answer to the list of now, the next look tells.
    fn take_survey(&mut self, found: Option<Survey>) {
        let Some(claims) = found.and_then(|found| self.session.take_survey(&self.hub, found)) else { return };
        for claim in self.changes.note(&claims) {
            tracing::warn!(claim, "Device claim changes nearly every time and is reported only now and then");
            self.hub.tell(ClientEvent::DeviceClaimRestless { claim });
        }
        let incomplete = !self.session.surveyor().missing().is_empty();
        self.wanted |= self.changes.wants_renewal(self.session.reported(), incomplete, Instant::now());
        self.publish_device();
    }

    fn publish_device(&self) {
        let rows = self.session.found().rows.iter().cloned();
        let rows = rows.map(|mut row| {
            row.restless = self.changes.is_restless(&row.claim);
            row
        });
        let rows = rows.collect();
        self.hub.board.update(|status| status.device_claims = rows);
    }

    async fn renew_for_user(&mut self, reply: Option<oneshot::Sender<Result<(), Refusal>>>) {
        let outcome = if self.must_sign_in {
            self.ask_password("you asked to renew".to_owned());
            Err(refusal(
                "client.must-sign-in",
                "you must sign in again; the running client asks for the password".to_owned(),
            ))
        } else {
            self.renew().await
        };
        if let Some(reply) = reply {
            // Whoever asked may have left.
            let _ = reply.send(outcome);
        }
    }

    /// Sends the user's answer to a controller and shows what came of it to the gateways.
    async fn answer(&mut self, answer: &Answer) -> Result<(), Refusal> {
        let status = self.hub.board.snapshot();
        let Some(offer) = status.unmet(&answer.condition).and_then(|unmet| unmet.next(answer.number)) else {
            return Err(refusal(
                "client.nothing-asked",
                format!("`{}` asks for nothing now; `portcullis client status` shows what does", answer.condition),
            ));
        };
        if let Err(refused) = self.session.answer(&self.hub, offer, &answer.text).await {
            if ends_sign_in(&refused) {
                self.ask_password(refused.message.clone());
            }
            return Err(refused);
        }
        self.hub.board.update(|status| {
            let remedies =
                status.sites.iter_mut().flat_map(|site| &mut site.unmet).flat_map(|unmet| &mut unmet.remedies);
            remedies.filter(|remedy| remedy.offer == *offer).for_each(|remedy| remedy.answered = true);
        });
        self.publish();
        self.hub.tell(ClientEvent::RemedyAnswered { condition: answer.condition.clone() });
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), Refusal> {
        self.wanted = false;
        self.not_before = Instant::now() + RENEWAL_FLOOR;
        let outcome = self.session.renew(&self.hub).await;
        match outcome {
            Ok(()) => {
                self.backoff.reset();
                self.hub.board.update(|status| status.message = None);
                self.publish();
                self.hub.tell(ClientEvent::Renewed { until: rfc3339(self.session.valid_until()) });
                Ok(())
            }
            Err(Setback::SignIn(reason)) => {
                self.ask_password(reason.clone());
                Err(refusal("client.must-sign-in", reason))
            }
            Err(Setback::NothingGranted(message)) => {
                self.backoff.reset();
                self.publish();
                self.hub.board.update(|status| {
                    status.state = State::NothingGranted;
                    status.message = Some(message.clone());
                });
                self.hub.tell(ClientEvent::NothingGranted { message: message.clone() });
                Err(refusal("client.nothing-granted", message))
            }
            Err(Setback::Later { message, after }) => {
                self.wanted = true;
                self.not_before = Instant::now() + after.unwrap_or_else(|| self.backoff.pause());
                self.hub.board.update(|status| status.message = Some(message.clone()));
                self.hub.tell(ClientEvent::RenewalFailed { message: message.clone() });
                Err(refusal("client.renewal-failed", message))
            }
        }
    }

    fn announce_end(&mut self, at: i64, sign_in: bool, reason: String) {
        if self.must_sign_in {
            return;
        }
        self.hub.tell(ClientEvent::EndAnnounced { at: rfc3339(timestamp(at)), sign_in, reason: reason.clone() });
        if sign_in { self.ask_password(reason) } else { self.wanted = true }
    }

    /// Asks the user, unless a question is open already.
    fn ask_password(&mut self, reason: String) {
        self.must_sign_in = true;
        self.ask_again = None;
        self.hub.board.update(|status| {
            status.state = State::MustSignIn;
            status.message = Some(format!("you must sign in again: {reason}"));
        });
        if self.password.is_none() {
            let (request, receiver) = PasswordRequest::new();
            self.password = Some(receiver);
            self.hub.tell(ClientEvent::SignInNeeded { reason, request });
        }
    }

    async fn take_password(&mut self, answer: Option<Zeroizing<String>>) {
        self.password = None;
        let Some(password) = answer else { return };
        match Session::sign_in(&self.hub, self.device, password).await {
            Ok(session) => self.replace(session),
            Err(error) => {
                if let ClientError::Unreachable { .. } | ClientError::Busy { .. } = error {
                    self.ask_again = Some(Instant::now() + self.backoff.pause());
                }
                self.hub.board.update(|status| status.message = Some(error.to_string()));
                self.hub.tell(ClientEvent::SignInFailed { code: error.code().to_owned(), message: error.to_string() });
            }
        }
    }

    /// Goes on with a new session beside the old one's running flows.
    fn replace(&mut self, session: Session) {
        for link in &self.links {
            link.retire();
        }
        self.retired.append(&mut self.links);
        self.session = session;
        let floor = self.session.surveyor().interval() * RESTLESS_INTERVALS;
        self.changes = Changes::new(self.session.reported().clone(), floor);
        // What is being looked for belongs to the list of the old session.
        self.survey = JoinSet::new();
        self.must_sign_in = false;
        self.wanted = false;
        self.not_before = Instant::now() + RENEWAL_FLOOR;
        self.backoff.reset();
        self.hub.board.update(|status| status.sites.clear());
        self.announce_sign_in();
    }

    fn announce_sign_in(&mut self) {
        let name = self.session.name.to_string();
        self.hub.board.update(|status| {
            status.name = Some(name.clone());
            status.message = None;
        });
        self.hub.tell(ClientEvent::SignedIn { name, message_of_the_day: self.session.message_of_the_day.take() });
        self.publish();
        let sites = self.session.sites.iter().map(|(grant, _)| grant.name.clone()).collect();
        self.hub.tell(ClientEvent::Authorized { policies: self.session.policies.clone(), sites });
    }

    /// Gives every granted Site its tokens, starts new ones, stops those that are no longer granted.
    fn publish(&mut self) {
        self.publish_status();
        let (claims, device_claims) = self.session.presented();
        let granted = |link: &LinkHandle| self.session.sites.iter().any(|(grant, _)| grant.site == link.link.site);
        let (kept, dropped): (Vec<LinkHandle>, Vec<LinkHandle>) = self.links.drain(..).partition(granted);
        for link in &dropped {
            link.stop();
        }
        self.retired.extend(dropped);
        self.links = kept;
        for (site, _) in &self.session.sites {
            let grant = Grant {
                claims: claims.clone(),
                device_claims: device_claims.clone(),
                entitlement: site.entitlement.token.clone(),
                gateways: site.gateways.clone(),
            };
            match self.links.iter().find(|link| link.link.site == site.site) {
                Some(link) => link.serve(grant),
                None => {
                    let id = (site.site, site.name.clone());
                    self.links.push(LinkHandle::spawn(
                        &self.hub,
                        &mut self.tasks,
                        id,
                        self.session.gateway_tls.clone(),
                        grant,
                    ));
                }
            }
        }
        self.hub.set_links(self.links.iter().map(|link| link.link.clone()).collect());
    }

    fn publish_status(&self) {
        self.publish_device();
        let sites = &self.session.sites;
        self.hub.board.update(|status| {
            status.state = State::Connecting;
            status.tokens = self.session.token_status();
            status.policies.clone_from(&self.session.policies);
            status.sites.retain(|shown| sites.iter().any(|(grant, _)| grant.site == shown.id));
            for (grant, _) in sites {
                if !status.sites.iter().any(|shown| shown.id == grant.site) {
                    status.sites.push(SiteStatus {
                        id: grant.site,
                        name: grant.name.clone(),
                        state: SiteState::Connecting,
                        gateway: None,
                        entitlements: grant.entitlements.clone(),
                        shortcuts: Vec::new(),
                        unmet: Vec::new(),
                        message: None,
                    });
                }
            }
        });
    }
}

/// The user's answer, `None` when there is to be none; for ever pending when nothing was asked.
async fn answered(question: &mut Option<oneshot::Receiver<Zeroizing<String>>>) -> Option<Zeroizing<String>> {
    match question {
        Some(receiver) => receiver.await.ok(),
        None => std::future::pending().await,
    }
}

fn refusal(code: &str, message: String) -> Refusal {
    Refusal { code: code.to_owned(), message, retry_after_secs: None }
}

fn rfc3339(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_else(|_| at.unix_timestamp().to_string())
}

/// A claim that changes nearly every time is reported by itself only every so many looks.
const RESTLESS_INTERVALS: u32 = 6;

/// Renewals by themselves are at least this far apart, however many gateways ask for one.
const RENEWAL_FLOOR: Duration = Duration::from_secs(5);

const LONGEST_SLEEP: Duration = Duration::from_secs(30);

const STOP: Duration = Duration::from_secs(2);
