//! Authorization: from the answers of policy expressions to what is granted (D 11).
//!
//! Stop policies come first: one that matches, or whose expression fails, refuses everything. Of the others every match
//! counts, and a failed expression is no match. Position in any list means nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    claims::Claims,
    id::{AdministrativeRoleId, EntitlementId, PolicyId, SiteId},
    object::{Entitlement, Policy, PolicyType},
    script::Failure,
};

/// What a policy's expression answered.
pub type Answer = Result<bool, Failure>;

/// How one policy came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyOutcome {
    /// The policy.
    pub policy: PolicyId,
    /// Its name.
    pub name: String,
    /// What its expression answered.
    pub answer: Answer,
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Granted {
    /// Per Site the entitlements, each with the names of the policies that granted it.
    pub sites: BTreeMap<SiteId, BTreeMap<EntitlementId, BTreeSet<String>>>,
    /// Administrative roles.
    pub roles: BTreeSet<AdministrativeRoleId>,
    /// Names of the policies that matched.
    pub matched: BTreeSet<String>,
    /// How every policy came out, by name.
    pub outcomes: Vec<PolicyOutcome>,
}

/// Why nobody gets anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The Stop policy that settled it.
    pub policy: PolicyId,
    /// Its name.
    pub name: String,
    /// The failure of its expression; `None` when it matched.
    pub failure: Option<Failure>,
}

impl Refused {
    /// Stable reason code.
    pub fn code(&self) -> &'static str {
        match self.failure {
            None => "authorization.stopped",
            Some(_) => "authorization.stop-failed",
        }
    }
}

/// Whether the Stop policies let the authorization go on.
///
/// # Errors
/// The first Stop policy, by name, that matched or failed.
pub fn check_stops<'a>(answers: impl IntoIterator<Item = (&'a Policy, Answer)>) -> Result<(), Refused> {
    let mut answers: Vec<_> = answers
        .into_iter()
        .filter(|(policy, _)| takes_part(policy) && policy.policy_type == PolicyType::Stop)
        .collect();
    answers.sort_by(|(left, _), (right, _)| (&left.name, left.id).cmp(&(&right.name, right.id)));
    for (policy, answer) in answers {
        let refused = |failure| Refused { policy: policy.id, name: policy.name.clone(), failure };
        match answer {
            Ok(false) => {}
            Ok(true) => return Err(refused(None)),
            Err(failure) => return Err(refused(Some(failure))),
        }
    }
    Ok(())
}

/// Merges the policies that matched. Stop policies are ignored here; [`check_stops`] comes before.
///
/// `entitlements` are all of the collective, `sites` the Sites that exist: a claim that names another is passed over.
pub fn merge<'a>(
    answers: impl IntoIterator<Item = (&'a Policy, Answer)>,
    entitlements: impl IntoIterator<Item = &'a Entitlement>,
    sites: &BTreeSet<SiteId>,
    claims: &Claims,
) -> Granted {
    let catalog = Catalog::new(entitlements);
    let mut granted = Granted::default();
    for (policy, answer) in answers {
        if !takes_part(policy) || policy.policy_type == PolicyType::Stop {
            continue;
        }
        if answer == Ok(true) {
            granted.matched.insert(policy.name.clone());
            grant(&mut granted, policy, &catalog, sites, claims);
        }
        granted.outcomes.push(PolicyOutcome { policy: policy.id, name: policy.name.clone(), answer });
    }
    granted.outcomes.sort_by(|left, right| (&left.name, left.policy).cmp(&(&right.name, right.policy)));
    granted
}

/// Whether a policy is asked at all.
pub fn takes_part(policy: &Policy) -> bool {
    !policy.disabled
}

struct Catalog<'a> {
    by_id: BTreeMap<EntitlementId, &'a Entitlement>,
    by_tag: BTreeMap<&'a str, BTreeSet<EntitlementId>>,
}

impl<'a> Catalog<'a> {
    fn new(entitlements: impl IntoIterator<Item = &'a Entitlement>) -> Self {
        let mut catalog = Self { by_id: BTreeMap::new(), by_tag: BTreeMap::new() };
        for entitlement in entitlements.into_iter().filter(|entitlement| !entitlement.disabled) {
            catalog.by_id.insert(entitlement.id, entitlement);
            for tag in &entitlement.tags {
                catalog.by_tag.entry(tag).or_default().insert(entitlement.id);
            }
        }
        catalog
    }

    fn of_policy(&self, policy: &Policy) -> BTreeMap<EntitlementId, &'a Entitlement> {
        let tagged = policy.entitlement_tags.iter().filter_map(|tag| self.by_tag.get(tag.as_str())).flatten();
        let ids = policy.entitlements.iter().chain(tagged);
        ids.filter_map(|id| self.by_id.get(id).map(|entitlement| (*id, *entitlement))).collect()
    }
}

fn grant(granted: &mut Granted, policy: &Policy, catalog: &Catalog<'_>, sites: &BTreeSet<SiteId>, claims: &Claims) {
    let (grants_access, grants_roles) = match policy.policy_type {
        PolicyType::Access | PolicyType::Dns => (true, false),
        PolicyType::Admin => (false, true),
        PolicyType::Mixed => (true, true),
        PolicyType::Device | PolicyType::Stop => (false, false),
    };
    if grants_roles {
        granted.roles.extend(&policy.administrative_roles);
    }
    if !grants_access {
        return;
    }
    let moved_to = override_site(policy, sites, claims);
    for (id, entitlement) in catalog.of_policy(policy) {
        let site = moved_to.unwrap_or(entitlement.site);
        granted.sites.entry(site).or_default().entry(id).or_default().insert(policy.name.clone());
    }
}

