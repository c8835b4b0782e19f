// The same runs by Node: scripts compiled once, run in one context of the `vm` module, claims parsed once a call.
'use strict';
const vm = require('node:vm');
const { performance } = require('node:perf_hooks');

const work = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
const context = vm.createContext({});
const scripts = work.functions.map((text) => new vm.Script(text + '(claims)'));

function call(user, picked) {
  context.claims = JSON.parse(work.claims[user]);
  const results = [];
  for (const script of picked) results.push(script.runInContext(context));
  return results;
}

function measure(milliseconds, batch) {
  const latencies = [];
  let runs = 0;
  let number = 0;
  const before = process.cpuUsage();
  const end = performance.now() + milliseconds;
  for (;;) {
    const picked = batch ? scripts : [scripts[(number * 7) % scripts.length]];
    const started = performance.now();
    call(number % work.claims.length, picked);
    const now = performance.now();
    // Enough for a percentile, and little beside what is measured.
    if (latencies.length < 1e6) latencies.push(now - started);
    runs += picked.length;
    number += 1;
    if (now >= end) break;
  }
  const used = process.cpuUsage(before);
  latencies.sort((a, b) => a - b);
  const at = (share) => latencies[Math.floor((latencies.length - 1) * share)] * 1000;
  return { cpu: (used.user + used.system) / runs, p50: at(0.5), p99: at(0.99) };
}

const verdicts = [];
for (let user = 0; user < work.claims.length; user += 1) verdicts.push(...call(user, scripts));
const figures = {};
for (const [name, batch] of [['single', false], ['batch', true]]) {
  measure(work.milliseconds / 10, batch);
  figures[name] = measure(work.milliseconds, batch);
}
process.stdout.write(JSON.stringify({ ...figures, verdicts }));
