/**
 * The `postStart` hook of a native sidecar: `start-gate.cjs SOCKET`. Waits until the agent in the same container says that
 * every file is written, and ends with 0; with any other answer, or none, it ends with 1, and the kubelet starts the
 * container again. It is a program of its own, because it stands beside the agent in its memory: it loads nothing else.
 */
import { connect } from 'node:net';

/** The agent may still be loading when the kubelet calls the hook: time between two tries, in milliseconds. */
const RETRY_MS = 10;
/** An agent that does not listen after this number of tries, which are at least 15 s, does not run. */
const MAX_TRIES = 1500;

const [path = ''] = process.argv.slice(2);
wait(1);

function wait(tries: number): void {
  let answer = '';
  connect(path)
    .setEncoding('utf8')
    .on('data', (text) => (answer += String(text)))
    .on('error', (error) => {
      if (!isEarly(error) || tries === MAX_TRIES)
        fail(`the agent does not listen: ${error.message}`);
      else setTimeout(() => wait(tries + 1), RETRY_MS);
    })
    .on('end', () => {
      if (answer !== 'open') fail(answer === '' ? 'the agent has ended' : answer);
    });
}

/** Nothing listens yet. */
function isEarly(error: NodeJS.ErrnoException): boolean {
  return error.code === 'ENOENT' || error.code === 'ECONNREFUSED';
}

function fail(reason: string): void {
  process.stderr.write(`${reason}\n`);
  process.exitCode = 1;
}
