/** Reads key stores with programs of others: OpenSSL, and Java where it is installed. */
import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';

const TIMEOUT_MS = 60_000;

const run = promisify(execFile);

/** Whether a program can be started. */
function isInstalled(program: string, ...args: readonly string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore', timeout: TIMEOUT_MS });
    return true;
  } catch {
    return false;
  }
}

/** Why a test with OpenSSL is skipped, or false. */
export const skipOpenssl = isInstalled('openssl', 'version')
  ? false
  : 'openssl is not installed: nothing was read back by it';

/** Why a test with Java is skipped, or false. */
export const skipKeytool = isInstalled('keytool', '-help')
  ? false
  : 'keytool is not installed (Debian: openjdk-17-jre-headless): nothing was read back by Java';

/** What OpenSSL reports of a file, with keys and certificates in PEM. Rejects if it cannot read the file. */
export async function opensslInfo(path: string, password: string): Promise<string> {
  const args = ['pkcs12', '-in', path, '-passin', `pass:${password}`, '-info', '-nodes'];
  const { stdout, stderr } = await run('openssl', args, { timeout: TIMEOUT_MS });
  return `${stderr}${stdout}`;
}

/** What Java reports of a file. Rejects if it cannot read the file. */
export async function keytoolList(path: string, password: string): Promise<string> {
  const args = ['-list', '-v', '-keystore', path, '-storepass', password];
  const { stdout } = await run('keytool', args, {
    timeout: TIMEOUT_MS,
    env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' },
  });
  return stdout;
}
