//! What the session has, handed to its links and to the status.

use super::Manager;
use crate::{
    link::{Grant, LinkHandle},
    status::{SiteState, SiteStatus, State},
};

impl Manager {
    /// Gives every granted Site its tokens, starts new ones, stops those that are no longer granted.
    pub(super) fn publish(&mut self) {
        self.publish_status();
        let (claims, device_claims) = self.session.presented();
        let granted = |link: &LinkHandle| self.session.sites.iter().any(|(grant, _)| grant.site == link.link.site);
        let (kept, dropped): (Vec<LinkHandle>, Vec<LinkHandle>) = self.links.drain(..).partition(granted);
        for link in &dropped {
            link.stop();
        }
        self.retired.extend(dropped);
        self.links = kept;
        for (site, _) in &self.session.sites {
            let grant = Grant {
                claims: claims.clone(),
                device_claims: device_claims.clone(),
                entitlement: site.entitlement.token.clone(),
                gateways: site.gateways.clone(),
            };
            match self.links.iter().find(|link| link.link.site == site.site) {
                Some(link) => link.serve(grant),
                None => {
                    let id = (site.site, site.name.clone());
                    self.links.push(LinkHandle::spawn(
                        &self.hub,
                        &mut self.tasks,
                        id,
                        self.session.gateway_tls.clone(),
                        grant,
                    ));
                }
            }
        }
        self.hub.set_links(self.links.iter().map(|link| link.link.clone()).collect());
    }

    fn publish_status(&self) {
        self.publish_device();
        let sites = &self.session.sites;
        self.hub.board.update(|status| {
            status.state = State::Connecting;
            status.tokens = self.session.token_status();
            status.policies.clone_from(&self.session.policies);
            status.sites.retain(|shown| sites.iter().any(|(grant, _)| grant.site == shown.id));
            for (grant, _) in sites {
                if !status.sites.iter().any(|shown| shown.id == grant.site) {
                    status.sites.push(SiteStatus {
                        id: grant.site,
                        name: grant.name.clone(),
                        state: SiteState::Connecting,
                        gateway: None,
                        entitlements: grant.entitlements.clone(),
                        shortcuts: Vec::new(),
                        unmet: Vec::new(),
                        message: None,
                        code: None,
                        advice: None,
                    });
                }
            }
        });
    }

    pub(super) fn publish_device(&self) {
        let rows = self.session.found().rows.iter().cloned();
        let rows = rows.map(|mut row| {
            row.restless = self.changes.is_restless(&row.claim);
            row
        });
        let rows = rows.collect();
        self.hub.board.update(|status| status.device_claims = rows);
    }
}
