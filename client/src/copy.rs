//! Carrying a TCP flow: bytes both ways with half-close, and an abrupt end that stays one.
//!
//! INVARIANT: a local connection ends with FIN only when the far end finished cleanly. Whatever else happens, including
//! this task being dropped, ends it with RST, so that no program takes a cut transfer for a complete one.

use std::{io, time::Duration};

use protocol::{
    carrier::{ReceiveHalf, SendHalf, Stream},
    message::close_code,
    quic::reset_code,
};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
};

/// How a carried flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyEnd {
    /// Both sides were done.
    Finished,
    /// The gateway took the permission away.
    Cut,
    /// The far end, or the connection to the gateway, broke.
    Broken,
    /// The local program went away.
    Left,
}

/// Carries bytes until both sides are done or either breaks.
pub(crate) async fn copy_tcp(mut local: TcpStream, stream: Stream) -> CopyEnd {
    abort_on_close(&local);
    // Small writes of interactive programs are not held back; failing to set it costs only time.
    let _ = local.set_nodelay(true);
    let Stream { mut send, mut receive } = stream;
    let outcome = {
        let (mut reader, mut writer) = local.split();
        tokio::try_join!(pump_up(&mut reader, &mut *send), pump_down(&mut *receive, &mut writer))
    };
    match outcome {
        Ok(((), ())) => {
            // Data still on its way to the local program is delivered after close.
            let _ = SockRef::from(&local).set_linger(None);
            CopyEnd::Finished
        }
        Err(end) => {
            send.reset(close_code::DONE);
            receive.stop(close_code::DONE);
            end
        }
    }
}

/// Makes closing the connection a reset, for connections that are refused or cut.
pub(crate) fn abort_on_close(local: &TcpStream) {
    if let Err(error) = SockRef::from(local).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "Local connection cannot be made to end with a reset");
    }
}

async fn pump_up(reader: &mut ReadHalf<'_>, send: &mut dyn SendHalf) -> Result<(), CopyEnd> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let got = reader.read(&mut buffer).await.map_err(|_| CopyEnd::Left)?;
        let bytes = buffer.get(..got).unwrap_or_default();
        if bytes.is_empty() {
            send.finish();
            return Ok(());
        }
        match send.write_all(bytes).await {
            Ok(()) => {}
            Err(error) => match far_end(&error) {
                // The far end takes no more but may still have something to say.
                FarEnd::Reset => return Ok(()),
                FarEnd::Cut => return Err(CopyEnd::Cut),
                FarEnd::Lost => return Err(CopyEnd::Broken),
            },
        }
    }
}

async fn pump_down(receive: &mut dyn ReceiveHalf, writer: &mut WriteHalf<'_>) -> Result<(), CopyEnd> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let got = receive.read(&mut buffer).await.map_err(|error| end_of(&error))?;
        let bytes = buffer.get(..got).unwrap_or_default();
        if bytes.is_empty() {
            return writer.shutdown().await.map_err(|_| CopyEnd::Left);
        }
        writer.write_all(bytes).await.map_err(|_| CopyEnd::Left)?;
    }
}

/// What a failed stream says about its end.
pub(crate) fn end_of(error: &io::Error) -> CopyEnd {
    match far_end(error) {
        FarEnd::Cut => CopyEnd::Cut,
        FarEnd::Reset | FarEnd::Lost => CopyEnd::Broken,
    }
}

enum FarEnd {
    Cut,
    Reset,
    Lost,
}

fn far_end(error: &io::Error) -> FarEnd {
    match reset_code(error) {
        Some(close_code::CUT | close_code::SESSION_ENDED) => FarEnd::Cut,
        Some(_) => FarEnd::Reset,
        None => FarEnd::Lost,
    }
}

/// Bytes read at once, in each direction.
const BUFFER: usize = 32 * 1024;
