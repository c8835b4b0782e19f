//! What to do about each code a user can meet. One table, so that no answer is left without a next step.
//!
//! A refusal's own text says what happened; it comes from whoever refused. What this computer's user does next, and what
//! the client does by itself meanwhile, is known here.

/// What to do about a code; [`UNKNOWN`] for one that a newer controller or gateway made up.
pub fn advice(code: &str) -> &'static str {
    of_client(code).or_else(|| of_session(code)).or_else(|| of_controller(code)).or_else(|| of_flow(code)).unwrap_or(
        match code.split('.').next() {
            Some("token" | "certificate") => RENEWS,
            Some("authority" | "store" | "device-script") => TRIES_AGAIN,
            Some(_) | None => UNKNOWN,
        },
    )
}

/// What the client itself says.
fn of_client(code: &str) -> Option<&'static str> {
    Some(match code {
        "client.unreachable" | "client.gateway-away" => {
            "wait, the client keeps trying; if it lasts, check your network, then tell your administrator"
        }
        "client.wrong-authority" => "do not sign in elsewhere; ask your administrator whether your profile is current",
        "client.clock" => "set this computer's date and time; the client goes on by itself",
        "client.protocol" => "update the client",
        "client.nothing-granted" => {
            "ask your administrator which policy should give you access; the client asks again every few minutes, and at \
             once after `portcullis client renew`"
        }
        "client.must-sign-in" => {
            "give your password where the client runs; `portcullis client renew` makes it ask again, and one that has \
             nobody to ask is started again"
        }
        "client.signing-in" => "wait until the sign-in is done",
        "client.nothing-asked" | "client.no-code-asked" => "see `portcullis client status` for what is asked now",
        "client.renewal-failed" => TRIES_AGAIN,
        "client.ended" | "client.not-running" => "start the client again",
        "client.already-running" => "stop the other client, or choose another data directory",
        "client.key" | "client.certificate" => "start the client again; tell your administrator if it stays",
        "client.data-dir" | "client.device-id" => "see that the data directory belongs to you and can be written",
        "client.listen" => "choose another local port",
        "client.control-socket" | "client.control-answer" => "see that the data directory is the running client's",
        "client.control-stranger" => {
            "use the data directory of your own client; if it is, tell your administrator at once"
        }
        _ => return None,
    })
}

/// Why a gateway does not take a session in, or ended it.
fn of_session(code: &str) -> Option<&'static str> {
    Some(match code {
        "session.expired" | "session.revoked" | "session.ended" => RENEWS,
        "session.signed-out" => "sign in again when you need access",
        "session.disconnected" | "session.shutdown" => "nothing; the client reconnects by itself",
        "session.replaced" => "nothing, if it was you who connected again; otherwise tell your administrator at once",
        "session.controller-lost" | "gateway.no-controller" => {
            "wait, the client keeps trying; the gateway takes you in again when it hears its controller"
        }
        "config.behind" | "config.none" => "wait a moment; the client tries again by itself",
        "gateway.full" => "wait, the client keeps trying; tell your administrator if it lasts",
        "control.open" | "control.malformed" => "update the client",
        _ => return None,
    })
}

/// Why a controller says no.
fn of_controller(code: &str) -> Option<&'static str> {
    Some(match code {
        "sign-in.failed" => "check user name and password; after too many attempts wait a minute",
        "sign-in.locked" => "wait a minute, then try again",
        "sign-in.busy" | "controller.busy" => {
            "wait a moment, then do it again; what the client does by itself, it tries again by itself"
        }
        "sign-in.unavailable" | "controller.unavailable" => TRIES_AGAIN,
        "sign-in.over" => "sign in again",
        "sign-in.user-gone" => "ask your administrator why your account was disabled or removed",
        "sign-in.device-limit" => "ask your administrator to remove one of your devices",
        "device-claims.too-large" => "ask your administrator to shorten what device scripts print",
        "remedy.wrong-password" => "answer again; after too many attempts wait a minute",
        "remedy.wrong-code" => {
            "wait until your app shows the next code and give that; after too many wrong ones wait a minute, and longer each \
             time; see that your phone's clock is right"
        }
        "remedy.used-code" => "wait until your app shows the next code and give that",
        "remedy.bad-code" => "give the six digits that your app shows",
        "remedy.not-enrolled" => "set up your app: `portcullis client answer` without a code shows what to scan",
        "remedy.codes-locked" => "ask your administrator to delete your one-time codes, then set up your app again",
        "remedy.bad-reason" => "give a reason of one line",
        "remedy.not-asked" => "try the connection again, and answer what is asked then",
        "remedy.other-provider" => "ask your administrator, who can change what the condition asks for",
        _ => return None,
    })
}

