//! Which gateway of a Site is taken next.

use engine::id::ApplianceId;
use protocol::message::GatewayEndpoint;

/// Chooses by weight; the one to avoid only when there is no other. `random` gives a number below its argument.
pub(super) fn choose(
    gateways: &[GatewayEndpoint],
    avoid: Option<ApplianceId>,
    random: impl FnOnce(u64) -> u64,
) -> Option<&GatewayEndpoint> {
    let others: Vec<&GatewayEndpoint> = gateways.iter().filter(|gateway| Some(gateway.appliance) != avoid).collect();
    let pool = if others.is_empty() { gateways.iter().collect() } else { others };
    let weighted: Vec<&GatewayEndpoint> = pool.iter().copied().filter(|gateway| gateway.weight > 0).collect();
    // A weight of nothing means "only when no other is left".
    let Some(total) = Some(weighted.iter().map(|gateway| u64::from(gateway.weight)).sum()).filter(|total| *total > 0)
    else {
        return pool.first().copied();
    };
    let mut rest = random(total);
    weighted.into_iter().find(|gateway| {
        let weight = u64::from(gateway.weight);
        let found = rest < weight;
        rest = rest.saturating_sub(weight);
        found
    })
}

/// Host and port as they are dialled and shown.
pub(super) fn endpoint_name(gateway: &GatewayEndpoint) -> String {
    if gateway.host.contains(':') {
        format!("[{}]:{}", gateway.host, gateway.port)
    } else {
        format!("{}:{}", gateway.host, gateway.port)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn gateway(number: u128, weight: u32) -> GatewayEndpoint {
        GatewayEndpoint {
            appliance: ApplianceId::new(Uuid::from_u128(number)),
            host: "g".to_owned(),
            port: 443,
            weight,
        }
    }

    #[track_caller]
    fn check(weights: &[u32], avoid: u128, random: u64, expected: Option<u128>) {
        let gateways: Vec<GatewayEndpoint> =
            (1..).zip(weights).map(|(number, weight)| gateway(number, *weight)).collect();
        let avoid = ApplianceId::new(Uuid::from_u128(avoid));
        let found =
            choose(&gateways, Some(avoid), |total| random % total).map(|gateway| gateway.appliance.uuid().as_u128());
        assert_eq!(found, expected);
    }

    #[test]
    fn gateways_are_chosen_by_weight() {
        check(&[], 0, 0, None);
        check(&[1], 1, 0, Some(1));
        check(&[10, 30], 0, 9, Some(1));
        check(&[10, 30], 0, 10, Some(2));
        check(&[10, 30], 2, 39, Some(1));
        check(&[0, 0], 0, 5, Some(1));
        check(&[0, 5], 0, 4, Some(2));
    }

    #[test]
    fn addresses_of_six_are_bracketed() {
        let mut endpoint = gateway(1, 1);
        assert_eq!(endpoint_name(&endpoint), "g:443");
        endpoint.host = "::1".to_owned();
        assert_eq!(endpoint_name(&endpoint), "[::1]:443");
    }
}
