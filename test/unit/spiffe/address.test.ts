import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseWorkloadApiAddress } from '../../../src/spiffe/index.ts';

for (const [uri, target] of [
  ['unix:///run/spire/sockets/agent.sock', 'unix:/run/spire/sockets/agent.sock'],
  ['unix:/tmp/api.sock', 'unix:/tmp/api.sock'],
  ['unix:///run/a%20b.sock', 'unix:/run/a b.sock'],
  ['tcp://127.0.0.1:8081', 'ipv4:127.0.0.1:8081'],
  ['tcp://[::1]:8081', 'ipv6:[::1]:8081'],
] as const) {
  test(`${uri} is an address`, () => {
    assert.deepEqual(parseWorkloadApiAddress(uri), { uri, target });
  });
}

for (const [uri, message] of [
  ['', /not set.*SPIFFE_ENDPOINT_SOCKET/],
  ['/run/api.sock', /must begin with unix:\/\/ or tcp:\/\//],
  ['http://127.0.0.1:80', /must begin with/],
  ['UNIX:///run/api.sock', /must begin with/],
  ['unix://run/api.sock', /must not have a host; use unix:\/\/\/run\/api.sock/],
  ['unix:run/api.sock', /absolute path/],
  ['unix://', /absolute path/],
  ['unix:///', /absolute path/],
  ['unix:///run/api.sock?x=1', /query/],
  ['unix:///run/api.sock#x', /fragment/],
  ['unix://me@/run/api.sock', /user information/],
  ['unix:///run/%zz.sock', /percent-encoding/],
  ['unix:///run/%00.sock', /control characters/],
  [`unix:///${'x'.repeat(107)}`, /107 bytes/],
  ['tcp://localhost:8081', /IP address/],
  ['tcp://127.0.0.1', /port/],
  ['tcp://127.0.0.1:', /port/],
  ['tcp://127.0.0.1:0', /port/],
  ['tcp://127.0.0.1:65536', /port/],
  ['tcp://127.0.0.1:80/path', /path/],
  ['tcp://127.0.0.1:80/', /path/],
  ['tcp://::1:80', /IP address/],
  ['tcp://[127.0.0.1]:80', /IP address/],
  ['tcp://me@127.0.0.1:80', /user information/],
  ['tcp:127.0.0.1:80', /path/],
] as const) {
  test(`"${uri}" is rejected by its own rule`, () => {
    assert.throws(() => parseWorkloadApiAddress(uri), { code: 'ERR_SPIFFE_ADDRESS', message });
  });
}
