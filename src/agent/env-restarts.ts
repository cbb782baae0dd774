/**
 * Restarts of containers after a change of their variables: which changes cause one, and when. Pure; `PostDelivery` executes
 * them.
 */
import type { Random } from '../core/index.ts';
import type { AgentConfig } from '../config/agent/index.ts';
import type { ChosenFile } from './choose-set.ts';
import type { DeliveryState } from './decide-delivery.ts';
import type { ObtainedValue } from './obtain.ts';

/** A restart of the containers that do not have the newest variables. */
export interface EnvRestart {
  readonly containers: readonly string[];
  /** How long the restart waits, so that the replicas of a workload do not restart together. */
  readonly delayMs: number;
}

/** Path of a variable -> when the first of the values in it ends, in monotonic milliseconds; Infinity for never. */
export type VariableEnds = ReadonlyMap<string, number>;

/** The ends of the variables of a set that was made of these values. */
export function variableEnds(
  chosen: readonly ChosenFile[],
  values: Iterable<{ readonly key: string; readonly held: ObtainedValue | undefined }>,
): VariableEnds {
  const variables = chosen.filter(({ file }) => file.variable !== undefined);
  if (variables.length === 0) return new Map();
  const ends = new Map<string, number>();
  for (const { key, held } of values) ends.set(key, held?.plan.expiresAtMs ?? Infinity);
  return new Map(
    variables.map(({ file, keys }) => {
      return [file.path, Math.min(...[...keys].map((key) => ends.get(key) ?? Infinity))];
    }),
  );
}

/** Input of {@link envRestartFor}. */
export interface EnvRestartInput {
  readonly config: Pick<AgentConfig, 'env' | 'files'>;
  /** Paths that have changed for the application. */
  readonly news: readonly string[];
  /** Before the write. */
  readonly state: DeliveryState;
  /** Ends of the variables before and after the change. */
  readonly ends: { readonly before: VariableEnds; readonly after: VariableEnds };
  readonly nowMs: number;
  readonly random: Random;
}

/**
 * The restart for a set, if there is one. It is spread over the refresh interval of what has changed; but the half of what is left
 * of the replaced values is time enough, because containers use them until then.
 */
export function envRestartFor(input: EnvRestartInput): EnvRestart | undefined {
  const { config, news, state, ends, nowMs, random } = input;
  const { env, files } = config;
  if (env === undefined || env.containers.length === 0 || state === 'none') return undefined;
  const endOf = ({ path }: { readonly path: string }): number =>
    ends.before.get(path) ?? ends.after.get(path) ?? Infinity;
  const changed = files.filter(
    ({ variable, path }) => variable !== undefined && news.includes(path),
  );
  const isEnding = changed.some((file) => {
    return endOf(file) < Infinity || (ends.after.get(file.path) ?? Infinity) < Infinity;
  });
  if (
    changed.length === 0 ||
    !(env.onChange === 'restart' || (env.onChange === undefined && isEnding))
  )
    return undefined;
  const spreadMs = Math.min(...changed.map(({ refreshMs }) => refreshMs));
  const leftMs = Math.max(0, Math.min(...changed.map(endOf)) - nowMs);
  const delayMs = Math.round(random.next() * Math.min(spreadMs, leftMs / 2));
  return { containers: env.containers, delayMs };
}
