export { dropAllButMounting } from './drop-privileges.ts';
export { nextEventLoopTurn, systemClock, systemRandom } from './clock.ts';
export { disableCoreDumps } from './dumps.ts';
export { readTextFile } from './files.ts';
export { createIo } from './io.ts';
export { systemLocks, type Lock, type Locks } from './locks.ts';
export { createLogger } from './logger.ts';
export { collectGarbage } from './collect-garbage.ts';
export { memoryLimit } from './memory.ts';
export { createMetrics, type MetricsRegistry } from './metrics.ts';
export { sandboxed, type SandboxedProgram } from './sandboxed.ts';
export { trustPublicAuthorities } from './trust.ts';
export { startWatchdog, type WatchdogLimits } from './watchdog.ts';
export { watchFiles } from './watch-files.ts';
export {
  environmentVariable,
  setPrivateUmask,
  nodeAddresses,
  printError,
  reportDefects,
  commandSignal,
  terminationSignal,
} from './process.ts';
export { isLastRunningContainer } from './pod-processes.ts';
export { systemMounts, type Mount, type Mounts, type PrivilegedMounts } from './mounts.ts';
