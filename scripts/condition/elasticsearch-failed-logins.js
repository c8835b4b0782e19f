// True while Elasticsearch shows few failed sign-ins of the user in the last 15 minutes.
//
// Needs secret: ELASTIC_API_KEY (in the encoded form; it needs the privilege `read` on the index)
// Needs claim: user.username
// Calls: https://elasticsearch.example.com:9200
// Needs schedule: 15m
//
// Expects events in the Elastic Common Schema. Set BASE, INDEX and LIMIT.
// An answer that is not complete is an error, and an error never lets anybody through.

const BASE = 'https://elasticsearch.example.com:9200';
const INDEX = 'logs-*';
const LIMIT = 5;

if (!claims.user.username) {
  return false;
}

const query = {
  query: {
    bool: {
      filter: [
        { term: { 'user.name': claims.user.username } },
        { term: { 'event.category': 'authentication' } },
        { term: { 'event.outcome': 'failure' } },
        { range: { '@timestamp': { gte: 'now-15m' } } }
      ]
    }
  }
};
const response = httpPost(BASE + '/' + INDEX + '/_count', JSON.stringify(query), 'application/json', [
  { key: 'Authorization', value: 'ApiKey %SECRET:ELASTIC_API_KEY%' }
]);
if (!response || response.statusCode !== 200) {
  throw new Error('Elasticsearch answered ' + (response ? response.statusCode : 'nothing'));
}
const answer = JSON.parse(response.data);
if (!answer._shards || answer._shards.failed !== 0) {
  throw new Error('Elasticsearch did not search everything');
}
if (answer.count >= LIMIT) {
  console.log(claims.user.username + ' has ' + answer.count + ' failed sign-ins');
}
return answer.count < LIMIT;
