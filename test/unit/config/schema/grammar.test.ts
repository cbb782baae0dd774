import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as grammar from '../../../../src/config/schema/grammar.ts';
import type { Grammar } from '../../../../src/config/schema/grammar.ts';

interface Samples<T> {
  readonly grammar: Grammar<T>;
  readonly accepted: readonly (readonly [string, T])[];
  readonly rejected: readonly string[];
}

function samples<T>(given: Samples<T>): Samples<unknown> {
  return given;
}

const TABLE: Readonly<Record<string, Samples<unknown>>> = {
  boolean: samples({
    grammar: grammar.boolean,
    accepted: [
      ['true', true],
      ['false', false],
    ],
    rejected: ['True', 'yes', '1', '', ' true'],
  }),
  duration: samples({
    grammar: grammar.duration(1000),
    accepted: [
      ['5m', 300_000],
      ['1h30m', 5_400_000],
      ['90', 90_000],
    ],
    rejected: ['', '5 minutes', '-5m', '999ms', '0', '366d', '1e3s'],
  }),
  fileMode: samples({
    grammar: grammar.fileMode,
    accepted: [
      ['0440', 0o440],
      ['600', 0o600],
      ['0744', 0o744],
      ['0400', 0o400],
    ],
    rejected: [
      ...['', '0o440', '440x', '1777', '0040', '00440', '0844', 'rw'],
      ...['0777', '0660', '0446', '0450', '0445', '0620', '0602', '0610', '0601'],
    ],
  }),
  outputPath: samples({
    grammar: grammar.outputPath,
    accepted: [
      ['app.json', 'app.json'],
      ['tls/key.pem', 'tls/key.pem'],
    ],
    rejected: ['', '/etc/passwd', '../x', 'a/../b', 'a//b', '..data', 'a/', 'a\\b', 'a\nb'],
  }),
  fileName: samples({
    grammar: grammar.fileName,
    accepted: [
      ['app.json', 'app.json'],
      ['.env', '.env'],
      ['a..', 'a..'],
    ],
    rejected: ['', '.', '..', '..data', '...', 'App', 'a/b'],
  }),
  secretRef: samples({
    grammar: grammar.secretRef,
    accepted: [
      ['kvv2/app', { path: 'kvv2/app' }],
      ['/v1/kvv2/app/', { path: 'kvv2/app' }],
      ['kvv2/app#pass#word', { path: 'kvv2/app', key: 'pass#word' }],
    ],
    rejected: ['', 'kvv2', 'kvv2/../sys', 'kvv2/app#', '#key', 'kvv2/\u0000'],
  }),
  authMount: samples({
    grammar: grammar.authMount,
    accepted: [
      ['jwt', 'jwt'],
      ['auth/jwt/', 'jwt'],
      ['teams/a/jwt', 'teams/a/jwt'],
    ],
    rejected: ['', 'auth', 'auth/', '../jwt'],
  }),
  httpOrigin: samples({
    grammar: grammar.httpOrigin,
    accepted: [
      ['https://vault:8200', 'https://vault:8200'],
      ['http://[::1]:8200/', 'http://[::1]:8200'],
    ],
    rejected: [
      '',
      'vault:8200',
      'ftp://vault',
      'https://u:p@vault',
      'https://vault/v1',
      'https://v?x',
    ],
  }),
  host: samples({
    grammar: grammar.host,
    accepted: [
      ['vault-1.vault-internal', 'vault-1.vault-internal'],
      ['Vault.Example.', 'vault.example'],
      ['10.0.0.1', '10.0.0.1'],
      ['2130706433', '127.0.0.1'],
      ['fd00::1', '[fd00::1]'],
      ['[FD00:0::1]', '[fd00::1]'],
    ],
    rejected: [
      ...['', 'vault:8200', 'vault:', '[::1]:8200', 'https://vault', 'vault/x', 'u@vault', 'a b'],
      ...[
        '*.example\\',
        'v?x',
        'v#x',
        'a\u202eb',
        'x'.repeat(254),
        '999.1.1.1',
        '.',
        '[',
        'fe80::1%1',
      ],
    ],
  }),
  notifyActions: samples({
    grammar: grammar.notifyActions,
    accepted: [
      ['signal:HUP@web', [{ kind: 'signal', signal: 'SIGHUP', container: 'web' }]],
      [
        'restart@web, http:POST http://127.0.0.1:8080/-/reload',
        [
          { kind: 'restart', container: 'web' },
          { kind: 'http', method: 'POST', url: 'http://127.0.0.1:8080/-/reload' },
        ],
      ],
    ],
    rejected: [
      '',
      'signal:KILL@web',
      'signal:HUP',
      'signal:HUP@a@b',
      'restart@',
      'restart@Web',
      'exec:rm',
      'http:POST http://example.org/',
      'http:DELETE http://127.0.0.1/',
      'http:POST http://127.0.0.1/ extra',
      'signal:HUP@web,',
    ],
  }),
  initContainerNames: samples({
    grammar: grammar.initContainerNames,
    accepted: [
      ['all', 'all'],
      ['a, b', ['a', 'b']],
    ],
    rejected: ['', 'a,,b', 'A', '-a'],
  }),
  quantityRange: samples({
    grammar: grammar.quantityRange,
    accepted: [
      ['10m', { request: '10m' }],
      ['48Mi/128Mi', { request: '48Mi', limit: '128Mi' }],
    ],
    rejected: ['', '/', '10m/', '1/2/3', '-1', 'lots', '10 Mi'],
  }),
  configMapRef: samples({
    grammar: grammar.configMapRef,
    accepted: [['app.templates/web.hbs', { name: 'app.templates', key: 'web.hbs' }]],
    rejected: ['', 'app', 'app/', '/key', 'a/b/c', 'App/key', 'app/..', 'app/k/e'],
  }),
  mountPath: samples({
    grammar: grammar.mountPath,
    accepted: [
      ['/vault/secrets', '/vault/secrets'],
      ['/app/', '/app'],
    ],
    rejected: ['', '/', 'vault', '/a/../b', '/a//b', '/proc', '/sys/x', '/dev', '/a:b'],
  }),
  workloadSocket: samples({
    grammar: grammar.workloadSocket,
    accepted: [
      ['/run/spire/agent.sock', 'unix:///run/spire/agent.sock'],
      ['unix:///run/spire/agent.sock', 'unix:///run/spire/agent.sock'],
      ['tcp://127.0.0.1:8081', 'tcp://127.0.0.1:8081'],
    ],
    rejected: ['', '/agent.sock', 'agent.sock', 'tcp://host:1', 'unix://relative', 'tcp://1.2.3.4'],
  }),
  listenAddress: samples({
    grammar: grammar.listenAddress,
    accepted: [
      [':9102', ':9102'],
      ['[::1]:0', '[::1]:0'],
      ['127.0.0.1:9102', '127.0.0.1:9102'],
    ],
    rejected: ['', '9102', 'host:', ':65536', '::1:80', 'a b:80'],
  }),
  pem: samples({
    grammar: grammar.pem,
    accepted: [],
    rejected: ['', 'x', '-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----'],
  }),
  imageReference: samples({
    grammar: grammar.imageReference,
    accepted: [['vouchsafe:1.0.0', 'vouchsafe:1.0.0']],
    rejected: ['', '-x', 'a b', 'a\nb'],
  }),
};

for (const [name, { grammar: rule, accepted, rejected }] of Object.entries(TABLE)) {
  test(`${name} accepts what it documents`, () => {
    for (const [text, value] of accepted) assert.deepEqual(rule.parse(text), { value }, text);
  });
  test(`${name} rejects everything else with a reason`, () => {
    for (const text of rejected) {
      const parsed = rule.parse(text);
      assert.ok('problem' in parsed && parsed.problem !== '', JSON.stringify(text));
    }
  });
  test(`${name} never throws`, () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => void rule.parse(text)));
  });
  test(`${name} has a schema that accepts everything that it accepts`, () => {
    const { pattern, enum: words } = rule.schema;
    for (const [text] of accepted) {
      if (pattern !== undefined) assert.match(text, new RegExp(pattern));
      if (words !== undefined) assert.ok(words.includes(text));
    }
  });
}
