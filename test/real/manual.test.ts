/**
 * The walk-throughs of the manual: their commands set up the real Vault, and their pods get the secrets. What needs a
 * cluster is replaced as the page itself says: the demo runs the pod, and its keys are at a port of this machine.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePort } from '../helpers/free-port.ts';
import { startRealVault, type RealVault } from '../helpers/real-vault.ts';
import { tempDirectory } from '../helpers/temp-directory.ts';
import { blocksOf, readText } from '../unit/docs/documents.ts';

const MAIN = fileURLToPath(new URL('../../cmd/vouchsafe/main.ts', import.meta.url));

/** Walk-throughs: page, name of the pod, and what its file holds. */
const PAGES = [
  ['README.md', 'web', 'username = app'],
  ['docs/start/first-pod-spire.md', 'web', 'username = app'],
  ['docs/start/first-pod-service-accounts.md', 'vault-writer', '"username": "app"'],
] as const;

/** The settings of the auth method by which Vault finds the keys in a cluster. */
const DISCOVERY = /oidc_discovery_url=\S+( \\\n +oidc_discovery_ca_pem=\S+)?/;

/** The commands of `vault` of a page, in order, with the keys at an address of this machine. */
function vaultCommands(page: string, keys: string): string {
  const commands = blocksOf('sh', readText(page))
    .map((block) => block.replace(/^kubectl .*\n/gm, ''))
    .filter((block) => block.startsWith('vault '))
    .join('');
  assert.match(commands, DISCOVERY, page);
  return commands.replace(DISCOVERY, `jwks_url=${keys}`);
}

function podOf(page: string, name: string): string {
  const pod = blocksOf('yaml', readText(page)).find((text) => text.includes(`  name: ${name}\n`));
  assert.ok(pod !== undefined, `${page} has no pod ${name}`);
  return pod;
}

/** Runs the commands with the program `vault`, as the administrator of that Vault. */
async function runCommands(commands: string, vault: RealVault, home: string): Promise<void> {
  const programs = join(home, 'bin');
  await mkdir(programs);
  await symlink(process.env['VOUCHSAFE_TEST_VAULT'] ?? '', join(programs, 'vault'));
  const env = {
    HOME: home,
    PATH: `${programs}${delimiter}${process.env['PATH'] ?? ''}`,
    VAULT_ADDR: vault.address,
    VAULT_TOKEN: vault.token,
  };
  await promisify(execFile)('sh', ['-euc', commands], { env, cwd: home });
}

/** Runs the pod by `npm start` until a text was printed. */
function startDemo(t: TestContext, vault: RealVault, args: readonly string[]) {
  const child = spawn(process.execPath, [MAIN, 'dev', '--show-secrets', ...args], {
    env: { VAULT_ADDR: vault.address },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  let shown = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (shown += text));
  t.after(async () => {
    child.kill('SIGINT');
    await ended;
  });
  return async (text: string): Promise<void> => {
    while (!shown.includes(text)) {
      const [event] = await Promise.race([
        once(child.stdout, 'data').then(() => ['data'] as const),
        ended.then(() => ['end'] as const),
      ]);
      assert.ok(event === 'data' || shown.includes(text), `no "${text}" in\n${shown}`);
    }
  };
}

suite('walk-throughs', { concurrency: 1 }, () => {
  for (const [page, name, expected] of PAGES) {
    test(`${page}: its commands set up Vault, and its pod gets the secret`, async (t) => {
      const home = tempDirectory(t);
      await using vault = await startRealVault();
      const port = await freePort();
      const manifest = join(home, 'pod.yaml');
      await writeFile(manifest, podOf(page, name));
      const printed = startDemo(t, vault, ['-f', manifest, '--oidc-port', String(port)]);
      const keys = `http://127.0.0.1:${port}/keys`;
      await printed(keys);
      await runCommands(vaultCommands(page, keys), vault, home);
      await printed(expected);
    });
  }
});
