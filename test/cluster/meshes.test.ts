/**
 * Meshes: a stand-in redirects what comes from outside the pod to a proxy that closes plain HTTP, as one in STRICT mode
 * does. The agent's port is excluded by what the webhook adds, and only by that.
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { suite, test } from 'node:test';
import { REDIRECT_IMAGE } from './parts/images.ts';
import type { List, Pod, PodSpec } from './parts/objects.ts';
import {
  api,
  containerStatus,
  eventually,
  FOREVER,
  shellContainer,
  shellPod,
  Space,
} from './parts/suite.ts';

type Container = PodSpec['containers'][number];

const ANNOTATION = 'traffic.sidecar.istio.io/excludeInboundPorts';
const PROXY_PORT = 15_006;

/** Redirects every port except those of its flag `-d`, or of the annotation. */
const REDIRECT = `
set -e
while [ $# -gt 0 ]; do [ "$1" != -d ] || PORTS=$2; shift; done
iptables -t nat -N MESH
for port in $(echo "$PORTS" | tr , ' '); do iptables -t nat -A MESH -p tcp --dport $port -j RETURN; done
iptables -t nat -A MESH -p tcp -j REDIRECT --to-ports ${PROXY_PORT}
iptables -t nat -A PREROUTING -j MESH`;

/** Redirects what the pod's containers send as well. */
const REDIRECT_ALL = `${REDIRECT}
iptables -t nat -A OUTPUT ! -o lo -p tcp -j REDIRECT --to-ports ${PROXY_PORT}`;

const AS_ROOT = {
  image: REDIRECT_IMAGE,
  securityContext: { runAsUser: 0, capabilities: { add: ['NET_ADMIN', 'NET_RAW'] } },
};

/** As a CNI plug-in reads it: from the annotations of the pod that was created. */
function byAnnotation(name: string): Container {
  const fieldPath = `metadata.annotations['${ANNOTATION}']`;
  const env = [{ name: 'PORTS', valueFrom: { fieldRef: { fieldPath } } }];
  return { ...shellContainer(name, REDIRECT), ...AS_ROOT, env };
}

/** As Istio's webhook writes it, before Vouchsafe's is called. */
function byArguments(name: string): Container {
  const args = ['-p', '15001', '-z', `${PROXY_PORT}`, '-m', 'REDIRECT', '-d', '15090,15021'];
  return { ...shellContainer(name, REDIRECT), ...AS_ROOT, args: [name, ...args] };
}

/** Closes each connection without a word. */
function proxy(name: string): Container {
  const line = `nc -ll -p ${PROXY_PORT} -e /bin/false & trap 'kill $!; exit' TERM; wait`;
  return shellContainer(name, line);
}

const SERVE = `httpd -p 8080 -h /tmp; ${FOREVER}`;

function spec(init: Container, sidecar: Container, isNative: boolean): Partial<PodSpec> {
  if (isNative) return { initContainers: [init, { ...sidecar, restartPolicy: 'Always' }] };
  return { initContainers: [init], containers: [shellContainer('app', SERVE), sidecar] };
}

async function withSecret(): Promise<Space> {
  const space = await Space.create();
  await space.grantSecret({ password: 'planted' });
  return space;
}

function settings(space: Space): Record<string, string> {
  return { ...space.login, 'secret-password': `${space.secret}#password` };
}

/** What a server answers to a request for a page, in plain HTTP; empty if it closes the connection. */
async function answerOf(host: string, port: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = '';
  const socket = connect({ host, port }, () => socket.write('GET /startup HTTP/1.0\r\n\r\n'));
  socket
    .setTimeout(5000, () => socket.destroy())
    .on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
    .on('error', () => undefined)
    .on('close', () => resolve(text));
  return promise;
}

function addressOf(pod: Pod): string {
  const host = pod.status?.podIP;
  assert.ok(host !== undefined);
  return host;
}

