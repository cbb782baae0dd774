/**
 * The content of the files of an X.509-SVID, as PEM or PKCS#12.
 */
import type { FileSource } from '../config/agent/index.ts';
import { VouchsafeError } from '../core/index.ts';
import { keyStore, Pkcs12Error, trustStore } from '../pkcs12/index.ts';
import type { X509Files } from './ports.ts';

/** The part of a file's source that decides its content. */
export type X509Source = Extract<FileSource, { readonly kind: 'x509-svid' }>;

/** Names of the entries in key stores and trust stores. */
const ALIAS = { key: 'certificate', trusted: 'ca' } as const;

/** Prints the files of X.509-SVIDs. */
export interface X509Printer {
  /** The file of the config. @throws VouchsafeError `ERR_SPIFFE_SVID_INVALID` for what cannot be in a key store. */
  readonly print: (svid: X509Files) => string | Uint8Array;
  /** The file of a federated bundle. @throws VouchsafeError as {@link print}. */
  readonly printFederated: (bundle: X509Files['federated'][number]) => string | Uint8Array;
}

/** A printer for a file of the config. Each PKCS#12 file takes milliseconds, so it is made once. */
export function createX509Printer({ part, password }: X509Source): X509Printer {
  if (password === undefined) {
    return {
      print: (svid) => (part === 'key' ? svid.key.reveal() : svid[part]),
      printFederated: ({ pem }) => pem,
    };
  }
  const trusted = (pem: string): Uint8Array =>
    trustStore([pem], { password, alias: ALIAS.trusted });
  const print = ({ svid, key, bundle }: X509Files): Uint8Array =>
    part === 'bundle'
      ? trusted(bundle)
      : keyStore(key.reveal(), [svid], { password, alias: ALIAS.key });
  return { print: once(print), printFederated: once(({ pem }) => trusted(pem)) };
}

/** The same result for the same object. */
function once<T extends object>(make: (input: T) => Uint8Array): (input: T) => Uint8Array {
  const made = new WeakMap<T, Uint8Array>();
  return (input) => {
    const bytes = made.get(input) ?? checked(() => make(input));
    made.set(input, bytes);
    return bytes;
  };
}

function checked(make: () => Uint8Array): Uint8Array {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof Pkcs12Error)) throw error;
    const text = `the X.509-SVID cannot be written as PKCS#12: ${error.message}`;
    throw new VouchsafeError('ERR_SPIFFE_SVID_INVALID', text);
  }
}
