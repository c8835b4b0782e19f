//! Frames: a length of four bytes, big endian, then that many bytes of JSON.
//!
//! Every read names the most it accepts; a longer frame is refused before its body is read.

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Errors from reading or writing a frame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The stream ended before a frame began.
    #[error("stream ended")]
    Ended,
    /// The frame announces more than is accepted.
    #[error("frame of {announced} bytes is longer than the {limit} accepted")]
    TooLong { announced: usize, limit: usize },
    /// The body is not what was expected here.
    #[error("frame does not hold the expected message")]
    Body(#[source] serde_json::Error),
    /// The stream failed.
    #[error("stream failed")]
    Io(#[from] std::io::Error),
}

/// Most bytes of an ordinary request or answer.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// Most bytes of a message that carries tokens: what a client sends a gateway is limited to 16 MB in all (D 3).
pub const MAX_TOKENS_MESSAGE: usize = 16 * 1024 * 1024;

/// Most bytes of a configuration frame.
pub const MAX_CONFIG_MESSAGE: usize = 256 * 1024 * 1024;

/// Writes one frame and flushes it.
///
/// # Errors
/// When the stream fails or the message cannot be written as JSON.
pub async fn write_frame<T: Serialize + Sync, W: AsyncWrite + Unpin + Send + ?Sized>(
    stream: &mut W,
    message: &T,
) -> Result<(), FrameError> {
    let bytes = encode(message)?;
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    Ok(())
}

/// Reads one frame of at most `limit` bytes.
///
/// # Errors
/// [`FrameError::Ended`] at a clean end of the stream, else what was wrong with the frame.
pub async fn read_frame<T: DeserializeOwned, R: AsyncRead + Unpin + Send + ?Sized>(
    stream: &mut R,
    limit: usize,
) -> Result<T, FrameError> {
    let mut header = [0; HEADER];
    match stream.read(&mut header).await? {
        0 => return Err(FrameError::Ended),
        got => {
            let rest = header.get_mut(got..).unwrap_or_default();
            stream.read_exact(rest).await?;
        }
    }
    let announced = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(FrameError::TooLong { announced, limit });
    }
    // The buffer grows with what arrives, so that an announced length alone costs nothing.
    let mut body = Vec::with_capacity(announced.min(64 * 1024));
    let mut limited = stream.take(announced as u64);
    if limited.read_to_end(&mut body).await? != announced {
        return Err(FrameError::Io(std::io::ErrorKind::UnexpectedEof.into()));
    }
    decode(&body)
}

/// The bytes of one frame.
///
/// # Errors
/// When the message cannot be written as JSON or is longer than a length can say.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; HEADER];
    serde_json::to_writer(&mut bytes, message).map_err(FrameError::Body)?;
    let length = bytes.len() - HEADER;
    let announced =
        u32::try_from(length).map_err(|_| FrameError::TooLong { announced: length, limit: MAX_CONFIG_MESSAGE })?;
    if let Some(header) = bytes.first_chunk_mut::<HEADER>() {
        *header = announced.to_be_bytes();
    }
    Ok(bytes)
}

/// Reads a frame's body.
///
/// # Errors
/// When it is not the expected message.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(body).map_err(FrameError::Body)
}

const HEADER: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_survives_the_wire() {
        let (mut near, mut far) = tokio::io::duplex(16);
        let message = vec!["x".repeat(100), "y".to_owned()];
        let sent = message.clone();
        let writer = tokio::spawn(async move { write_frame(&mut near, &sent).await });
        assert_eq!(read_frame::<Vec<String>, _>(&mut far, 1000).await.unwrap(), message);
        writer.await.unwrap().unwrap();
        assert!(matches!(read_frame::<Vec<String>, _>(&mut far, 1000).await, Err(FrameError::Ended)));
    }

    #[tokio::test]
    async fn too_long_a_frame_is_refused_before_its_body() {
        let mut bytes: &[u8] = &[0xff, 0xff, 0xff, 0xff];
        assert!(matches!(read_frame::<(), _>(&mut bytes, 10).await, Err(FrameError::TooLong { limit: 10, .. })));
    }

    #[tokio::test]
    async fn a_cut_frame_is_an_error() {
        let mut bytes: &[u8] = &[0, 0, 0, 9, b'"'];
        assert!(matches!(read_frame::<String, _>(&mut bytes, 10).await, Err(FrameError::Io(_))));
    }
}
