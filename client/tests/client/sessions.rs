//! Sign-in, renewal, loss and end of sessions.

use std::os::unix::fs::PermissionsExt as _;

use client::{ClientEvent, Ended, State};
use protocol::{
    message::{ControlDown, Remedies, Shortcut, close_code},
    tls::AuthorityPin,
};
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::{
    gateway::{ECHO, STREAMING},
    user::{User, drain, echo},
    world::{PASSWORD, World, refusal},
};

/// A user that is not the one who runs the tests.
const NOBODY: u32 = 65_534;

#[tokio::test]
async fn signing_in_reports_the_device_and_presents_every_token() {
    let world = World::start(&[1]);
    let mut user = User::start(&world, 1, |_| ()).await;
    world.logged("authenticate ana", 1).await;
    world.logged("report \"linux\" Session(", 1).await;
    world.logged("authorize device-token", 1).await;
    world.logged("present first site-1-token", 1).await;
    let status = user.status().await;
    assert_eq!(status.state, State::Connected);
    assert_eq!(status.sites[0].entitlements, ["web"]);
    assert_eq!(status.policies, ["staff"]);
    let kinds: Vec<&str> = status.tokens.iter().map(|token| token.kind.as_str()).collect();
    assert_eq!(kinds, ["Claims", "DeviceClaims", "Entitlement"]);
    assert!(status.name.unwrap().ends_with(",CN=ana,OU=local"));
    assert!(!serde_json::to_string(&status.tokens).unwrap().contains("-token"), "a status holds no token");
    assert_eq!(user.stop().await.unwrap(), Ended::Shutdown);
    world.logged("gateway-sign-out", 1).await;
}

#[tokio::test]
async fn app_shortcuts_are_shown_as_long_as_they_are_offered() {
    let world = World::start(&[1]);
    let user = User::start(&world, 1, |_| ()).await;
    let shortcut = Shortcut {
        name: "Wiki".to_owned(),
        url: "https://wiki.example".to_owned(),
        description: "What we know".to_owned(),
        color_code: 4,
        group_name: Some("Office".to_owned()),
    };
    for shortcuts in [vec![shortcut], vec![]] {
        world.push(ControlDown::Shortcuts { shortcuts: shortcuts.clone() });
        user.status_when(|status| status.sites[0].shortcuts == shortcuts).await;
    }
}

#[tokio::test]
async fn a_server_of_another_authority_learns_nothing() {
    let world = World::start(&[1]);
    let foreign = AuthorityPin::of(&CertificateDer::from(vec![1, 2, 3]));
    let mut user = User::launch(&world, |config| config.profile.ca_fingerprint = foreign);
    let error = user.outcome().await.unwrap_err();
    assert_eq!(error.code(), "client.wrong-authority");
    assert_eq!(world.lines(""), 0);
}

#[tokio::test]
async fn a_wrong_password_is_told_in_plain_language() {
    let world = World::start(&[1]);
    let mut user = User::launch(&world, |config| config.password = Zeroizing::new("wrong".to_owned()));
    let error = user.outcome().await.unwrap_err();
    assert_eq!((error.code(), error.to_string().as_str()), ("sign-in.failed", "because of sign-in.failed"));
}

#[tokio::test]
async fn a_user_without_grants_is_told_so_and_leaves_no_session() {
    let world = World::start(&[]);
    let mut user = User::launch(&world, |_| ());
    assert_eq!(user.outcome().await.unwrap_err().code(), "client.nothing-granted");
    world.logged("sign-out", 1).await;
}

#[tokio::test]
async fn an_announced_end_renews_without_touching_running_flows() {
    let world = World::start(&[1]);
    let mut user = User::start(&world, 1, |_| ()).await;
    let mut stream = user.socks("echo.test", ECHO).await.unwrap().get_socket();
    echo(&mut stream, "before").await;
    world.push(ControlDown::RenewBefore {
        at: 4_000_000_000,
        sign_in: false,
        reason: "the policies changed".to_owned(),
    });
    user.event("renewed").await;
    world.logged("renew", 1).await;
    world.logged("present again site-1-token", 1).await;
    echo(&mut stream, "after").await;
    assert_eq!(world.lines("present first"), 1, "the connection is the same");
    assert_eq!(world.lines("authenticate"), 1);
}

