//! Signing in to the admin API (D 28): in one step, or by authentication and authorization.
//!
//! Quirks of clients that are tolerated: an empty `samlResponse` beside a password, a device id that changes with every
//! sign-in, `machineId` in place of `deviceId`, members nobody knows.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use axum::extract::State;
use engine::{
    dn::{DistinguishedName, DnEnding},
    id::DeviceId,
    object::IdentityProviderType,
    revocation::RevocationScope,
    token::TokenKind,
};
use protocol::object::ObjectKind;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    api::{
        Api,
        call::{Answer, Call, no_content, ok},
        caller::{Partial, Stage},
        error::{ApiError, FieldError},
        privilege::{Action, Privileges, Subject as On, Target},
        revoke, view,
    },
    audit::{AUTHENTICATION_SUCCEEDED, Record},
    authorization::{AdminDenied, AdminGrant, authorize_admin},
    config::Config,
    issue::Subject,
    sign_in::{self, Credentials, SignInError, SignInKind, SignedIn},
    store::{AuditEvent, DeviceRow, NewRevocation, Op, TokenRow, Transaction},
};

/// `GET /identity-providers/names`: what can be signed in with.
pub(crate) async fn provider_names(State(api): State<Arc<Api>>) -> Answer {
    let config = api.controller.config.current();
    let offered = config
        .identity_providers()
        .filter(|provider| provider.admin_provider && provider.provider_type == IdentityProviderType::LocalDatabase);
    let data: Vec<Value> = offered.map(|provider| json!({ "name": provider.name, "type": "Credentials" })).collect();
    Ok(ok(&json!({ "data": data, "bannerMessage": setting(&config, "loginBannerMessage") })))
}

/// `POST /login`: credentials for an administration token.
pub(crate) async fn login(State(api): State<Arc<Api>>, call: Call) -> Answer {
    let (config, address) = (api.controller.config.current(), call.address);
    let request = LoginRequest::read(call.body.object().await?)?;
    let (name, signed_in) = request.verify(&api, address).await?;
    let claims = signed_in.claims_for(&name);
    let grant = authorize(&api, &name, &claims, address).await?;
    let issued = Issued::administration(&api, &config, &name, &grant)?;
    let authenticated =
        Record::new(AUTHENTICATION_SUCCEEDED).name(&name).address(address).with("authentication_type", "Admin");
    issued.store(&api, vec![authenticated.event(), authorized(&name, address, &grant, &config)]).await?;
    Ok(ok(&issued.answer(&config, &name, &grant.roles)?))
}

/// `POST /authentication`: credentials for a partial token.
pub(crate) async fn authenticate(State(api): State<Arc<Api>>, call: Call) -> Answer {
    let (config, address) = (api.controller.config.current(), call.address);
    let request = LoginRequest::read(call.body.object().await?)?;
    let (name, signed_in) = request.verify(&api, address).await?;
    let now = api.controller.now();
    let content = api.controller.issuer.user_content(&signed_in, &name, now).map_err(ApiError::internal)?;
    let subject = Subject::new(&name, &config, now);
    let (token, row) = api.controller.issuer.admin_claims(&subject, content).map_err(ApiError::internal)?;
    let issued = Issued { token: Zeroizing::new(token), row };
    let record =
        Record::new(AUTHENTICATION_SUCCEEDED).name(&name).address(address).with("authentication_type", "Admin");
    issued.store(&api, vec![record.with("claims_token_id", issued.row.id.to_string()).event()]).await?;
    Ok(ok(&issued.answer(&config, &name, &BTreeSet::new())?))
}

