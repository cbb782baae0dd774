/**
 * The mounter of one node: mounts volumes for the CSI driver until SIGTERM. Wiring only.
 */
import { parseQuantity, VouchsafeError } from '../../src/core/index.ts';
import { Mounter, serveMounter } from '../../src/mounter/index.ts';
import {
  createLogger,
  dropAllButMounting,
  setPrivateUmask,
  disableCoreDumps,
  reportDefects,
  systemMounts,
  terminationSignal,
} from '../../src/platform/index.ts';
import { exitCodeOfRun, readFlags, usageOf, type Flags } from '../flags.ts';

const OPTIONS = {
  socket: { type: 'string', default: '/mounter/mounter.sock' },
  'pods-directory': { type: 'string', default: '/var/lib/kubelet/pods' },
  'driver-name': { type: 'string', default: 'csi.vouchsafe.dev' },
  'max-volume-size': { type: 'string', default: '8Mi' },
  'log-level': { type: 'string', default: 'info' },
  confined: { type: 'boolean', default: false },
} as const;

const USAGE = usageOf('mounter', OPTIONS);

/** Runs the mounter with command-line arguments; resolves to the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  disableCoreDumps();
  setPrivateUmask();
  return exitCodeOfRun(async () => run(readFlags(args, OPTIONS, USAGE)));
}

async function run({ values: flags, level }: Flags<typeof OPTIONS>): Promise<void> {
  const maxBytes = bytesOf(flags['max-volume-size']);
  if (!flags.confined) dropAllButMounting('--confined');
  const signal = terminationSignal();
  const logger = createLogger(level, process.stderr);
  if (!flags.confined)
    logger.warn('unshare and setpriv are not installed: running with more privileges than needed');
  const { socket, 'pods-directory': podsDirectory, 'driver-name': source } = flags;
  const mounter = new Mounter({ mounts: systemMounts, source, podsDirectory, maxBytes, logger });
  await serveMounter({ socket, mounter, logger }, signal);
}

function bytesOf(quantity: string): number {
  const bytes = Math.floor(parseQuantity(quantity) ?? 0);
  if (bytes > 0) return bytes;
  throw new VouchsafeError('ERR_USAGE', `--max-volume-size is not a quantity of bytes\n${USAGE}`);
}

if (import.meta.main) {
  reportDefects();
  process.exitCode = await main(process.argv.slice(2));
}
