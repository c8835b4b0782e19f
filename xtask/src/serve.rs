//! The demo's own servers: protected HTTP services and a name server. They are peers of the test, no part of the product.

mod dns;
mod http;

use std::{net::SocketAddr, str::FromStr};

pub use dns::serve as dns;
pub use http::{CHUNK, serve as http};

/// A protected service: a name for its answers, and where it listens.
#[derive(Debug, Clone)]
pub struct Service {
    /// Name.
    pub name: String,
    /// Address and port.
    pub address: SocketAddr,
}

impl FromStr for Service {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) = text.split_once('=').ok_or("a service is NAME=ADDRESS:PORT")?;
        let address = address.parse().map_err(|_| format!("`{address}` is no address and port"))?;
        Ok(Self { name: name.to_owned(), address })
    }
}
