/**
 * Stands in for the application: a process that receives signals and HTTP calls.
 * `node application.ts [port]` prints one line per notification.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Signals that `on-change` may send. */
const SIGNALS = ['SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH', 'SIGINT', 'SIGQUIT'] as const;

function report(message: string): void {
  process.stdout.write(`${message}\n`);
}

if (import.meta.main) {
  for (const signal of SIGNALS) process.on(signal, () => report(`notified by ${signal}`));
  const server = createServer((request, response) => {
    request.resume();
    report(`notified by ${request.method ?? ''} ${request.url ?? ''}`);
    response.end('ok\n');
  });
  process.on('SIGTERM', () => {
    server.close();
    server.closeAllConnections();
    process.exitCode = 0;
  });
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address() as AddressInfo; // set for a listening TCP server
    report(`listening ${port}`);
  });
}
