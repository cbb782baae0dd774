/**
 * Stands in for the application: a process that hears signals and HTTP calls as the real one would.
 * `node application.ts [port]` prints one line per notification.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Signals that an application may be told to listen to. */
const SIGNALS = ['SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH', 'SIGINT', 'SIGQUIT'] as const;

function tell(message: string): void {
  process.stdout.write(`${message}\n`);
}

if (import.meta.main) {
  for (const signal of SIGNALS) process.on(signal, () => tell(`notified by ${signal}`));
  const server = createServer((request, response) => {
    request.resume();
    tell(`notified by ${request.method ?? ''} ${request.url ?? ''}`);
    response.end('ok\n');
  });
  process.on('SIGTERM', () => {
    server.close();
    server.closeAllConnections();
    process.exitCode = 0;
  });
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address() as AddressInfo; // a TCP server that listens has one
    tell(`listening ${port}`);
  });
}
