// Ports of a service from the Consul catalogue.
//
// Needs secret: CONSUL_TOKEN (with `service:read` and `node:read`)
// Calls: https://consul.example.com:8501
//
// Set BASE and SERVICE. The list is kept in the appliance's cache for a minute.

const BASE = 'https://consul.example.com:8501';
const SERVICE = 'billing';
const MAX_PORTS = 50;

const key = 'consul-ports:' + SERVICE;
const cached = cache.getIfPresent(key);
if (cached) {
  return cached.slice(0, MAX_PORTS);
}

const response = httpGet(BASE + '/v1/catalog/service/' + encodeURIComponent(SERVICE), [
  { key: 'X-Consul-Token', value: '%SECRET:CONSUL_TOKEN%' }
], 2000);
if (!response || response.statusCode !== 200) {
  throw new Error('Consul answered ' + (response ? response.statusCode : 'nothing'));
}
const all = JSON.parse(response.data)
  .map(instance => instance.ServicePort)
  .filter(port => typeof port === 'number' && port > 0 && port < 65536);
const ports = all.filter((port, index) => all.indexOf(port) === index).map(port => String(port));
cache.put(key, ports, 60);
return ports.slice(0, MAX_PORTS);