#[tokio::test]
async fn renewing_is_possible_by_hand_and_its_refusal_is_told() {
    let world = World::start(&[1]);
    let mut user = User::start(&world, 1, |_| ()).await;
    client::renew(user.dir.path()).await.unwrap();
    world.logged("present again", 1).await;
    *world.shared.refuse_renewal.lock().unwrap() = Some(refusal("token.refused"));
    let error = client::renew(user.dir.path()).await.unwrap_err();
    assert_eq!(error.code(), "client.must-sign-in");
    let status = user.status().await;
    assert_eq!(status.state, State::MustSignIn);
    let ClientEvent::SignInNeeded { reason, .. } = user.event("sign-in-needed").await else { panic!("not asked") };
    assert_eq!(reason, "because of token.refused");
}

#[tokio::test]
async fn signing_in_again_takes_over_and_running_flows_end_by_themselves() {
    let world = World::start(&[1]);
    let mut user = User::start(&world, 1, |_| ()).await;
    let mut old = user.socks("echo.test", ECHO).await.unwrap().get_socket();
    echo(&mut old, "old").await;
    world.push(ControlDown::RenewBefore { at: 4_000_000_000, sign_in: true, reason: "revoked soon".to_owned() });
    let ClientEvent::SignInNeeded { request, .. } = user.event("sign-in-needed").await else { panic!("not asked") };
    request.answer(Zeroizing::new(PASSWORD.to_owned()));
    user.event("admitted").await;
    assert_eq!(world.shared.connections.lock().unwrap().len(), 2);
    let mut new = user.socks("echo.test", ECHO).await.unwrap().get_socket();
    echo(&mut new, "new").await;
    echo(&mut old, "still there").await;
    assert_eq!(user.status().await.state, State::Connected);
    drop(old);
    world.logged("gateway-sign-out", 1).await;
    echo(&mut new, "alone").await;
}

#[tokio::test]
async fn a_session_ended_by_the_gateway_cuts_its_flows_and_asks_for_new_tokens() {
    let world = World::start(&[1]);
    let mut user = User::start(&world, 1, |_| ()).await;
    let mut stream = user.socks("10.0.0.1", STREAMING).await.unwrap().get_socket();
    *world.shared.refuse_renewal.lock().unwrap() = Some(refusal("token.refused"));
    world.push(ControlDown::Ended(refusal("session.revoked")));
    assert!(drain(&mut stream).await.1.is_some(), "a cut never looks like a clean end");
    let ClientEvent::AccessEnded { code, .. } = user.event("access-ended").await else { panic!("not told") };
    assert_eq!(code, "session.revoked");
    let ClientEvent::SignInNeeded { request, .. } = user.event("sign-in-needed").await else { panic!("not asked") };
    *world.shared.refuse_renewal.lock().unwrap() = None;
    request.answer(Zeroizing::new(PASSWORD.to_owned()));
    user.event("admitted").await;
    echo(&mut user.socks("echo.test", ECHO).await.unwrap().get_socket(), "back").await;
}

#[tokio::test]
async fn a_lost_gateway_is_replaced_by_another_one_of_the_site() {
    let world = World::start(&[2]);
    let mut user = User::start(&world, 1, |_| ()).await;
    let first = user.status().await.sites[0].gateway.clone();
    let lost = world.shared.connections.lock().unwrap()[0].clone();
    lost.close(close_code::SHUTDOWN, "stopping");
    user.event("gateway-lost").await;
    user.event("admitted").await;
    assert_ne!(user.status().await.sites[0].gateway, first);
    assert_eq!(world.lines("renew"), 0, "the tokens at hand are enough");
    echo(&mut user.socks("echo.test", ECHO).await.unwrap().get_socket(), "back").await;
}

