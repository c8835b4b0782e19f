//! A scripted gateway: what it answers depends on the port asked for.

use std::sync::Arc;

use protocol::{
    carrier::{SharedCarrier, Stream},
    frame::{MAX_MESSAGE, MAX_TOKENS_MESSAGE, read_frame, write_frame},
    message::{ControlDown, ControlUp, FlowAnswer, GatewayRequest, TargetHost, Transport, close_code},
    quic::Listener,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    sync::watch,
};

use crate::world::{Shared, refusal};

/// Echoes.
pub const ECHO: u16 = 80;
/// Is refused by a rule.
pub const BLOCKED: u16 = 81;
/// Is held until released, then echoes.
pub const HELD: u16 = 82;
/// Sends until it is cut.
pub const STREAMING: u16 = 83;
/// Is not granted on Site 1; echoes on the others.
pub const ELSEWHERE: u16 = 84;

pub async fn serve(shared: Arc<Shared>, listener: Listener, site: u128) {
    while let Some(incoming) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            let Ok(carrier) = incoming.finish().await else { return };
            shared.connections.lock().unwrap().push(carrier.clone());
            while let Ok(stream) = carrier.accept().await {
                tokio::spawn(serve_stream(shared.clone(), carrier.clone(), stream, site));
            }
        });
    }
}

async fn serve_stream(shared: Arc<Shared>, carrier: SharedCarrier, mut stream: Stream, site: u128) {
    match read_frame(&mut stream.receive, MAX_MESSAGE).await {
        Ok(GatewayRequest::Control) => serve_control(&shared, &carrier, stream).await,
        Ok(GatewayRequest::Open { transport, host, port }) => {
            shared.note(format!("open site-{site} {transport:?} {} {port}", name(&host)));
            match transport {
                Transport::Tcp => serve_tcp(&shared, stream, port, site).await,
                Transport::Udp => serve_udp(stream).await,
            }
        }
        Err(_) => {}
    }
}

async fn serve_control(shared: &Shared, carrier: &SharedCarrier, stream: Stream) {
    let Stream { mut send, mut receive } = stream;
    let mut push = shared.push.subscribe();
    let mut admitted = false;
    let (sender, mut ups) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok(up) = read_frame::<ControlUp, _>(&mut receive, MAX_TOKENS_MESSAGE).await {
            if sender.send(up).await.is_err() {
                return;
            }
        }
    });
    loop {
        let frame = tokio::select! {
            up = ups.recv() => match up {
                Some(ControlUp::Present(present)) => {
                    assert_eq!(present.device_claims.as_deref(), Some("device-token"));
                    shared.note(format!("present {} {}", if admitted { "again" } else { "first" }, present.entitlement));
                    admitted = true;
                    ControlDown::Admitted { entitlements: vec!["web".to_owned()] }
                }
                Some(ControlUp::SignOut) => {
                    shared.note("gateway-sign-out".to_owned());
                    return carrier.close(close_code::DONE, "signed out");
                }
                None => return,
            },
            frame = push.recv() => frame.unwrap(),
        };
        let ended = matches!(frame, ControlDown::Ended(_));
        if write_frame(&mut send, &frame).await.is_err() {
            return;
        }
        if ended {
            // Closing at once would drop the frame.
            send.finish();
            carrier.closed().await;
            return;
        }
    }
}

async fn serve_tcp(shared: &Shared, mut stream: Stream, port: u16, site: u128) {
    let answer = match port {
        BLOCKED => FlowAnswer::Denied(refusal("flow.blocked")),
        ELSEWHERE if site == 1 => FlowAnswer::Denied(refusal("flow.no-rule")),
        HELD => FlowAnswer::Held { message: "tell why you need this".to_owned() },
        _ => FlowAnswer::Open,
    };
    let held = matches!(answer, FlowAnswer::Held { .. });
    let denied = matches!(answer, FlowAnswer::Denied(_));
    write_frame(&mut stream.send, &answer).await.unwrap();
    if denied {
        return stream.send.finish();
    }
    if held {
        told(&shared.release).await;
        write_frame(&mut stream.send, &FlowAnswer::Open).await.unwrap();
    }
    if port == STREAMING {
        return stream_until_cut(shared, stream).await;
    }
    // A client that goes away ends this flow only.
    if copy(&mut stream.receive, &mut stream.send).await.is_ok() {
        stream.send.finish();
    }
}

async fn stream_until_cut(shared: &Shared, mut stream: Stream) {
    let sending = async { while stream.send.write_all(&[7; 1024]).await.is_ok() {} };
    tokio::select! {
        () = sending => shared.note("streaming-ended-by-client".to_owned()),
        () = told(&shared.cut) => {}
    }
    stream.send.reset(close_code::CUT);
    stream.receive.stop(close_code::CUT);
}

async fn serve_udp(mut stream: Stream) {
    write_frame(&mut stream.send, &FlowAnswer::Open).await.unwrap();
    while let Ok(length) = stream.receive.read_u16().await {
        let mut datagram = vec![0; usize::from(length)];
        stream.receive.read_exact(&mut datagram).await.unwrap();
        datagram.reverse();
        stream.send.write_u16(length).await.unwrap();
        stream.send.write_all(&datagram).await.unwrap();
    }
}

async fn told(flag: &watch::Sender<bool>) {
    flag.subscribe().wait_for(|told| *told).await.unwrap();
}

fn name(host: &TargetHost) -> String {
    match host {
        TargetHost::Address(address) => address.to_string(),
        TargetHost::Name(name) => name.clone(),
    }
}
