/**
 * Which of the added parts of a pod are still what was added: what the API server and other webhooks did to them
 * stays, what makes another program of them does not.
 */
import { isDeepStrictEqual } from 'node:util';
import { isOwnContainer, isOwnVolume } from './names.ts';
import type { Container, Named, Pod } from './pod.ts';

/** The freshly injected pod, with each part of `present` that is still as it would be written now. */
export function keepOwnParts(fresh: Pod, present: Pod): Pod {
  const { spec } = present;
  const init = byName(spec.initContainers, isOwnContainer);
  const containers = byName(spec.containers, isOwnContainer);
  const volumes = byName(spec.volumes, isOwnVolume);
  const kept = <T extends Named>(
    known: ReadonlyMap<string, T>,
    one: T,
    isAsWritten: (present: T, written: T) => boolean,
  ): T => {
    const found = known.get(one.name);
    return found !== undefined && isAsWritten(found, one) ? found : one;
  };
  return {
    ...fresh,
    spec: {
      ...fresh.spec,
      containers: fresh.spec.containers.map((one) => kept(containers, one, isOurs)),
      ...(fresh.spec.initContainers && {
        initContainers: fresh.spec.initContainers.map((one) => kept(init, one, isOurs)),
      }),
      volumes: (fresh.spec.volumes ?? []).map((one) => kept(volumes, one, isOurVolume)),
    },
  };
}

function byName<T extends Named>(
  list: readonly T[] | null | undefined,
  isOwn: (name: string) => boolean,
): ReadonlyMap<string, T> {
  return new Map(list?.filter(({ name }) => isOwn(name)).map((one) => [one.name, one]));
}

/** One source, with the defaults of the API server. */
function isOurVolume(present: Named, written: Named): boolean {
  return Object.keys(present).every((name) => name in written) && covers(present, written);
}

/** What others may set where we do not; none of it changes which program runs with which rights. */
const OTHERS_MAY_SET: readonly string[] = [
  'imagePullPolicy',
  'resources',
  'resizePolicy',
  'terminationMessagePath',
  'terminationMessagePolicy',
];

/** Fields with a rule of their own. */
const WITH_RULES: readonly string[] = ['env', 'volumeMounts', 'securityContext'];

/**
 * True for a container that runs what would be written: program, words, variables that we write, rights and mounts.
 * What others added besides stays: variables of other names, resources, defaults.
 */
function isOurs(present: Container, written: Container): boolean {
  const names = new Set([...Object.keys(present), ...Object.keys(written)]);
  for (const name of OTHERS_MAY_SET) names.delete(name);
  for (const name of WITH_RULES) names.delete(name);
  return (
    [...names].every((name) => covers(present[name], written[name])) &&
    hasVariables(present, written) &&
    hasMounts(present, written) &&
    hasRights(present.securityContext ?? {}, written.securityContext ?? {})
  );
}

/** Variables that make another program of ours, or that it has a meaning for. */
const OF_THE_PROGRAM = /^(VOUCHSAFE|NODE|LD|OPENSSL|SSL_CERT)_/;

/** Each of our variables once: of several the kubelet takes the last. */
function hasVariables(present: Container, written: Container): boolean {
  const wanted = new Map(written.env?.map((variable) => [variable.name, variable]));
  const found = (present.env ?? []).filter(
    ({ name }) => wanted.has(name) || OF_THE_PROGRAM.test(name),
  );
  return found.length === wanted.size && found.every((one) => covers(one, wanted.get(one.name)));
}

/** The mounts that are written and no others: one more could hide the program. */
function hasMounts(present: Container, written: Container): boolean {
  const [given, wanted] = [present.volumeMounts ?? [], written.volumeMounts ?? []];
  const places = new Map(given.map((mount) => [mount.mountPath, mount]));
  return (
    given.length === wanted.length &&
    wanted.every((mount) => {
      const found = places.get(mount.mountPath);
      return found !== undefined && isDeepStrictEqual(found, mount);
    })
  );
}

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

/** Rights that a platform may add where none are written; none of them is wider than the default. */
const NARROWER: Readonly<Record<string, (value: unknown) => boolean>> = {
  privileged: (value) => value === false,
  procMount: (value) => value === 'Default',
  runAsUser: (value) => typeof value === 'number' && value > 0,
  runAsGroup: (value) => typeof value === 'number' && value > 0,
  // OpenShift writes the level of the namespace; a type could be one that is not confined.
  seLinuxOptions: (value) => isDeepStrictEqual(Object.keys(fieldsOf(value)), ['level']),
};

function hasRights(present: Fields, written: Fields): boolean {
  const names = new Set([...Object.keys(present), ...Object.keys(written)]);
  return [...names].every((name) => {
    const [value, wanted] = [present[name], written[name]];
    if (name === 'capabilities') return hasCapabilities(value, wanted);
    if (isDeepStrictEqual(value, wanted)) return true;
    return wanted === undefined && NARROWER[name]?.(value) === true;
  });
}

/** More may be dropped, and none added. */
function hasCapabilities(present: unknown, written: unknown): boolean {
  const { drop, ...rest } = fieldsOf(present);
  const { drop: wanted } = fieldsOf(written);
  if (!Array.isArray(drop) || !Array.isArray(wanted)) return false;
  return Object.keys(rest).length === 0 && wanted.every((one) => drop.includes(one));
}

/**
 * True where `value` is as `wanted` wants it, perhaps with defaults of the API server besides. Lists are as long as
 * wanted, and attributes of a volume have no defaults: one too many is a setting that nobody gave.
 */
function covers(value: unknown, wanted: unknown): boolean {
  if (typeof wanted !== 'object' || wanted === null) return value === wanted;
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(wanted) && !(Array.isArray(value) && value.length === wanted.length))
    return false;
  const fields: Fields = { ...value };
  if (!isDeepStrictEqual(attributesOf(value), attributesOf(wanted))) return false;
  return Object.entries(wanted).every(([name, field]) => covers(fields[name], field));
}

function attributesOf(value: object): unknown {
  return 'volumeAttributes' in value ? value.volumeAttributes : undefined;
}
