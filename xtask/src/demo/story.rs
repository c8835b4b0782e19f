//! The story, step by step, in the order it is told.

mod access;
mod conditions;
mod facts;
mod failures;
mod house;
mod revocation;

use anyhow::Result;

use super::{
    report::{Done, Report},
    world::World,
};

struct Step {
    name: &'static str,
    run: fn(&mut World) -> Result<Done>,
    /// Without it nothing that follows makes sense.
    vital: bool,
}

const fn vital(name: &'static str, run: fn(&mut World) -> Result<Done>) -> Step {
    Step { name, run, vital: true }
}

const fn step(name: &'static str, run: fn(&mut World) -> Result<Done>) -> Step {
    Step { name, run, vital: false }
}

const STORY: &[Step] = &[
    vital("protected services", house::start_services),
    vital("controller", house::start_controller),
    vital("administrator", house::sign_in_administrator),
    vital("policies", house::apply_policies),
    vital("gateway", house::enrol_gateway),
    step("wrong password", access::wrong_password),
    vital("sign-in", access::sign_in),
    step("claims token", access::claims_token),
    step("policy", access::criteria_script),
    step("Stop policy", access::stop_policy),
    step("entitlement token", access::entitlement_token),
    step("access", access::fetch_through_gateway),
    step("port not granted", access::port_refused),
    step("host not granted", access::host_refused),
    step("condition", conditions::held_until_true),
    step("condition edited", conditions::edit_cuts),
    step("reason asked", conditions::reason_asked),
    step("one-time code asked", conditions::code_asked),
    step("narrower block", conditions::narrower_block_cuts),
    step("groups over HTTP", facts::groups_over_http),
    step("device script", facts::device_script_followed),
    step("re-evaluation", facts::reevaluation_cuts),
    step("address moved", facts::address_moves),
    step("revocation at once", revocation::at_once),
    step("renewed in time", revocation::renewed_in_time),
    step("revocation with delay", revocation::with_delay),
    step("schedule set", facts::schedule_set),
    step("stolen token", revocation::stolen_token),
    step("controller killed", failures::controller_killed),
    step("script without end", failures::endless_script),
    step("delayed revocation due", revocation::delay_due),
    step("download outlived it", revocation::outlived),
    step("schedule", facts::schedule_cuts),
    step("gateway killed", failures::gateway_killed),
];

/// Tells all of it, or up to the first vital step that fails.
pub fn tell(world: &mut World, report: &mut Report) {
    for step in STORY {
        let passed = report.step(step.name, || (step.run)(world));
        if !passed && step.vital {
            report.note("The rest of the story needs this step");
            return;
        }
    }
}
