import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import { NOTIFY_SIGNALS, notifyUrlProblem, parseNotifySignal } from '../../../src/core/index.ts';

test('signals are read with and without SIG, in either case', () => {
  for (const text of ['HUP', 'SIGHUP', 'hup', 'sighup', 'SigHup']) {
    assert.equal(parseNotifySignal(text), 'SIGHUP');
  }
  for (const name of NOTIFY_SIGNALS) {
    assert.equal(parseNotifySignal(name), name);
    assert.ok(name in constants.signals, name);
  }
});

test('signals that cannot be caught, and unknown ones, are rejected', () => {
  for (const text of [
    '',
    'SIG',
    'KILL',
    'SIGKILL',
    'STOP',
    '9',
    'HUP ',
    'SIGSIGHUP',
    'constructor',
  ]) {
    assert.equal(parseNotifySignal(text), undefined, text);
  }
});

for (const url of [
  'http://127.0.0.1:8080/-/reload',
  'http://127.1.2.3/',
  'http://127.1:9/x?y=z',
  'http://0x7f000001/',
  'http://2130706433/',
  'http://[::1]:8080/',
  'http://localhost:8080/reload',
  'HTTP://LOCALHOST/',
]) {
  test(`${url} may be called`, () => {
    assert.equal(notifyUrlProblem(url), undefined);
  });
}

for (const [url, rule] of [
  ['', /not a valid URL/],
  ['/reload', /not a valid URL/],
  ['127.0.0.1:8080', /not a valid URL/],
  ['https://127.0.0.1/', /http:\/\//],
  ['file:///etc/passwd', /http:\/\//],
  ['http://10.0.0.1/', /loopback/],
  ['http://0.0.0.0/', /loopback/],
  ['http://169.254.169.254/latest/meta-data', /loopback/],
  ['http://128.0.0.1/', /loopback/],
  ['http://127.0.0.1.example.org/', /loopback/],
  ['http://localhost.example.org/', /loopback/],
  ['http://app.localhost/', /loopback/],
  ['http://[::]/', /loopback/],
  ['http://[::2]/', /loopback/],
  ['http://[fe80::1]/', /loopback/],
  ['http://[::ffff:10.0.0.1]/', /loopback/],
  ['http://user:password@127.0.0.1/', /user name/],
  ['http://127.0.0.1@example.org/', /user name/],
] as const) {
  test(`${url || 'an empty URL'} is rejected`, () => {
    assert.match(notifyUrlProblem(url) ?? 'no problem', rule);
  });
}