suite('meshes', { concurrency: true }, () => {
  for (const [how, init] of [
    ['annotation', byAnnotation],
    ['arguments of istio-init', byArguments],
  ] as const) {
    for (const isNative of [true, false]) {
      const kind = isNative ? 'a native sidecar' : 'an ordinary container';
      test(`a mesh that drops plain HTTP lets the agent start, by ${how}; its proxy is ${kind}`, async () => {
        await using space = await withSecret();
        const meshed = spec(init('istio-init'), proxy('istio-proxy'), isNative);
        const asked = { ...settings(space), 'start-gate': 'probe' };
        await space.create(shellPod('meshed', asked, SERVE, meshed));
        const pod = await space.ready('meshed');
        const names = (pod.spec.initContainers ?? []).map(({ name }) => name);
        const before = isNative ? ['istio-init', 'istio-proxy'] : ['istio-init'];
        assert.deepEqual(names, [...before, 'vouchsafe-agent']);
        assert.equal(pod.metadata.annotations?.[ANNOTATION], '9102');
        const host = addressOf(pod);
        assert.match(await answerOf(host, 9102), /^HTTP\/1\.1 200 /);
        assert.equal(await answerOf(host, 8080), '', 'other ports are redirected');
      });
    }
  }

  suite('a proxy that starts after the agent, to which all connections are redirected', () => {
    const init = { ...byArguments('istio-init'), command: ['/bin/sh', '-c', REDIRECT_ALL] };
    const classic = spec(init, proxy('istio-proxy'), false);

    test('with init-first the agent starts before the redirection', async () => {
      await using space = await withSecret();
      const asked = { ...settings(space), 'init-first': 'true' };
      const created = await api.create<Pod>(space.pods, shellPod('first', asked, SERVE, classic));
      assert.deepEqual(created.warnings, []);
      const pod = await space.ready('first');
      const names = (pod.spec.initContainers ?? []).map(({ name }) => name);
      assert.deepEqual(names, ['vouchsafe-agent', 'istio-init']);
    });

    test('without it the agent does not reach Vault, as the warning says', async () => {
      await using space = await withSecret();
      const asked = shellPod('after', settings(space), SERVE, classic);
      const { warnings } = await api.create<Pod>(space.pods, asked);
      assert.match(
        warnings.join(),
        /istio-init: Istio redirects the agent to a proxy that starts after/,
      );
      await eventually('the agent reports the connection', async () => {
        const log = await space.logs('after', 'vouchsafe-agent');
        return /ECONNREFUSED/.test(log) ? true : undefined;
      });
      assert.equal((await space.pod('after')).status?.phase, 'Pending');
    });
  });

  test('a hook starts a pod whose proxy drops everything from outside', async () => {
    await using space = await withSecret();
    await space.trustAccounts();
    const unknown = spec(byArguments('redirect'), proxy('istio-proxy'), true);
    const asked = { ...settings(space), identity: 'service-account' };
    await space.create(shellPod('hooked', asked, SERVE, unknown));
    await eventually('the application runs', async () => {
      const { state } = containerStatus(await space.pod('hooked'), 'app');
      return state?.running === undefined ? undefined : true;
    });
  });

  test('the stand-in drops the probe of an agent whose port is not excluded', async () => {
    await using space = await withSecret();
    // It reads only its arguments, which the webhook does not know by that name.
    const unknown = spec(byArguments('redirect'), proxy('istio-proxy'), true);
    const asked = { ...settings(space), 'start-gate': 'probe' };
    await space.create(shellPod('dropped', asked, SERVE, unknown));
    await eventually('the probe fails', async () => {
      const path = `/api/v1/namespaces/${space.name}/events`;
      const { items } = await api.get<List<{ readonly message?: string }>>(path);
      const isDropped = items.some(({ message = '' }) =>
        message.startsWith('Startup probe failed'),
      );
      return isDropped ? true : undefined;
    });
    await eventually('the agent has delivered', async () => {
      const log = await space.logs('dropped', 'vouchsafe-agent');
      return log.includes('files delivered') ? true : undefined;
    });
    const { status } = await api.get<Pod>(`${space.pods}/dropped`);
    assert.equal(status?.phase, 'Pending');
  });
});
