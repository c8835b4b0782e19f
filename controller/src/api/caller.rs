//! Who calls: the gate every request passes, and one extractor per kind of token.
//!
//! The gate checks in this order: peer version (406), credentials (401); whether the path exists (404) comes after, so
//! that nobody learns the paths without a token. Everything needs an administration token except the rows of
//! [`EXCEPTIONS`]. A handler's signature says who may call it: [`Admin`], [`Partial`] or neither.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use engine::{
    dn::DistinguishedName,
    id::{AdministrativeRoleId, TokenId},
    token::{Content, TokenError, TokenKind, UserContent, Verified},
};
use http::{HeaderMap, Method, header, request::Parts};

use crate::{
    api::{
        Api,
        accept::{self, Media},
        error::ApiError,
        privilege::{Action, Privileges, Subject, Target, takes_scope},
        reads::Actor,
    },
    store::Object,
};

/// What a route asks of its caller when it is not an administration token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing.
    Open,
    /// An admin-claims token, as sign-in in steps gives, or an administration token.
    Partial,
}

/// The only routes that do not need an administration token, each with the reason.
pub(crate) const EXCEPTIONS: &[(Method, &str, Access, &str)] = &[
    (Method::GET, "/admin/version", Access::Open, "clients choose a version before they sign in"),
    (Method::GET, "/admin/identity-providers/names", Access::Open, "the sign-in page lists them"),
    (Method::POST, "/admin/login", Access::Open, "it is the sign-in"),
    (Method::POST, "/admin/authentication", Access::Open, "it is the first step of sign-in"),
    (
        Method::POST,
        "/admin/authentication/otp/initialize",
        Access::Partial,
        "a step between authentication and authorization",
    ),
    (Method::POST, "/admin/authentication/otp", Access::Partial, "a step between authentication and authorization"),
    (Method::GET, "/admin/authorization", Access::Partial, "it turns a partial token into an administration token"),
    (Method::POST, "/admin/authentication/logout", Access::Partial, "whoever holds a token may end it"),
    (Method::POST, "/admin/logout", Access::Partial, "whoever holds a token may end it"),
];

/// Address of the caller, put on requests by the listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerAddress(pub(crate) IpAddr);

/// An administrator with a believed administration token.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    /// Who.
    pub(crate) name: DistinguishedName,
    /// What the roles allow now.
    pub(crate) privileges: Arc<Privileges>,
    /// From where.
    pub(crate) address: Option<IpAddr>,
}

impl Admin {
    /// Refuses unless the action is allowed on the target, or on some objects of it.
    pub(crate) fn require(&self, action: Action, target: Target) -> Result<(), ApiError> {
        let subject = if takes_scope(action, target) { Subject::Some } else { Subject::Whole };
        self.check(action, target, subject)
    }

    /// Refuses unless the action is allowed on this object.
    pub(crate) fn require_on(&self, action: Action, target: Target, object: &Object) -> Result<(), ApiError> {
        self.check(action, target, object.into())
    }

    /// Whether the action is allowed on this object.
    pub(crate) fn may(&self, action: Action, object: &Object) -> bool {
        self.privileges.allows(action, Target::of(object.kind), object.into())
    }

    /// For audit records.
    pub(crate) fn actor(&self) -> Actor {
        Actor { name: self.name.clone(), address: self.address }
    }

    fn check(&self, action: Action, target: Target, subject: Subject<'_>) -> Result<(), ApiError> {
        if self.privileges.allows(action, target, subject) {
            return Ok(());
        }
        Err(ApiError::Forbidden { action: action.as_str(), target: target.as_str() })
    }
}

/// Somebody who authenticated, and may or may not be authorized yet.
#[derive(Debug, Clone)]
pub(crate) struct Partial {
    /// Who.
    pub(crate) name: DistinguishedName,
    /// The token in use.
    pub(crate) token: TokenId,
    /// What the token says.
    pub(crate) stage: Stage,
    /// When the token ends.
    pub(crate) expires: time::OffsetDateTime,
    /// The token itself, for the answer that confirms it.
    pub(crate) bearer: Bearer,
    /// From where.
    pub(crate) address: Option<IpAddr>,
}

/// A token's text. Its `Debug` form hides it.
#[derive(Clone)]
pub(crate) struct Bearer(String);

impl Bearer {
    /// The text, to be given back to whoever sent it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(..)")
    }
}