/// Fixed Site, then claim, then the entitlement's own (D 35, 2); a claim that names no Site falls through.
fn override_site(policy: &Policy, sites: &BTreeSet<SiteId>, claims: &Claims) -> Option<SiteId> {
    let by_claim = || {
        let path = policy.override_site_claim.as_ref()?;
        let (section, rest) = path.split_first()?;
        let (first, rest) = rest.split_first()?;
        let section = match section.as_str() {
            "user" => &claims.user,
            "device" => &claims.device,
            "system" => &claims.system,
            _ => return None,
        };
        let value = rest.iter().try_fold(section.get(first)?, |value, member| value.get(member))?;
        value.as_str()?.parse().ok()
    };
    policy.override_site.or_else(by_claim).filter(|site| sites.contains(site))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{object::Logic, script::FailureKind};

    fn policy(number: u128, policy_type: PolicyType) -> Policy {
        Policy {
            id: PolicyId::new(Uuid::from_u128(number)),
            name: format!("policy {number}"),
            disabled: false,
            policy_type,
            expression: String::new(),
            entitlements: BTreeSet::from([EntitlementId::new(Uuid::from_u128(1))]),
            entitlement_tags: BTreeSet::from(["web".to_owned()]),
            override_site: None,
            override_site_claim: None,
            administrative_roles: BTreeSet::from([AdministrativeRoleId::new(Uuid::from_u128(9))]),
        }
    }

    fn entitlement(number: u128, tags: &[&str]) -> Entitlement {
        Entitlement {
            id: EntitlementId::new(Uuid::from_u128(number)),
            name: format!("entitlement {number}"),
            disabled: false,
            site: site(1),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            conditions: BTreeSet::new(),
            condition_logic: Logic::And,
            actions: Vec::new(),
            app_shortcuts: Vec::new(),
            app_shortcut_scripts: BTreeSet::new(),
        }
    }

    fn site(number: u128) -> SiteId {
        SiteId::new(Uuid::from_u128(number))
    }

    fn failure() -> Failure {
        Failure { kind: FailureKind::Timeout, script: "x".into(), message: "too slow".into(), line: None, column: None }
    }

    fn merged(answers: Vec<(&Policy, Answer)>, claims: &Claims) -> Granted {
        let mut disabled = entitlement(3, &["web"]);
        disabled.disabled = true;
        let entitlements = [entitlement(1, &[]), entitlement(2, &["web"]), disabled];
        merge(answers, &entitlements, &BTreeSet::from([site(1), site(2)]), claims)
    }

    #[test]
    fn a_stop_policy_that_matches_or_fails_refuses() {
        let stop = policy(1, PolicyType::Stop);
        assert_eq!(check_stops([(&stop, Ok(true))]).unwrap_err().code(), "authorization.stopped");
        assert_eq!(check_stops([(&stop, Err(failure()))]).unwrap_err().code(), "authorization.stop-failed");
        assert_eq!(check_stops([(&stop, Ok(false))]), Ok(()));
        let mut off = stop.clone();
        off.disabled = true;
        assert_eq!(check_stops([(&off, Ok(true))]), Ok(()));
    }

    #[test]
    fn every_match_counts_and_a_failure_is_no_match() {
        let (first, second, third) =
            (policy(1, PolicyType::Mixed), policy(2, PolicyType::Access), policy(3, PolicyType::Mixed));
        let granted =
            merged(vec![(&first, Ok(true)), (&second, Ok(true)), (&third, Err(failure()))], &Claims::default());
        let of_site = &granted.sites[&site(1)];
        assert_eq!(of_site.keys().map(|id| id.uuid().as_u128()).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(of_site.values().next().unwrap().len(), 2);
        assert_eq!(granted.matched.len(), 2);
        assert_eq!(granted.roles.len(), 1);
    }

    #[test]
    fn types_grant_only_what_is_theirs() {
        let (admin, device) = (policy(1, PolicyType::Admin), policy(2, PolicyType::Device));
        let granted = merged(vec![(&admin, Ok(true)), (&device, Ok(true))], &Claims::default());
        assert!(granted.sites.is_empty());
        assert_eq!(granted.roles.len(), 1);
    }

    #[test]
    fn site_overrides_fall_through_when_they_name_no_site() {
        let mut moved = policy(1, PolicyType::Access);
        moved.override_site_claim = Some(vec!["user".into(), "home".into(), "site".into()]);
        let claims = |text: &str| Claims {
            user: [("home".to_owned(), serde_json::json!({ "site": text }))].into_iter().collect(),
            ..Claims::default()
        };
        let sites = |claims: &Claims, policy: &Policy| {
            merged(vec![(policy, Ok(true))], claims).sites.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(sites(&claims(&site(2).to_string()), &moved), [site(2)]);
        assert_eq!(sites(&claims(&site(7).to_string()), &moved), [site(1)]);
        assert_eq!(sites(&claims("nonsense"), &moved), [site(1)]);
        moved.override_site = Some(site(2));
        assert_eq!(sites(&Claims::default(), &moved), [site(2)]);
    }
}
