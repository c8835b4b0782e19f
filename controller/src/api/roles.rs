//! What administrative roles can be made of.

use crate::api::{
    call::{Answer, ok},
    caller::Admin,
    privilege::{Action, Target, type_target_map},
};

/// `GET /administrative-roles/type-target-map`.
pub(crate) async fn type_targets(admin: Admin) -> Answer {
    admin.require(Action::View, Target::AdministrativeRole)?;
    Ok(ok(&type_target_map()))
}
