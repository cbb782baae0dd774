/**
 * Which of the added parts of a pod are still intact: harmless changes by the API server and other webhooks are kept,
 * changes to what runs and with which rights are not.
 */
import { fieldsOf, type Fields } from '../core/index.ts';
import { isDeepStrictEqual } from 'node:util';
import { isOwnContainer, isOwnVolume } from './names.ts';
import type { Container, Named, Pod } from './pod.ts';

/** The freshly injected pod, with each part of `present` that is still intact. */
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

/** The same source, possibly with defaults of the API server. */
function isOurVolume(present: Named, written: Named): boolean {
  return Object.keys(present).every((name) => name in written) && covers(present, written);
}

/** Fields that others may set; none of them changes which program runs with which rights. */
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
 * True for a container with the program, arguments, variables, rights and mounts that would be written. Additions of
 * others are accepted: variables with other names, resources, defaults.
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

/** Variables that our program reads, or that change which code it runs. */
const OF_THE_PROGRAM = /^(VOUCHSAFE|NODE|LD|OPENSSL|SSL_CERT)_/;

/** Each of our variables exactly once: the kubelet uses the last one of several. */
function hasVariables(present: Container, written: Container): boolean {
  const wanted = new Map(written.env?.map((variable) => [variable.name, variable]));
  const found = (present.env ?? []).filter(
    ({ name }) => wanted.has(name) || OF_THE_PROGRAM.test(name),
  );
  return found.length === wanted.size && found.every((one) => covers(one, wanted.get(one.name)));
}

/** Exactly the written mounts: an additional one could hide the program. */
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

/** Rights that a platform may add where none are written; none exceeds the default. */
const NARROWER: Readonly<Record<string, (value: unknown) => boolean>> = {
  privileged: (value) => value === false,
  procMount: (value) => value === 'Default',
  runAsUser: (value) => typeof value === 'number' && value > 0,
  runAsGroup: (value) => typeof value === 'number' && value > 0,
  // OpenShift sets the level of the namespace; a type could be an unconfined one.
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

/** More capabilities may be dropped, but none added. */
function hasCapabilities(present: unknown, written: unknown): boolean {
  const { drop, ...rest } = fieldsOf(present);
  const { drop: wanted } = fieldsOf(written);
  if (!Array.isArray(drop) || !Array.isArray(wanted)) return false;
  return Object.keys(rest).length === 0 && wanted.every((one) => drop.includes(one));
}

/**
 * True if `value` has everything of `wanted`; it may also have defaults of the API server. Lists must have the same
 * length, and attributes of a volume must be equal: an additional one would be a setting of somebody else.
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
