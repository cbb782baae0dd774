export { usualResources } from './agent-resources.ts';
export { inject, REASONS, type InjectionResult, type Reason } from './inject.ts';
export type { InjectionInput } from './injection-types.ts';
export { applyJsonPatch, jsonPatch } from './json-patch.ts';
export { removeInjection } from './injection-record.ts';
export {
  AGENT_CONTAINER,
  CONFIG_VARIABLE,
  CONTAINER_VARIABLE,
  DIRECTORY,
  INIT_CONTAINER,
  VOLUME,
} from './names.ts';
export { misplacedSettings, settingsAmongLabels } from './misplaced-settings.ts';
export {
  formatPath,
  KNATIVE,
  ownerOf,
  podOfTemplate,
  podTemplatesOf,
  withPod,
  workloadRefOf,
  type PodTemplate,
} from './pod-templates.ts';
export { MAX_TEMPLATE_TOKENS } from './file-checks.ts';
export { readPod, type Container, type Pod, type VolumeMount } from './pod.ts';
export { volumeGrants } from './grants.ts';
export { planVolume, type PlannedVolume, type VolumeInput } from './volume.ts';
export {
  answerReview,
  readReview,
  denyReview,
  review,
  type AdmissionRequest,
  type AdmissionReviewResponse,
  type Review,
  type ReviewContext,
} from './review.ts';
