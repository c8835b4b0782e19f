// Whether the client comes from an office network.
//
// Needs claim: system.clientSrcIP
//
// Use addresses as the appliance sees them: those your offices have on the Internet.

const OFFICES = ['192.0.2.0/24', '198.51.100.16/28', '2001:db8:7::/48'];

return OFFICES.some(network => claims.system.isClientInNetwork(network));
