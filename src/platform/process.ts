/**
 * The process itself: environment, signals, streams.
 */
import { printableText, EXIT } from '../core/index.ts';

/** A variable of the environment; empty counts as unset, as Vault's own tools have it. */
export function environmentVariable(name: string): string | undefined {
  const value = process.env[name];
  return value === undefined || value === '' ? undefined : value;
}

/** Addresses of the node that this container is on, where the variable HOST_IP (`status.hostIP`) tells. */
export function nodeAddresses(): readonly string[] {
  const address = environmentVariable('HOST_IP');
  return address === undefined ? [] : [address];
}

/**
 * Aborts on the first SIGINT or SIGTERM, so that work ends in order; the second ends the process at once
 * with exit code 130.
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
 * Ends the process on an error that nobody caught, naming its class and place alone: its text and the values
 * around it may be secret.
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

/** Whatever this process makes from now on is for its own user alone, unless a mode is set explicitly. */
export function setPrivateUmask(): void {
  process.umask(0o077);
}

/** Writes a line for a person. */
export function printError(line: string): void {
  process.stderr.write(`${printableText(line)}\n`);
}