/// `GET /authorization`: a partial token for an administration token; an administration token is confirmed.
pub(crate) async fn authorization(State(api): State<Arc<Api>>, partial: Partial) -> Answer {
    let config = api.controller.config.current();
    let content = match &partial.stage {
        Stage::Authorized(roles) => {
            let roles = roles.iter().copied().collect();
            return Ok(ok(&answer(&config, &partial.name, &roles, partial.bearer.reveal(), partial.expires)?));
        }
        Stage::Authenticated(content) => content,
    };
    if sign_in::look_up_again(&config, &partial.name.user).is_none() {
        return Err(ApiError::Unauthorized);
    }
    let claims = api.controller.issuer.user_claims(content).map_err(ApiError::internal)?;
    let grant = authorize(&api, &partial.name, &claims, partial.address).await?;
    let issued = Issued::administration(&api, &config, &partial.name, &grant)?;
    issued.store(&api, vec![authorized(&partial.name, partial.address, &grant, &config)]).await?;
    Ok(ok(&issued.answer(&config, &partial.name, &grant.roles)?))
}

/// `POST /authentication/otp/initialize` and `POST /authentication/otp`: no second factor is configured for administrators.
pub(crate) async fn second_factor(_partial: Partial) -> Answer {
    Err(ApiError::Precondition(
        "no second factor is configured for administrators; go on with authorization".to_owned(),
    ))
}

/// `POST /authentication/logout` and `POST /logout`: the admin tokens of this user on this device die at once.
pub(crate) async fn logout(State(api): State<Arc<Api>>, partial: Partial) -> Answer {
    let now = api.controller.now();
    let scope = RevocationScope {
        ending: DnEnding::Device(partial.name.clone()),
        kinds: BTreeSet::from([TokenKind::AdminClaims, TokenKind::Administration]),
        site: None,
        token: None,
    };
    let forget_after = revoke::longest_life(&api.controller.config.current(), now);
    let rule = NewRevocation { scope, effective: now, reason: "signed out".to_owned(), forget_after };
    let record = Record::new(crate::audit::TOKEN_REVOKED).name(&partial.name).address(partial.address);
    let record = record.with("token_id", partial.token.to_string()).with("reason", "signed out");
    api.controller.store.transact(Transaction { ops: vec![Op::Revoke(rule)], audit: vec![record.event()] }).await?;
    Ok(no_content())
}

struct LoginRequest {
    provider: String,
    device: DeviceId,
    username: String,
    password: Zeroizing<String>,
}

impl LoginRequest {
    fn read(mut body: Map<String, Value>) -> Result<Self, ApiError> {
        let mut errors = Vec::new();
        let mut take = |name: &str| match body.remove(name) {
            Some(Value::String(text)) if !text.is_empty() => Some(text),
            Some(Value::String(_)) => refuse(&mut errors, name, "may not be empty"),
            None | Some(Value::Null) => refuse(&mut errors, name, "may not be null"),
            Some(_) => refuse(&mut errors, name, "must be text"),
        };
        let (provider, username, password) =
            (take("providerName"), take("username"), take("password").map(Zeroizing::new));
        let device = body.remove("deviceId").or_else(|| body.remove("machineId")).filter(|id| !id.is_null());
        let device = match device {
            None => refuse(&mut errors, "deviceId", "may not be null"),
            Some(id) => match id.as_str().and_then(|text| Uuid::try_parse(text).ok()) {
                None => refuse(&mut errors, "deviceId", "must be a uuid"),
                Some(id) => Some(DeviceId::new(id)),
            },
        };
        match (provider, device, username, password) {
            (Some(provider), Some(device), Some(username), Some(password)) => {
                Ok(Self { provider, device, username, password })
            }
            _ => Err(ApiError::Invalid(errors)),
        }
    }

    async fn verify(self, api: &Api, address: Option<IpAddr>) -> Result<(DistinguishedName, SignedIn), ApiError> {
        let Self { provider, device, username, password } = self;
        let credentials = Credentials { provider, username, password, address, kind: SignInKind::Admin };
        let signed_in =
            sign_in::verify_credentials(&api.controller, &credentials).await.map_err(|error| match error {
                SignInError::Refused => ApiError::Login { reason: error.to_string() },
                SignInError::Busy { retry_after } => ApiError::Busy { retry_after },
                SignInError::Store(error) => error.into(),
                error @ SignInError::Password(_) => ApiError::internal(error),
            })?;
        Ok((DistinguishedName { device, user: signed_in.user_name() }, signed_in))
    }
}

