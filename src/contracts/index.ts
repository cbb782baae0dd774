export type { Child, StartChild } from './child.ts';
export type { EventDetails, ObjectReference } from './event.ts';
export type { OutputFile } from './files.ts';
export type { KnownMount, SystemMounts } from './mounts.ts';
export type { NodeFacts, NodesWithoutEnvFiles } from './node.ts';
export type { PodFacts, PodName } from './pod.ts';
export type { CheckTemplate, TemplateCheck } from './template.ts';
export type { ClientCertificate, LoginRequest, OwnEnd, Validity, VaultToken } from './vault.ts';
export type { VolumePlan, VolumeRefusal } from './volume.ts';
