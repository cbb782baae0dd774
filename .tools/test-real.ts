/**
 * Builds the real servers (once; Go caches the rest) and runs test/real against them.
 * Without Go it says so and fails: a suite that is skipped in silence proves nothing.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const servers = join(root, 'test', 'servers');
const vault = join(servers, 'bin', 'vault');

function say(line: string): void {
  process.stderr.write(`test:real: ${line}\n`);
}

function run(command: string, args: readonly string[], cwd: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      resolve(code ?? (signal === null ? 1 : 128));
    });
  });
}

/** Builds Vault and says every half minute that it is still at it: cold caches take a quarter of an hour. */
async function buildVault(): Promise<number> {
  mkdirSync(dirname(vault), { recursive: true });
  const started = performance.now();
  const elapsed = (): string => `${Math.round((performance.now() - started) / 1000)} s`;
  say('building Vault 1.21.0 (half a minute with warm caches, a quarter of an hour with cold ones)');
  const progress = setInterval(() => {
    say(`still building, ${elapsed()}`);
  }, 30_000);
  try {
    const args = ['build', '-ldflags=-s -w', '-o', vault, 'github.com/hashicorp/vault'];
    const code = await run('go', args, servers);
    say(code === 0 ? `Vault is built, ${elapsed()}` : 'Vault could not be built');
    return code;
  } finally {
    clearInterval(progress);
  }
}

const go = spawnSync('go', ['version'], { encoding: 'utf8' });
if (go.status !== 0) {
  say('Go 1.26 or newer is needed to build the real Vault: https://go.dev/dl/');
  process.exit(1);
}
const built = await buildVault();
if (built !== 0) process.exit(built);
process.env['VOUCHSAFE_TEST_VAULT'] = vault;
const only = process.argv.slice(2);
const files = only.length > 0 ? only : ['test/real/**/*.test.ts'];
const args = ['--test', '--test-concurrency=2', '--test-reporter=spec', ...files];
process.exitCode = await run(process.execPath, args, root);
