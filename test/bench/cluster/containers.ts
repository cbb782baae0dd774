/** When containers began and ended, by containerd's own events: the kubelet's statuses know only seconds. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { ctrCommand } from '../../cluster/parts/node.ts';
import { world } from '../../cluster/parts/suite.ts';

/** One event, e.g. `2026-01-01 00:00:00.123456789 +0000 UTC k8s.io /tasks/start {…}`. */
const EVENT = /^(\S+) (\S+) \+0000 UTC \S+ \/tasks\/(start|exit) (\{.*\})$/;

/** A container's life, in milliseconds since the epoch. */
export interface Life {
  readonly startedMs: number | undefined;
  readonly endedMs: number | undefined;
}

/** Lives of all containers from now on. */
export interface Lives extends AsyncDisposable {
  /** By the status's `containerID`, e.g. `containerd://4f…`. */
  of(containerId: string): Life;
}

/** Watches containerd. */
export async function watchContainers(): Promise<Lives> {
  const lives = new Map<string, Life>();
  const [program, ...first] = ctrCommand(world.programs.containerd);
  const child = spawn(program, [...first, 'events'], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child, 'spawn');
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = parseEvent(line);
    if (event === undefined) return;
    const { id, kind, atMs } = event;
    const life = lives.get(id) ?? { startedMs: undefined, endedMs: undefined };
    lives.set(id, { ...life, ...(kind === 'start' ? { startedMs: atMs } : { endedMs: atMs }) });
  });
  const none: Life = { startedMs: undefined, endedMs: undefined };
  return {
    of: (containerId) => lives.get(containerId.replace(/^.*\/\//, '')) ?? none,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    },
  };
}

function parseEvent(
  line: string,
): { readonly id: string; readonly kind: string; readonly atMs: number } | undefined {
  const [, date = '', time = '', kind = '', text] = EVENT.exec(line) ?? [];
  if (text === undefined) return undefined;
  const { container_id: id, id: task = id } = JSON.parse(text) as {
    container_id: string;
    id?: string;
  }; // as containerd writes them
  // A command that was run in the container has an ID of its own.
  return task === id ? { id, kind, atMs: Date.parse(`${date}T${time}Z`) } : undefined;
}
