//! A client as a gateway sees it.

use std::{net::SocketAddr, time::Duration};

use engine::{dn::DistinguishedName, id::SessionId, token::Thumbprint};
use protocol::{
    carrier::{SharedCarrier, Stream},
    frame::{MAX_MESSAGE, read_frame, write_frame},
    message::{ControlDown, ControlUp, FlowAnswer, GatewayRequest, Present, Refusal, TargetHost, Transport},
    quic::{Dialer, GATEWAY_ALPN, Limits, reset_code},
    tls::{Identity, client_config, gateway_name},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
    time::timeout,
};

use crate::world::World;

pub const PATIENCE: Duration = Duration::from_secs(20);

/// A signed-in session with its certificate.
pub struct Device {
    pub session: SessionId,
    pub name: DistinguishedName,
    pub identity: Identity,
}

impl Device {
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint::of(&self.identity.certificate)
    }
}

/// A connection to the gateway.
pub struct Client {
    pub carrier: SharedCarrier,
    control: Stream,
    _dialer: Dialer,
}

impl Client {
    /// Connects and shows tokens; the answer is the gateway's first.
    pub async fn present(world: &World, device: &Device, present: Present) -> (Self, ControlDown) {
        let mut client = Self::connect(world, device).await;
        client.show(present).await;
        let answer = client.next().await;
        (client, answer)
    }

    /// Connects and is admitted.
    pub async fn admitted(world: &World, device: &Device) -> Self {
        let (client, answer) = Self::present(world, device, world.tokens(device).present()).await;
        assert!(matches!(answer, ControlDown::Admitted { .. }), "{answer:?}");
        client
    }

    pub async fn connect(world: &World, device: &Device) -> Self {
        let tls = client_config(world.facts().authority.pin(), Some(&device.identity), GATEWAY_ALPN).unwrap();
        let dialer = Dialer::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let name = gateway_name(world.facts().appliance);
        let carrier = dialer.dial(world.gateway().address, &name, tls, Limits::default()).await.unwrap();
        let mut control = carrier.open().await.unwrap();
        write_frame(&mut control.send, &GatewayRequest::Control).await.unwrap();
        Self { carrier, control, _dialer: dialer }
    }

    pub async fn show(&mut self, present: Present) {
        write_frame(&mut self.control.send, &ControlUp::Present(present)).await.unwrap();
    }

    pub async fn sign_out(&mut self) {
        write_frame(&mut self.control.send, &ControlUp::SignOut).await.unwrap();
    }

    /// The next message of the gateway.
    pub async fn next(&mut self) -> ControlDown {
        timeout(PATIENCE, read_frame(&mut self.control.receive, MAX_MESSAGE)).await.expect("a message comes").unwrap()
    }

    /// The next message that is of the wanted kind; others are passed over.
    pub async fn next_matching(&mut self, wanted: impl Fn(&ControlDown) -> bool) -> ControlDown {
        loop {
            let message = self.next().await;
            if wanted(&message) {
                return message;
            }
        }
    }

    pub async fn ask(&self, transport: Transport, host: TargetHost, port: u16) -> Flow {
        let mut stream = self.carrier.open().await.unwrap();
        write_frame(&mut stream.send, &GatewayRequest::Open { transport, host, port }).await.unwrap();
        Flow { stream }
    }

    pub async fn tcp(&self, address: SocketAddr) -> Flow {
        self.ask(Transport::Tcp, TargetHost::Address(address.ip()), address.port()).await
    }

    pub async fn open_tcp(&self, address: SocketAddr) -> Flow {
        let mut flow = self.tcp(address).await;
        assert_eq!(flow.answer().await, FlowAnswer::Open);
        flow
    }

    /// The code a flow to the address is refused with.
    pub async fn denied(&self, address: SocketAddr) -> String {
        self.tcp(address).await.denial().await.code
    }
}

pub struct Flow {
    pub stream: Stream,
}

impl Flow {
    pub async fn answer(&mut self) -> FlowAnswer {
        timeout(PATIENCE, read_frame(&mut self.stream.receive, MAX_MESSAGE)).await.expect("an answer comes").unwrap()
    }

    /// What it is refused with, however long it was held.
    pub async fn denial(&mut self) -> Refusal {
        loop {
            match self.answer().await {
                FlowAnswer::Held { .. } => {}
                FlowAnswer::Denied(refusal) => return refusal,
                FlowAnswer::Open => panic!("the flow is open"),
            }
        }
    }

    pub async fn echo(&mut self, bytes: &[u8]) {
        self.stream.send.write_all(bytes).await.unwrap();
        let mut back = vec![0; bytes.len()];
        timeout(PATIENCE, self.stream.receive.read_exact(&mut back)).await.expect("it comes back").unwrap();
        assert_eq!(back, bytes);
    }

    /// Sends for ever in the background and counts what comes; how it ended comes out.
    pub fn busy(self) -> Busy {
        let Stream { mut send, mut receive } = self.stream;
        let (progress, received) = mpsc::unbounded_channel();
        let sending = tokio::spawn(async move {
            loop {
                if let Err(error) = send.write_all(&[b'u'; 4096]).await {
                    return reset_code(&error);
                }
            }
        });
        let receiving = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                match receive.read(&mut buffer).await {
                    Ok(0) => return None,
                    Ok(count) => drop(progress.send(count)),
                    Err(error) => return reset_code(&error),
                }
            }
        });
        Busy { sending, receiving, received }
    }
}

pub struct Busy {
    /// The code the gateway stopped the upload with.
    pub sending: tokio::task::JoinHandle<Option<u32>>,
    /// The code the gateway reset the download with; `None` for a clean end.
    pub receiving: tokio::task::JoinHandle<Option<u32>>,
    pub received: mpsc::UnboundedReceiver<usize>,
}

impl Busy {
    /// Waits until a good deal has come down.
    pub async fn flows(&mut self) {
        let mut total = 0;
        while total < 256 * 1024 {
            total += timeout(PATIENCE, self.received.recv()).await.expect("data comes").expect("the flow is open");
        }
    }

    /// How both directions ended.
    pub async fn ended(self) -> (Option<u32>, Option<u32>) {
        let both = async { (self.sending.await.unwrap(), self.receiving.await.unwrap()) };
        timeout(PATIENCE, both).await.expect("the flow ends")
    }
}
