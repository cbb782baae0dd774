/** AgentConfig documents in hostile hands: a frozen configuration or every problem with its place, never a crash. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import {
  AGENT_CONFIG_SCHEMA,
  parseAgentConfig,
  parseAgentConfigText,
} from '../../../src/config/agent/index.ts';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { parseDocumentText } from '../../../src/config/schema/index.ts';
import { outputPathProblem, VouchsafeError } from '../../../src/core/index.ts';
import {
  holds,
  holdsAsync,
  hostileText,
  hostileValue,
  mutated,
  mutatedText,
  PROTOTYPE_NAMES,
} from '../../helpers/arbitraries.ts';

const DOCUMENT = {
  apiVersion: 'vouchsafe.dev/v1',
  kind: 'AgentConfig',
  spiffe: { socket: 'unix:///run/agent.sock', spiffeId: 'spiffe://example.org/web', hint: 'h' },
  vault: {
    address: 'https://vault.example:8200',
    namespace: 'team',
    caFile: '/ca/ca.crt',
    tlsServerName: 'vault.example',
    redirectHosts: ['vault-1.example'],
    proxy: 'http://proxy.example:3128',
    timeout: '10s',
  },
  auth: { method: 'jwt', mount: 'auth/jwt', role: 'demo', audience: 'vault' },
  output: { directory: '/vault/secrets', mode: '0440' },
  files: [
    { name: 'app', secret: 'kvv2/app#key', mode: '0400', path: 'tls/app', refresh: '30s' },
    { name: 'b', template: '{{json this}}', secret: 'kvv2/b', onChange: ['signal:HUP@web'] },
    { name: 'c', templateFile: '/templates/map/key' },
    { name: 'd', jwtSvid: ['a', 'b'] },
    { name: 'e', secret: 'database/creds/app', format: 'env' },
  ],
  x509Svid: { svidFile: 'tls/svid.pem', keyMode: '0400', onChange: ['restart@web'] },
  onChange: ['http:POST http://127.0.0.1:8080/-/reload'],
  onMissingVault: 'wait',
  initDeadline: '2m',
  revokeOnExit: true,
  revokeGrace: '10s',
  stateDirectory: '/run/vouchsafe/state',
  listen: ':9102',
  terminationLog: '/dev/termination-log',
  logLevel: 'info',
};

const isValid = new Ajv2020({ strict: true }).compile(AGENT_CONFIG_SCHEMA);

/** True where the document was accepted; whatever else comes out of it is a defect. */
function assertAnswer(read: () => object): boolean {
  try {
    assertDeeplyFrozen(read());
    return true;
  } catch (error) {
    assertRefusal(error);
    return false;
  }
}

function assertRefusal(error: unknown): void {
  assert.ok(error instanceof VouchsafeError, String(error));
  assert.match(error.code, /^ERR_CONFIG_(INVALID|UNREADABLE)$/);
  if (error.code !== 'ERR_CONFIG_INVALID') return;
  const { problems } = error.details;
  assert.ok(Array.isArray(problems) && problems.length > 0);
  for (const problem of problems) assert.match(String(problem), /^[^]+: [^]+$/);
}

function assertDeeplyFrozen(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  assert.ok(Object.isFrozen(value));
  for (const part of Object.values(value)) assertDeeplyFrozen(part);
}

test('the document that is mutated below is a good one', () => {
  assert.ok(parseAgentConfig(DOCUMENT));
  assert.ok(isValid(DOCUMENT));
});

test('a document with unusual parts is a frozen configuration or a list of problems', () => {
  let accepted = 0;
  holds(fc.oneof(mutated(DOCUMENT), hostileValue), 1500, (document) => {
    const isAccepted = assertAnswer(() => {
      const config = parseAgentConfig(document);
      for (const { path } of config.files) assert.equal(outputPathProblem(path), undefined, path);
      return config;
    });
    if (!isAccepted) return;
    accepted += 1;
    assert.ok(isValid(document), `the schema refuses it: ${JSON.stringify(isValid.errors)}`);
  });
  assert.ok(accepted > 5, `${accepted} accepted`);
});

test('what the environment offers is kept to the same rules', () => {
  const { vault: _vault, spiffe: _spiffe, ...rest } = DOCUMENT;
  const texts = fc.option(
    fc.oneof(hostileText, mutatedText('https://vault:8200', 'unix:///run/agent.sock', '/ca.crt')),
    { nil: undefined },
  );
  const environments = fc.record({
    vaultAddress: texts,
    vaultNamespace: texts,
    vaultCaFile: texts,
    spiffeEndpointSocket: texts,
  });
  holds(environments, 300, (environment) => {
    assertAnswer(() => parseAgentConfig(rest, environment));
  });
});

