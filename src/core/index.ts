export {
  denialsOf,
  isUnlimited,
  describeAllowed,
  OPERATIONS,
  type Grant,
  type Grants,
  type Operation,
} from './vault-grants.ts';
export { certificateLife, type CertificateLife } from './certificate-life.ts';
export { jsonPathOf, likelyJsonPathOf } from './certificate-endpoints.ts';
export type { Clock, Random } from './clock.ts';
export {
  dependencyKey,
  dependencyLabel,
  keyInTemplates,
  loginOf,
  isOptional,
  isVaultDependency,
  normalizeVaultPath,
  parseVaultPath,
  splitSecretRef,
  unescapePath,
  withLogin,
  withOptional,
  type Dependency,
  type VaultDependency,
  type WriteParam,
  type WriteParams,
} from './dependency.ts';
export { formatDuration, MAX_DURATION_MS, parseDuration } from './duration.ts';
export { ERROR_TABLE, EXIT, type ErrorCode } from './error-table.ts';
export {
  codeOf,
  exitCodeOf,
  hasCode,
  isAbsence,
  toVouchsafeError,
  VouchsafeError,
  type ErrorDetails,
  type ErrorOptions,
} from './errors.ts';
export { parseExactJson } from './exact-json.ts';
export { Globs } from './globs.ts';
export { jsonBoundsProblem, measureJson } from './json-bounds.ts';
export { JsonText, MAX_SHORT_BYTES } from './json-text.ts';
export { LOG_LEVELS, NO_LOGGER, type LogFields, type Logger, type LogLevel } from './logger.ts';
export { NO_METRICS, type Counter, type Gauge, type Labels, type Metrics } from './metrics.ts';
export {
  NOTIFY_SIGNALS,
  notifyUrlProblem,
  parseNotifySignal,
  type NotifySignal,
} from './notify-rules.ts';
export { federatedBundlePath, mayBeFederatedBundle } from './federated-bundles.ts';
export { ENV_FILES_MINOR, isBefore } from './kubernetes-version.ts';
export {
  clashingPaths,
  describeClash,
  outputPathProblem,
  variableOf,
  variablePath,
} from './output-path.ts';
export { listUpTo } from './listing.ts';
export { typoDistance, nearest } from './nearest.ts';
export { explainProblems, formatProblems, problemsError, type Problem } from './problems.ts';
export { isPrintable, printableLine, printableText } from './printable.ts';
export {
  compareNumbers,
  exactNumber,
  isNumber,
  isZero,
  NumberText,
  type ExactNumber,
} from './number-text.ts';
export { parseQuantity, quantityOf } from './quantity.ts';
export { fieldsOf, isRecord, type Fields } from './records.ts';
export { Secret } from './secret.ts';
export { VERSION } from './version.ts';
export { parseSpiffeId, spiffeIdProblem, type SpiffeId } from './spiffe-id.ts';