#[tokio::test]
async fn conditions_are_shown_while_they_are_false() {
    let world = World::start(&[1]);
    let mut user = User::start(&world, 1, |_| ()).await;
    let message = "turn the firewall on".to_owned();
    world.push(ControlDown::ConditionFalse {
        condition: "firewall".to_owned(),
        entitlements: vec!["web".to_owned()],
        message,
        remedies: Remedies::default(),
    });
    let event = user.event("condition-false").await;
    assert_eq!(event.to_string(), "web must wait for `firewall`: turn the firewall on");
    assert_eq!(user.status().await.sites[0].unmet[0].message, "turn the firewall on");
    world.push(ControlDown::ConditionTrue { condition: "firewall".to_owned() });
    user.event("condition-true").await;
    assert!(user.status().await.sites[0].unmet.is_empty());
}

#[tokio::test]
async fn the_control_socket_is_private_single_and_signs_out() {
    let world = World::start(&[1]);
    let mut user = User::start(&world, 1, |_| ()).await;
    let socket = user.dir.path().join("control.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let dir = user.dir.path().to_owned();
    let mut second = User::launch(&world, |config| config.data_dir.clone_from(&dir));
    assert_eq!(second.outcome().await.unwrap_err().code(), "client.already-running");
    client::sign_out(&dir).await.unwrap();
    assert_eq!(user.outcome().await.unwrap(), Ended::SignedOut);
    world.logged("sign-out", 1).await;
    assert_eq!(client::status(&dir).await.unwrap_err().code(), "client.not-running");
}

#[tokio::test]
async fn a_data_directory_that_others_can_change_is_not_used() {
    use std::os::unix::fs::chown;
    let world = World::start(&[1]);
    let dir = tempfile::tempdir().unwrap();
    let refused = async |why: &str| {
        let mut user = User::launch(&world, |config| config.data_dir = dir.path().to_owned());
        let error = user.outcome().await.unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.code() == "client.data-dir" && source.contains(why), "{error}: {source}");
        assert!(!dir.path().join("control.sock").exists());
    };
    for mode in [0o777, 0o770, 0o702] {
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        refused("others may write to it").await;
    }
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    // Only root can give a directory away.
    if chown(dir.path(), Some(NOBODY), None).is_ok() {
        refused("another user").await;
    }
}

#[tokio::test]
async fn a_socket_of_another_user_is_told_nothing_confidential() {
    use std::io::Read as _;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let socket = dir.path().join("control.sock");
    let (sender, listening) = std::sync::mpsc::channel();
    let stranger = std::thread::spawn(move || {
        // A thread of Linux has a user of its own; only root can choose it.
        if rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(NOBODY)).is_err() {
            return String::new();
        }
        let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        sender.send(()).unwrap();
        let mut heard = String::new();
        for stream in listener.incoming().take(2) {
            stream.unwrap().read_to_string(&mut heard).unwrap();
        }
        heard
    });
    if listening.recv().is_ok() {
        let secret = Zeroizing::new("a password".to_owned());
        let answered = client::answer(dir.path(), "office", None, secret).await;
        assert_eq!(answered.unwrap_err().code(), "client.control-stranger");
        assert_eq!(client::enrol(dir.path(), "office", None).await.unwrap_err().code(), "client.control-stranger");
    }
    assert_eq!(stranger.join().unwrap(), "");
}

#[tokio::test]
async fn a_malformed_control_line_is_answered_and_harmless() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let world = World::start(&[1]);
    let user = User::start(&world, 1, |_| ()).await;
    let mut stream = tokio::net::UnixStream::connect(user.dir.path().join("control.sock")).await.unwrap();
    stream.write_all(b"{\"command\":\"explode\"}\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert!(reply.contains("control.malformed"), "{reply}");
    assert_eq!(user.status().await.state, State::Connected);
}