/// How far a sign-in has come.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    /// Authenticated only.
    Authenticated(UserContent),
    /// Authorized with these roles.
    Authorized(Vec<AdministrativeRoleId>),
}

impl FromRequestParts<Arc<Api>> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or(ApiError::Unauthorized)
    }
}

impl FromRequestParts<Arc<Api>> for Partial {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or(ApiError::Unauthorized)
    }
}

/// Checks version and credentials, runs the call with a time limit, and writes the media type.
pub(crate) async fn gate(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let plain_json_allowed = path.as_deref() == Some("/admin/version");
    let Some(media) = accept::negotiate(request.headers(), plain_json_allowed) else {
        return ApiError::NotAcceptable.into_response();
    };
    let access = path.as_deref().and_then(|path| access_of(request.method(), path));
    let mut response = match admit(&api, access, &mut request) {
        Ok(()) => {
            request.extensions_mut().insert(media);
            let running = tokio::time::timeout(CALL_TIMEOUT, next.run(request)).await;
            running.unwrap_or_else(|_| ApiError::Timeout.into_response())
        }
        Err(refused) => refused.into_response(),
    };
    if response.headers().contains_key(header::CONTENT_TYPE) {
        response.headers_mut().insert(header::CONTENT_TYPE, media.content_type());
    }
    response.headers_mut().insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

fn access_of(method: &Method, path: &str) -> Option<Access> {
    EXCEPTIONS.iter().find(|(open, route, _, _)| open == method && *route == path).map(|(_, _, access, _)| *access)
}

fn admit(api: &Api, access: Option<Access>, request: &mut Request) -> Result<(), ApiError> {
    let address = request.extensions().get::<PeerAddress>().map(|peer| peer.0);
    match access {
        Some(Access::Open) => {}
        Some(Access::Partial) => {
            let partial = authenticate_partial(api, request.headers(), address)?;
            request.extensions_mut().insert(partial);
        }
        None => {
            let admin = authenticate_admin(api, request.headers(), address)?;
            request.extensions_mut().insert(admin);
        }
    }
    Ok(())
}

fn authenticate_admin(api: &Api, headers: &HeaderMap, address: Option<IpAddr>) -> Result<Admin, ApiError> {
    let text = bearer(headers).ok_or(ApiError::Unauthorized)?;
    let verified = verify(api, text, TokenKind::Administration).map_err(|error| refuse(api, &error, address))?;
    let token = verified.token();
    let Content::Administration { roles } = &token.content else { return Err(ApiError::Unauthorized) };
    let privileges = Privileges::of_roles(&api.controller.config.current(), roles);
    Ok(Admin { name: token.name.clone(), privileges: Arc::new(privileges), address })
}

fn authenticate_partial(api: &Api, headers: &HeaderMap, address: Option<IpAddr>) -> Result<Partial, ApiError> {
    let text = bearer(headers).ok_or(ApiError::Unauthorized)?;
    let verified = match verify(api, text, TokenKind::AdminClaims) {
        Err(TokenError::Kind) => verify(api, text, TokenKind::Administration),
        other => other,
    };
    let verified = verified.map_err(|error| refuse(api, &error, address))?;
    let token = verified.token();
    let stage = match &token.content {
        Content::AdminClaims(user) => Stage::Authenticated(user.clone()),
        Content::Administration { roles } => Stage::Authorized(roles.clone()),
        Content::Claims(_) | Content::DeviceClaims { .. } | Content::Entitlement(_) => {
            return Err(ApiError::Unauthorized);
        }
    };
    Ok(Partial {
        name: token.name.clone(),
        token: token.id,
        stage,
        expires: token.expires,
        bearer: Bearer(text.to_owned()),
        address,
    })
}

fn verify(api: &Api, text: &str, kind: TokenKind) -> Result<Verified, TokenError> {
    let controller = &api.controller;
    let config = controller.config.current();
    let expected = controller.issuer.expected_admin(kind);
    controller.issuer.verify(text, expected, &config, controller.now())
}

fn refuse(api: &Api, error: &TokenError, address: Option<IpAddr>) -> ApiError {
    api.reads.token_refused(error.code(), address);
    ApiError::Unauthorized
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Longest a call may take. Bodies and scripts have shorter limits of their own.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

impl<S: Send + Sync> FromRequestParts<S> for Media {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().copied().ok_or(ApiError::NotAcceptable)
    }
}