/// Why a connection was refused, ended or is held.
fn of_flow(code: &str) -> Option<&'static str> {
    Some(match code {
        "flow.no-rule" => "see the entitlements in `portcullis client status`; ask your administrator if you need more",
        "flow.blocked" | "flow.alerted" | "flow.no-conditions" | "flow.guarded" => "ask your administrator",
        "flow.condition-false" | "flow.hold-timed-out" => {
            "do what the condition asks for, see `portcullis client status`, and connect again"
        }
        "flow.condition-failed" | "flow.no-answer" => "connect again in a moment; tell your administrator if it stays",
        "flow.too-many" => "close connections you do not need",
        "flow.session-ended" => RENEWS,
        "flow.ended" => "connect again",
        "flow.host" => "correct the host name or address",
        "flow.protocol" => "this kind of traffic cannot be carried; ask your administrator for another way",
        "upstream.no-answer" | "upstream.refused" => "check that the service is running, and its port",
        "upstream.unreachable" => "connect again in a moment; tell your administrator if it stays",
        "name.unknown" => "check the spelling of the host name",
        "name.no-answer" | "name.servers-failed" => "connect again in a moment; tell your administrator if it stays",
        "name.too-many" => "ask your administrator, who can put fewer names or whole networks into entitlements",
        _ => return None,
    })
}

/// Tokens that are spent: the client sees to it.
const RENEWS: &str =
    "nothing; the client asks the controller for new access, and you for your password where that is needed";

const TRIES_AGAIN: &str = "wait, the client tries again by itself; tell your administrator if it lasts";

const UNKNOWN: &str = "try again in a moment; tell your administrator the code if it stays";

#[cfg(test)]
mod tests {
    use engine::{
        script::{Failure, FailureKind},
        session::{Denial, EndReason, Hold},
    };

    use super::*;

    #[test]
    fn every_code_a_user_can_meet_has_a_next_step() {
        let codes = [
            "client.unreachable client.gateway-away client.wrong-authority client.clock client.protocol client.listen",
            "client.nothing-granted client.must-sign-in client.signing-in client.nothing-asked client.renewal-failed",
            "client.ended client.not-running client.already-running client.key client.certificate client.data-dir",
            "client.device-id client.control-socket client.control-answer control.malformed control.open",
            "token.refused token.mismatch config.behind config.none gateway.no-controller gateway.full session.ended",
            "sign-in.failed sign-in.locked sign-in.busy sign-in.unavailable sign-in.over sign-in.user-gone",
            "sign-in.device-limit controller.busy controller.unavailable certificate.request",
            "certificate.session-required device-claims.too-large device-script.gone device-script.too-large",
            "remedy.wrong-password remedy.bad-reason remedy.not-asked remedy.other-provider remedy.wrong-code",
            "remedy.used-code remedy.bad-code remedy.not-enrolled remedy.codes-locked client.no-code-asked",
            "client.control-stranger",
            "flow.ended flow.guarded flow.host flow.protocol upstream.no-answer upstream.refused",
            "upstream.unreachable name.unknown name.no-answer name.servers-failed name.too-many",
        ];
        for code in codes.iter().flat_map(|line| line.split(' ')) {
            check(code);
        }
        assert_eq!(advice("made.up"), UNKNOWN);
    }

    #[test]
    fn every_end_of_a_session_and_every_denial_has_one() {
        let reason = || "left".to_owned();
        for end in [
            EndReason::Expired,
            EndReason::Revoked { reason: reason() },
            EndReason::SignedOut,
            EndReason::Disconnected,
            EndReason::Replaced,
            EndReason::ControllerLost,
            EndReason::Shutdown,
        ] {
            check(end.code());
        }
        let (rule, condition) = (|| "rule".into(), || "condition".into());
        let hold = || Hold { rule: rule(), entitlement: "entitlement".into(), condition: condition() };
        let failure = Failure {
            kind: FailureKind::Timeout,
            script: "condition".to_owned(),
            message: String::new(),
            line: None,
            column: None,
        };
        for denial in [
            Denial::NoRule,
            Denial::Blocked { rule: rule() },
            Denial::Alerted { rule: rule() },
            Denial::NoConditions { rule: rule() },
            Denial::ConditionFalse(hold()),
            Denial::HoldTimedOut(hold()),
            Denial::ConditionFailed { rule: rule(), condition: condition(), failure },
            Denial::NoAnswer,
            Denial::TooManyFlows,
            Denial::SessionEnded,
        ] {
            check(denial.code());
        }
    }

    #[track_caller]
    fn check(code: &str) {
        assert_ne!(advice(code), UNKNOWN, "{code}");
    }
}
