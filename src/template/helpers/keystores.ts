/**
 * Helpers for the key stores of Java.
 */
import { keyStore, Pkcs12Error, trustStore, type StoreOptions } from '../../pkcs12/index.ts';
import { valueFault } from '../fault.ts';
import { pure, type Helper, type HelperCall } from '../helper.ts';
import { isList, scalarText } from '../values.ts';

/** Cost of the derivation of the keys, in steps: up to 7 ms. Too much for a check, so constants are not folded. */
const STORE_STEPS = 250_000;
/** Bytes that are made of each byte of PEM: DER, and copies of it. */
const COPIES = 6;
/** Java's own default. */
const PASSWORD = 'changeit';
const MAX_NAME = 256;

export const KEYSTORES: readonly Helper[] = [
  pure({
    name: 'pkcs12',
    usage: 'pkcs12 private_key certificate [certificate ...] [password="changeit"] [alias="…"]',
    description:
      'A PKCS#12 key store of a private key and its certificate chain, in PEM; a list such as `ca_chain` is allowed. The alias is `certificate` by default. It is binary, so it must be the only output of the template; the same input gives the same bytes.',
    args: [2, 20],
    hash: ['password', 'alias'],
    run: (call) =>
      written(call, () => keyStore(call.text(0), pemTexts(call, 1), options(call, 'certificate'))),
  }),
  pure({
    name: 'pkcs12Trust',
    usage: 'pkcs12Trust certificate [certificate ...] [password="changeit"] [alias="…"]',
    description:
      'A PKCS#12 trust store of certificates in PEM, as `pkcs12`. The aliases are `ca`, `ca-2`, … by default.',
    args: [1, 20],
    hash: ['password', 'alias'],
    run: (call) => written(call, () => trustStore(pemTexts(call, 0), options(call, 'ca'))),
  }),
];

function written(call: HelperCall, write: () => Buffer): Buffer {
  call.work.step(STORE_STEPS);
  try {
    return write();
  } catch (error) {
    if (error instanceof Pkcs12Error) throw valueFault(error.message);
    throw error;
  }
}

/** The arguments from `start` on: texts, and lists of texts. */
function pemTexts(call: HelperCall, start: number): readonly string[] {
  return call.args.slice(start).flatMap((arg, index) => {
    const what = `argument ${start + index + 1}`;
    const texts = (isList(arg) ? arg : [arg]).map(
      (item) => scalarText(item) ?? call.reject(what, item, 'text, or a list of texts'),
    );
    for (const { length } of texts) {
      call.work.step(length);
      call.work.make(length * COPIES);
    }
    return texts;
  });
}

function options(call: HelperCall, alias: string): StoreOptions {
  return {
    password: parameter(call, 'password', PASSWORD),
    alias: parameter(call, 'alias', alias),
  };
}

function parameter(call: HelperCall, name: string, otherwise: string): string {
  const value = call.hash.get(name) ?? otherwise;
  const text = scalarText(value) ?? call.reject(name, value, 'text');
  if (text !== '' && text.length <= MAX_NAME) return text;
  throw valueFault(`${name} must have 1 to ${MAX_NAME} characters`);
}
