/** The types of the written document follow from its shape: what it accepts compiles, and nothing else does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  parseAgentConfig,
  type RawAgentConfig,
  type RawFile,
} from '../../../../src/config/agent/index.ts';

const KIND = { apiVersion: 'vouchsafe.dev/v1', kind: 'AgentConfig' } as const;

test('a document of the written type is read', () => {
  const files: readonly RawFile[] = [
    { name: 'app', secret: 'kvv2/app#password', format: 'raw', refresh: '5m', mode: '0400' },
  ];
  const document: RawAgentConfig = {
    ...KIND,
    vault: { address: 'https://vault.test', timeout: '3s' },
    spiffe: { socket: 'unix:///run/agent.sock' },
    x509Svid: { svidFile: 'tls.crt', onChange: ['signal:HUP@app'] },
    grants: [{ policy: 'team', operations: ['read'] }],
    files,
    maxRenderBytes: 16_777_216,
    revokeOnExit: false,
    logLevel: 'debug',
  };
  assert.equal(parseAgentConfig(document).files.length, 4);
});

test('what the shape rejects does not compile', () => {
  const rejected: readonly RawAgentConfig[] = [
    // @ts-expect-error kind is missing
    { apiVersion: 'vouchsafe.dev/v1' },
    // @ts-expect-error a file requires a name
    { ...KIND, files: [{ secret: 'kvv2/app' }] },
    // @ts-expect-error one of a few words
    { ...KIND, onMissingVault: 'retry' },
    // @ts-expect-error a duration is written as text
    { ...KIND, initDeadline: 120_000 },
    // @ts-expect-error a name that the document does not have
    { ...KIND, vault: { adress: 'https://vault.test' } },
    // @ts-expect-error permission bits are written in octal, as text
    { ...KIND, output: { mode: 0o440 } },
  ];
  for (const document of rejected) {
    assert.throws(() => parseAgentConfig(document), { code: 'ERR_CONFIG_INVALID' });
  }
});
