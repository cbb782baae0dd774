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
