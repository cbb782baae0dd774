/**
 * Resource quantities of Kubernetes: the suffixes that settings use.
 *
 * @see https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
 */

const FACTORS: Readonly<Record<string, number>> = {
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 1024,
  Mi: 1024 ** 2,
  Gi: 1024 ** 3,
};

/** The number for a quantity such as `16Mi`; undefined if the text is not a supported quantity. */
export function parseQuantity(text: string): number | undefined {
  const [, amount, suffix = ''] = /^(\d{1,15}(?:\.\d{1,3})?)(m|k|Ki|M|Mi|G|Gi)?$/.exec(text) ?? [];
  const factor = FACTORS[suffix];
  return amount === undefined || factor === undefined ? undefined : Number(amount) * factor;
}

/** Every form that the API server accepts. */
const ANY_FORM =
  /^(\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?\d{1,2})?$/;

const MORE_FACTORS: Readonly<Record<string, number>> = {
  ...FACTORS,
  n: 1e-9,
  u: 1e-6,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ti: 1024 ** 4,
  Pi: 1024 ** 5,
  Ei: 1024 ** 6,
};

/** The number for a quantity of a manifest, in any form of Kubernetes: `2`, `0.5`, `1e3`, `1Ti`; undefined for others. */
export function quantityOf(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) && value >= 0 ? value : undefined;
  if (typeof value !== 'string') return undefined;
  const [, amount, suffix = ''] = ANY_FORM.exec(value) ?? [];
  if (amount === undefined) return undefined;
  const exponent = /^[eE][+-]?\d/.test(suffix) ? Number(`1${suffix}`) : MORE_FACTORS[suffix];
  return exponent === undefined ? undefined : Number(amount) * exponent;
}
