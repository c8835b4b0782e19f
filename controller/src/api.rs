//! The admin REST API: what an administrator configures, and what the API clients of the vendor expect (D 22, D 27, D 28).
//!
//! The order of checks is the same for every call, and each step is refused by its own status: peer version (406),
//! credentials (401), route (404, 405), privilege (403), size of the body (413), JSON (400), fields (422, every one
//! named), then what is already there (409) or not (404). A call that is refused changes nothing.
//! Everything needs an administration token except the rows of one table, [`caller::EXCEPTIONS`].
//! Nothing here decides about access; it changes the configuration that is decided by.

mod accept;
mod appliances;
mod blacklist;
mod body;
mod call;
mod caller;
mod certificates;
mod change;
mod check;
mod crud;
mod devices;
mod error;
mod list;
mod login;
mod logs;
mod messages;
mod otp;
mod privilege;
mod query;
mod reads;
mod references;
mod resolution;
mod revoke;
mod roles;
mod route;
mod rules;
mod schema;
mod scripts;
mod secrets;
mod serve;
mod session_info;
mod sessions;
mod settings;
#[cfg(test)]
mod tests;
mod tokens;
mod unresolved;
mod view;

use std::sync::Arc;

use axum::{Router, middleware};
use tokio::sync::Mutex;

use crate::state::Controller;

pub use serve::serve;

/// What the handlers share.
pub(crate) struct Api {
    controller: Arc<Controller>,
    reads: reads::Reads,
    /// Held from the last look at references to the commit, so that nothing that is referred to goes away in between.
    changes: Mutex<()>,
}

impl Api {
    fn new(controller: Arc<Controller>) -> Arc<Self> {
        let reads = reads::Reads::new(Arc::clone(&controller.records));
        Arc::new(Self { controller, reads, changes: Mutex::new(()) })
    }
}

/// The API as a service, without a listener.
pub fn router(controller: Arc<Controller>) -> Router {
    router_of(&Api::new(controller))
}

fn router_of(api: &Arc<Api>) -> Router {
    let routes = route::routes().router;
    let routes = routes.fallback(async || error::ApiError::NotFound("there is nothing at this path".to_owned()));
    let routes = routes.method_not_allowed_fallback(async || error::ApiError::MethodNotAllowed);
    routes.layer(middleware::from_fn_with_state(Arc::clone(api), caller::gate)).with_state(Arc::clone(api))
}
