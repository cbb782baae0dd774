import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatAddress,
  isExemptFromPeerLimit,
  parseAddress,
  peerOf,
} from '../../../src/http/address.ts';

const PEERS: readonly (readonly [string | undefined, string])[] = [
  ['10.1.2.3', '10.1.2.3'],
  ['::ffff:10.1.2.3', '10.1.2.3'],
  ['::FFFF:10.1.2.3', '10.1.2.3'],
  ['::ffff:a01:203', '10.1.2.3'],
  ['0:0:0:0:0:ffff:a01:203', '10.1.2.3'],
  ['::1', '::1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:DB8:1:2::9', '2001:db8:1:2::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  [undefined, ''],
];

test('one caller, in all notations of its address', () => {
  for (const [address, peer] of PEERS) assert.equal(peerOf(address), peer, `${address}`);
});

test('only loopback, the proxy of a mesh and the addresses of the node are exempt from the limit', () => {
  const node = ['192.0.2.7', '2001:db8::7'];
  const near = ['127.0.0.1', '127.0.0.6', '::ffff:127.0.0.1', '::1', '169.254.7.127', ...node];
  for (const address of near) assert.ok(isExemptFromPeerLimit(peerOf(address), node), address);
  const far = [
    '192.0.2.8',
    '2001:db8:0:1::7',
    '10.127.0.1',
    '::ffff:10.0.0.1',
    '169.254.7.126',
    '',
  ];
  for (const address of far) assert.ok(!isExemptFromPeerLimit(peerOf(address), node), address);
});

test('addresses of listeners', () => {
  for (const text of ['127.0.0.1:80', '[::1]:9102', ':8443']) {
    assert.equal(formatAddress(parseAddress(text)), text);
  }
});