fn refuse<T>(errors: &mut Vec<FieldError>, field: &str, message: &str) -> Option<T> {
    errors.push(FieldError::new(field, message));
    None
}

/// A token and its row, which is stored before the token leaves.
struct Issued {
    token: Zeroizing<String>,
    row: TokenRow,
}

impl Issued {
    fn administration(
        api: &Api,
        config: &Config,
        name: &DistinguishedName,
        grant: &AdminGrant,
    ) -> Result<Self, ApiError> {
        let subject = Subject::new(name, config, api.controller.now());
        let (token, row) = api.controller.issuer.admin(&subject, &grant.roles).map_err(ApiError::internal)?;
        Ok(Self { token: Zeroizing::new(token), row })
    }

    async fn store(&self, api: &Api, audit: Vec<AuditEvent>) -> Result<(), ApiError> {
        let seen = self.row.issued;
        let name = self.row.name.clone();
        let device = DeviceRow { name, client: false, admin: true, hostname: None, on_boarded: seen, last_seen: seen };
        let ops = vec![Op::InsertToken(self.row.clone()), Op::PutDevice(device)];
        api.controller.store.transact(Transaction { ops, audit }).await?;
        Ok(())
    }

    fn answer(&self, config: &Config, name: &DistinguishedName, roles: &Roles) -> Result<Value, ApiError> {
        answer(config, name, roles, &self.token, self.row.expires)
    }
}

type Roles = BTreeSet<engine::id::AdministrativeRoleId>;

async fn authorize(
    api: &Api,
    name: &DistinguishedName,
    claims: &Map<String, Value>,
    address: Option<IpAddr>,
) -> Result<AdminGrant, ApiError> {
    let denied = match authorize_admin(&api.controller, name, claims, address).await {
        Ok(grant) => return Ok(grant),
        Err(denied) => denied,
    };
    let mut record =
        Record::new("admin_authorization_failed").name(name).address(address).with("reason", denied.code());
    if let AdminDenied::Refused(refused) = &denied {
        record = record.with("detail", refused.detail());
    }
    api.controller.store.transact(Transaction { ops: Vec::new(), audit: vec![record.event()] }).await?;
    Err(ApiError::NotPermitted(denied.to_string()))
}

fn authorized(name: &DistinguishedName, address: Option<IpAddr>, grant: &AdminGrant, config: &Config) -> AuditEvent {
    let roles = grant.roles.iter().filter_map(|role| config.object(ObjectKind::AdministrativeRole, role.uuid()));
    let roles: Vec<Value> = roles.map(|role| role.name.clone().into()).collect();
    let record = Record::new("admin_authorization_succeeded").name(name).address(address);
    record
        .with("admin_role_names", roles)
        .with("policy_names", grant.policy_names.clone())
        .with("scripted_user_claims", grant.scripted.claims.clone())
        .with("script_failures", grant.scripted.failures.clone())
        .event()
}

fn answer(
    config: &Config,
    name: &DistinguishedName,
    roles: &Roles,
    token: &str,
    expires: OffsetDateTime,
) -> Result<Value, ApiError> {
    let privileges = Privileges::of_roles(config, roles);
    Ok(json!({
        "user": {
            "name": name.user.username,
            "needTwoFactorAuth": false,
            "canAccessAuditLogs": privileges.allows(Action::View, Target::AuditLog, On::Whole),
            "privileges": privileges.documents(),
        },
        "token": token,
        "expires": view::timestamp(expires)?,
        "messageOfTheDay": setting(config, "messageOfTheDay"),
        "crlEnabled": false,
    }))
}

fn setting(config: &Config, name: &str) -> Value {
    let settings = config.all(ObjectKind::GlobalSettings).next();
    settings.and_then(|settings| settings.body.get(name)).cloned().unwrap_or(Value::Null)
}
