//! Every route of the admin API, in one place.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    handler::Handler,
    routing::{MethodFilter, on},
};
use http::Method;
use protocol::object::ObjectKind;
use serde_json::json;

use crate::api::{
    Api,
    accept::{MAX_PEER_VERSION, MIN_PEER_VERSION},
    appliances, blacklist,
    call::{Answer, Call, ok},
    caller::Admin,
    change, crud, devices, login, logs, messages, otp, resolution, roles, scripts, session_info, sessions, settings,
    tokens,
};

/// The routes, and the list of them that tests walk.
pub(crate) struct Routes {
    /// What answers.
    pub(crate) router: Router<Arc<Api>>,
    /// Method and path of every route.
    pub(crate) listed: Vec<(Method, String)>,
}

/// Every route.
pub(crate) fn routes() -> Routes {
    let mut routes = Routes { router: Router::new(), listed: Vec::new() };
    sign_in(&mut routes);
    tokens_and_devices(&mut routes);
    operations(&mut routes);
    for kind in ObjectKind::ALL.iter().filter(|kind| **kind != ObjectKind::GlobalSettings) {
        objects(&mut routes, *kind);
    }
    routes
}

fn sign_in(routes: &mut Routes) {
    routes.add(Method::GET, "/version", version);
    routes.add(Method::GET, "/identity-providers/names", login::provider_names);
    routes.add(Method::POST, "/login", login::login);
    routes.add(Method::POST, "/authentication", login::authenticate);
    routes.add(Method::POST, "/authentication/otp/initialize", login::second_factor);
    routes.add(Method::POST, "/authentication/otp", login::second_factor);
    routes.add(Method::GET, "/authorization", login::authorization);
    routes.add(Method::POST, "/authentication/logout", login::logout);
    routes.add(Method::POST, "/logout", login::logout);
}

fn tokens_and_devices(routes: &mut Routes) {
    routes.add(Method::GET, "/token-records/dn", tokens::list_names);
    routes.add(Method::PUT, "/token-records/revoked/by-dn/{dn}", tokens::revoke_by_name);
    routes.add(Method::PUT, "/token-records/revoked/by-type/{type}", tokens::revoke_by_type);
    routes.add(Method::POST, "/token-records/reeval/by-dn/{dn}", tokens::reevaluate);
    routes.add(Method::GET, "/on-boarded-devices", devices::list);
    routes.add(Method::DELETE, "/on-boarded-devices/{dn}", devices::delete);
    routes.add(Method::POST, "/on-boarded-devices/revoke-tokens", devices::revoke_tokens);
    routes.add(Method::POST, "/on-boarded-devices/reevaluate/{dn}", devices::reevaluate);
    routes.add(Method::GET, "/otp/seeds", otp::list);
    routes.add(Method::DELETE, "/otp/seeds/{dn}", otp::delete);
    routes.add(Method::GET, "/blacklist", blacklist::list);
    routes.add(Method::POST, "/blacklist", blacklist::add);
    routes.add(Method::DELETE, "/blacklist/{dn}", blacklist::remove);
}

fn operations(routes: &mut Routes) {
    routes.add(Method::GET, "/global-settings", settings::show);
    routes.add(Method::PUT, "/global-settings", settings::replace);
    routes.add(Method::DELETE, "/global-settings", settings::reset);
    routes.add(Method::GET, "/administrative-roles/type-target-map", roles::type_targets);
    routes.add(Method::GET, "/appliances/status", appliances::status);
    routes.add(Method::POST, "/appliances/{id}/export", appliances::export);
    routes.add(Method::POST, "/appliances/{id}/test-resolver-name", resolution::test);
    routes.add(Method::GET, "/appliances/{id}/name-resolution-status", resolution::status);
    routes.add(Method::POST, "/conditions/test", scripts::test_condition);
    routes.add(Method::POST, "/entitlement-scripts/test", scripts::test_entitlement_script);
    routes.add(Method::POST, "/user-scripts/test", scripts::test_user_script);
    routes.add(Method::GET, "/device-scripts/download/{id}", download_device_script);
    routes.add(Method::GET, "/audit-logs", logs::audit_logs);
    routes.add(Method::GET, "/admin-messages", messages::list);
    routes.add(Method::DELETE, "/admin-messages", messages::delete);
    routes.add(Method::GET, "/admin-messages/summarize", messages::summarize);
    routes.add(Method::PUT, "/admin-messages/{id}", messages::set_status);
    routes.add(Method::GET, "/sessions", sessions::list);
    routes.add(Method::GET, "/session-info/{dn}", session_info::show);
    routes.add(Method::GET, "/stats/active-sessions", sessions::active);
    routes.add(Method::GET, "/stats/active-sessions/dn", sessions::active_names);
}

fn objects(routes: &mut Routes, kind: ObjectKind) {
    let all = format!("/{}", kind.path());
    let one = format!("/{}/{{id}}", kind.path());
    routes.add(Method::GET, &all, move |State(api): State<Arc<Api>>, admin: Admin, call: Call| {
        crud::list(api, admin, kind, call)
    });
    routes.add(Method::POST, &all, move |State(api): State<Arc<Api>>, admin: Admin, call: Call| {
        change::create(api, admin, kind, call)
    });
    routes.add(Method::GET, &one, move |State(api): State<Arc<Api>>, admin: Admin, call: Call| {
        crud::view_one(api, admin, kind, call)
    });
    routes.add(Method::PUT, &one, move |State(api): State<Arc<Api>>, admin: Admin, call: Call| {
        change::replace(api, admin, kind, call)
    });
    routes.add(Method::DELETE, &one, move |State(api): State<Arc<Api>>, admin: Admin, call: Call| {
        crud::delete(api, admin, kind, call)
    });
}

impl Routes {
    fn add<H, T>(&mut self, method: Method, path: &str, handler: H)
    where
        H: Handler<T, Arc<Api>>,
        T: 'static,
    {
        let path = format!("/admin{path}");
        // Every method above has a filter; one that had none would answer 405.
        if let Ok(filter) = MethodFilter::try_from(method.clone()) {
            self.router = std::mem::take(&mut self.router).route(&path, on(filter, handler));
        }
        self.listed.push((method, path));
    }
}

async fn version() -> Answer {
    Ok(ok(&json!({ "peerVersion": MAX_PEER_VERSION, "lowestPeerVersionSupported": MIN_PEER_VERSION })))
}

async fn download_device_script(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    crud::download_device_script(api, admin, call).await
}
