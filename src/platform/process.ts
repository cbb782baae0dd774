/**
 * The process itself: environment, signals, streams.
 */
import { codeOf, EXIT, printableText } from '../core/index.ts';

/** A variable of the environment; an empty one is treated as unset, as Vault's own tools do. */
export function environmentVariable(name: string): string | undefined {
  const value = process.env[name];
  return value === undefined || value === '' ? undefined : value;
}

/** Addresses of the node of this container, from the variable HOST_IP (`status.hostIP`); empty if unset. */
export function nodeAddresses(): readonly string[] {
  const address = environmentVariable('HOST_IP');
  return address === undefined ? [] : [address];
}

/**
 * Aborts on the first SIGINT or SIGTERM for an orderly shutdown; the second exits at once with code 130.
 */
export function terminationSignal(): AbortSignal {
  const controller = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(EXIT.secondSignal);
    controller.abort(new DOMException(`stopped by ${name}`, 'AbortError'));
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return controller.signal;
}

/**
 * The {@link terminationSignal} of a command whose output may be piped. It aborts, too, when the reader of standard output or standard error
 * has gone, as `head` does: then nothing is reported, and the exit code is 141, as of a process that SIGPIPE ended.
 */
export function commandSignal(): AbortSignal {
  const closed = new AbortController();
  const onError = (error: unknown): void => {
    if (codeOf(error) !== 'EPIPE') throw error;
    if (closed.signal.aborted) return;
    process.on('exit', () => (process.exitCode = EXIT.brokenPipe));
    closed.abort(new DOMException('nobody reads the output', 'AbortError'));
  };
  for (const stream of [process.stdout, process.stderr]) stream.on('error', onError);
  return AbortSignal.any([terminationSignal(), closed.signal]);
}

/**
 * Ends the process on an uncaught error and prints only its class and stack: its message and the values around it
 * may be secret.
 */
export function reportDefects(): void {
  const report = (error: unknown): void => {
    const stack = error instanceof Error ? (error.stack ?? '') : '';
    const places = stack.split('\n').filter((line) => /^\s+at /.test(line));
    const kind = error instanceof Error ? error.name : typeof error;
    process.stderr.write(`vouchsafe: ERR_BUG: unexpected ${kind}\n${places.join('\n')}\n`);
    process.exit(EXIT.bug);
  };
  process.on('uncaughtException', report);
  process.on('unhandledRejection', report);
}

/** Makes new files accessible only to the user of this process, unless a mode is set explicitly. */
export function setPrivateUmask(): void {
  process.umask(0o077);
}

/** Writes a line to standard error. */
export function printError(line: string): void {
  process.stderr.write(`${printableText(line)}\n`);
}
