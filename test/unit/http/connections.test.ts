import assert from 'node:assert/strict';
import { Server, Socket } from 'node:net';
import { test } from 'node:test';
import { NO_METRICS, type Labels, type Metrics } from '../../../src/core/index.ts';
import { Connections } from '../../../src/http/connections.ts';

const LIMITS = { maxConnections: 6, maxPerPeer: 3, keepAliveMs: 1000 };

/** A server that accepts what a test says. */
class Door {
  readonly connections: Connections;
  /** Why connections were closed. */
  readonly closed: (string | undefined)[] = [];
  readonly #server = new Server();
  #port = 1024;

  constructor(nodeAddresses: readonly string[] = [], limits = LIMITS) {
    this.connections = new Connections(limits, nodeAddresses, this.#metrics());
    this.connections.track(this.#server);
  }

  accept(remoteAddress: string, remotePort = (this.#port += 1)): Socket {
    const socket = new Socket();
    Object.defineProperties(socket, {
      remoteAddress: { value: remoteAddress },
      remotePort: { value: remotePort },
    });
    this.#server.emit('connection', socket);
    return socket;
  }

  #metrics(): Metrics {
    const add = ({ reason }: Labels = {}): void => void this.closed.push(reason);
    const counter = { add, remove: () => undefined };
    return { ...NO_METRICS, counter: () => counter };
  }

  acceptAll(...addresses: readonly string[]): Socket[] {
    return addresses.map((address) => this.accept(address));
  }
}

function openOf(sockets: readonly Socket[]): number[] {
  return sockets.flatMap(({ destroyed }, index) => (destroyed ? [] : [index]));
}

test('at the limit the connection that has been idle for longest is closed, never the newest', () => {
  const door = new Door();
  const sockets = door.acceptAll('10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5');
  sockets.push(...door.acceptAll('10.0.0.6', '10.0.0.7', '10.0.0.8'));
  assert.deepEqual(openOf(sockets), [2, 3, 4, 5, 6, 7]);
});

test('a busy connection outlives idle ones; after its answer it is the youngest of them', () => {
  const door = new Door();
  const sockets = door.acceptAll('10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5');
  sockets.push(door.accept('10.0.0.6'));
  const [one, two] = [
    door.connections.markBusy(sockets[0]!),
    door.connections.markBusy(sockets[0]!),
  ];
  one();
  one();
  sockets.push(door.accept('10.0.0.7'));
  assert.equal(sockets[0]!.destroyed, false, 'its other request is being answered');
  two();
  sockets.push(door.accept('10.0.0.8'));
  assert.deepEqual(openOf(sockets), [0, 3, 4, 5, 6, 7]);
});

test('where all connections are busy the oldest is closed', () => {
  const door = new Door();
  const sockets = door.acceptAll('10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5');
  sockets.push(door.accept('10.0.0.6'));
  for (const socket of sockets) door.connections.markBusy(socket);
  sockets.push(door.accept('10.0.0.7'));
  assert.deepEqual(openOf(sockets), [1, 2, 3, 4, 5, 6]);
});

test('a caller above its limit loses its own oldest connection, in all notations of its address', () => {
  const door = new Door();
  const other = door.accept('10.0.0.9');
  const sockets = door.acceptAll('10.0.0.1', '::ffff:10.0.0.1', '10.0.0.1', '::ffff:a00:1');
  assert.deepEqual(openOf([other, ...sockets]), [0, 2, 3, 4]);
  const network = door.acceptAll('2001:db8::1', '2001:db8::2', '2001:db8::3', '2001:db8::4');
  assert.equal(network[0]!.destroyed, true, 'one machine has a whole network of addresses');
});

for (const near of ['127.0.0.1', '::1', '127.0.0.6', '192.0.2.7', '::ffff:192.0.2.7']) {
  test(`${near} has no limit of its own`, () => {
    const door = new Door(['192.0.2.7']);
    const sockets = door.acceptAll(near, near, near, near, near, near);
    assert.equal(openOf(sockets).length, 6);
  });
}

test('no limit per caller where callers share an address', () => {
  const door = new Door([], { ...LIMITS, maxConnections: 500, maxPerPeer: Infinity });
  const sockets = Array.from({ length: 500 }, () => door.accept('10.0.0.1'));
  assert.equal(openOf(sockets).length, 500);
});

test('closed connections are removed, also where their address is reused before the close event', async () => {
  const door = new Door();
  const first = door.accept('10.0.0.1', 4000);
  first.destroy();
  const again = door.accept('10.0.0.1', 4000);
  await new Promise((resolve) => first.once('close', resolve));
  assert.equal(door.connections.size, 1);
  const more = door.acceptAll('10.0.0.1', '10.0.0.1');
  assert.deepEqual(openOf([again, ...more]), [0, 1, 2]);
  door.connections.closeAll();
  assert.deepEqual(openOf([again, ...more]), []);
});

test('closed connections are counted by the limit that was reached', () => {
  const door = new Door(['10.0.0.9']);
  const [first] = door.acceptAll('10.0.0.1', '10.0.0.1', '10.0.0.1');
  assert.deepEqual(door.closed, []);
  door.accept('10.0.0.1');
  assert.deepEqual(door.closed, ['address']);
  assert.ok(first?.destroyed);
  door.acceptAll('10.0.0.9', '10.0.0.9', '10.0.0.9');
  assert.deepEqual(door.closed, ['address']);
  door.accept('10.0.0.9');
  assert.deepEqual(door.closed, ['address', 'port']);
  door.connections.closeAll();
  assert.equal(door.closed.length, 2);
});