test('JSON text after edits is read or rejected', async () => {
  const texts = mutatedText(JSON.stringify(DOCUMENT), JSON.stringify(DOCUMENT, undefined, 2));
  await holdsAsync(texts, 100, async (text) => {
    const config = await parseAgentConfigText(text).catch(assertRefusal);
    if (config !== undefined) assertDeeplyFrozen(config);
  });
});

const YAML = `apiVersion: vouchsafe.dev/v1
kind: AgentConfig
vault: &v {address: 'https://vault.example:8200', timeout: 10s}
spiffe:
  socket: "unix:///run/agent.sock"
output: {mode: '0440'}
files:
  - name: app   # a comment
    secret: kvv2/app
    template: |
      {{json this}}
  - {name: b, secret: kvv2/b, mode: '0400', onChange: [&a "signal:HUP@web", *a]}
`;

const yamlPieces = fc.constantFrom(
  ...['<<: *v', '*v', '*a', '&v', '*nope', '!!js/function "x"', '!!binary aGk=', '!!set {a}'],
  ...['!!python/object:os.system x', '!<tag:yaml.org,2002:str> x', '%YAML 1.1', '%TAG ! x', '---'],
  ...['...', '? [a]: b', '? {a: b}\n: c', '- ', ': ', '{', '[', '|', '>', '"', "'", '#', '\t', '@'],
  ...['.inf', '-.INF', '.nan', '0o777', '0x1F', '1e999', '9'.repeat(400), '~', 'null', 'yes'],
  ...['2001-12-14t21:59:43.10-05:00', '!!omap [a: 1]', '!!merge <<', '=', '\u0085', '\u2028'],
  ...PROTOTYPE_NAMES.map((name) => `\n${name}: {polluted: true}\n`),
);

test('YAML text after edits is read or rejected', async () => {
  const edits = fc.array(fc.tuple(fc.nat(), fc.oneof(yamlPieces, hostileText)), { maxLength: 3 });
  const texts = fc.tuple(mutatedText(YAML), edits).map(([text, pieces]) =>
    pieces.reduce((all, [where, piece]) => {
      const start = where % (all.length + 1);
      return all.slice(0, start) + piece + all.slice(start);
    }, text),
  );
  await holdsAsync(texts, 150, async (text) => {
    const config = await parseAgentConfigText(text).catch(assertRefusal);
    if (config !== undefined) assertDeeplyFrozen(config);
  });
});

test('YAML that is to take all time or memory ends', async () => {
  const bombs = fc
    .record({
      levels: fc.integer({ min: 1, max: 20 }),
      width: fc.integer({ min: 1, max: 20 }),
      isMap: fc.boolean(),
    })
    .map(({ levels, width, isMap }) => {
      const lines = Array.from({ length: levels }, (_, level) => {
        const aliases = Array.from({ length: width }, (__, index) => {
          const alias = level === 0 ? 'x' : `*a${level - 1}`;
          return isMap ? `k${index}: ${alias}` : alias;
        }).join(', ');
        return `a${level}: &a${level} ${isMap ? `{${aliases}}` : `[${aliases}]`}`;
      });
      return lines.join('\n');
    });
  const nests = fc
    .tuple(fc.constantFrom('[', '{a: ', '- ', '? ', '&a ', '!!seq ', '"', '{', '[[]'), fc.nat(800))
    .map(([piece, count]) => piece.repeat(count));
  await holdsAsync(fc.oneof(bombs, nests), 40, async (text) => {
    await parseAgentConfigText(text).catch(assertRefusal);
  });
});

test('unusual values of an installation are accepted, or rejected with their places', async () => {
  const examples = await Promise.all(
    ['{}', '{"vault":{"connections":{"default":{"address":"https://vault:8200"}}}}'].map(
      parseDocumentText,
    ),
  );
  const installation = {
    annotationPrefix: 'vouchsafe.dev',
    defaults: { role: 'demo', refresh: '5m' },
    vault: { default: 'a', connections: { a: { address: 'https://vault:8200', namespace: 'x' } } },
    webhook: { maxBodyBytes: 65_536, excludedNamespaces: ['kube-system'] },
  };
  holds(fc.oneof(...[installation, ...examples].map(mutated)), 600, (values) => {
    assertAnswer(() => parseInstallation(values));
  });
});
