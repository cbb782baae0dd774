/**
 * Adds the files of federated trust domains to a rendered set. They are not in the config: which trust domains there
 * are is known from the X.509-SVID's stream, and changes with it. Pure.
 */
import {
  clashingPaths,
  federatedBundlePath,
  outputPathProblem,
  VouchsafeError,
} from '../core/index.ts';
import type { FileConfig } from '../config/agent/index.ts';
import type { X509Files } from './ports.ts';

/** The parts of a rendered file that differ between the bundles. */
interface Rendered {
  readonly file: FileConfig;
  readonly content: Uint8Array | 'no file' | undefined;
  readonly error: VouchsafeError | undefined;
}

/** The content of the file of a federated trust domain. */
type PrintBundle = (bundle: X509Files['federated'][number]) => string | Uint8Array;

/** Most federated trust domains of one workload that have files. */
export const MAX_FEDERATED_BUNDLES = 100;

/**
 * The file of the own bundle, followed by one for each federated trust domain, in their order. Mode and actions are those
 * of the own bundle; `print` makes the content. A trust domain that cannot have a file, `taken` being the paths in the config, is left out. That is
 * the error of the own bundle, which is written nevertheless: the SVID must not expire because of it.
 */
export function withFederatedBundles<T extends Rendered>(
  bundle: T,
  { federated }: Pick<X509Files, 'federated'>,
  { taken, print }: { readonly taken: readonly string[]; readonly print: PrintBundle },
): readonly T[] {
  const { name, path: own } = bundle.file;
  const added: T[] = [];
  const left: LeftOut[] = [];
  for (const one of federated) {
    const { trustDomain } = one;
    const path = federatedBundlePath(own, trustDomain);
    const problem = problemOf(path, { taken, count: added.length });
    if (problem !== undefined) left.push({ trustDomain, problem });
    // A colon cannot be part of the name of a file that somebody requested.
    else {
      const file = { ...bundle.file, name: `${name}:${trustDomain}`, path };
      added.push({ ...bundle, file, content: Buffer.from(print(one)) });
    }
  }
  const [first] = left;
  if (first === undefined) return [bundle, ...added];
  return [{ ...bundle, error: leftOutError(first, left.length - 1) }, ...added];
}

interface LeftOut {
  readonly trustDomain: string;
  readonly problem: string;
}

function problemOf(
  path: string,
  { taken, count }: { readonly taken: readonly string[]; readonly count: number },
): string | undefined {
  if (count >= MAX_FEDERATED_BUNDLES) return `only ${MAX_FEDERATED_BUNDLES} are`;
  const problem = outputPathProblem(path);
  if (problem !== undefined) return `the file name is not valid: ${problem}`;
  const other = taken.find((one) => clashingPaths([one, path]).length > 0);
  return other === undefined ? undefined : `its file, ${path}, would conflict with ${other}`;
}

function leftOutError({ trustDomain, problem }: LeftOut, others: number): VouchsafeError {
  const more = others === 0 ? '' : `, nor are ${others} more`;
  return new VouchsafeError(
    'ERR_SPIFFE_BUNDLES',
    `the bundle of the federated trust domain ${trustDomain} is not delivered${more}: ${problem}`,
    { details: { trust_domain: trustDomain, count: others + 1 } },
  );
}
