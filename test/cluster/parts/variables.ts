/** Pods of an application that reads only its environment, from an image without a shell, and what it was started with. */
import { createHash } from 'node:crypto';
import { VARIABLES_IMAGE } from './images.ts';
import type { Pod, PodSpec } from './objects.ts';
import { api, shellContainer, shellPod, type Space } from './suite.ts';

/** Why tests of variables are skipped; false where the API server has references to files. */
export const skipVariables: string | false = await whyNot();

async function whyNot(): Promise<string | false> {
  const { minor } = await api.get<{ readonly minor: string }>('/version');
  return Number.parseInt(minor, 10) < 35 && 'variables require Kubernetes 1.35';
}

/** A container that prints what it starts with, and stays or ends. */
export function variablesContainer(name: string, stays = true): PodSpec['containers'][number] {
  const { command: _, ...container } = shellContainer(name, '');
  return { ...container, image: VARIABLES_IMAGE, args: stays ? ['stay'] : [] };
}

/** A pod with such a container, `app`. It has a user, so that the agent can restart it. */
export function variablesPod(
  name: string,
  settings: Readonly<Record<string, string>>,
  more: Partial<PodSpec> = {},
): Pod {
  return shellPod(name, settings, '', {
    containers: [variablesContainer('app')],
    securityContext: { runAsUser: 1000 },
    ...more,
  });
}

/** Hashes of the variables that a container was started with, by name. */
export async function startedWith(
  space: Space,
  pod: string,
  container = 'app',
): Promise<ReadonlyMap<string, string>> {
  const lines = (await space.logs(pod, container)).trimEnd().split('\n');
  return new Map(lines.map((line) => line.split(' ') as [string, string])); // by cmd/variables
}

/** The hash of a value, as the application prints it. */
export function hashOf(value: string): string {
  return createHash('sha256').update(value).digest('hex');
}
