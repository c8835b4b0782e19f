// True while Elasticsearch shows no open alert of high risk for the device or the user.
//
// Needs secret: ELASTIC_API_KEY (in the encoded form; it needs the privilege `read` on the index)
// Needs claim: user.username
// Needs claim: device.os.hostname
// Calls: https://elasticsearch.example.com:9200
// Needs schedule: 5m
//
// Reads the alerts of Elastic Security. Set BASE, and INDEX to the alerts of your space.

const BASE = 'https://elasticsearch.example.com:9200';
const INDEX = '.alerts-security.alerts-default';
const HIGH_RISK = 70;

const hostname = claims.device.os && claims.device.os.hostname;
if (!claims.user.username || !hostname) {
  return false;
}

const search = {
  size: 1,
  timeout: '2s',
  sort: [{ '@timestamp': 'desc' }],
  _source: ['kibana.alert.rule.name'],
  query: {
    bool: {
      filter: [
        { term: { 'kibana.alert.workflow_status': 'open' } },
        { range: { 'kibana.alert.risk_score': { gte: HIGH_RISK } } }
      ],
      should: [
        { term: { 'user.name': claims.user.username } },
        { term: { 'host.name': hostname } }
      ],
      minimum_should_match: 1
    }
  }
};
const response = httpPost(BASE + '/' + INDEX + '/_search', JSON.stringify(search), 'application/json', [
  { key: 'Authorization', value: 'ApiKey %SECRET:ELASTIC_API_KEY%' }
]);
if (!response || response.statusCode !== 200) {
  throw new Error('Elasticsearch answered ' + (response ? response.statusCode : 'nothing'));
}
const answer = JSON.parse(response.data);
if (answer.timed_out !== false || !answer._shards || answer._shards.failed !== 0) {
  throw new Error('Elasticsearch did not search everything');
}
const hits = answer.hits.hits;
if (hits.length > 0) {
  console.log('open alert: ' + hits[0]._id);
}
return hits.length === 0;
