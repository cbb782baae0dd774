export { Agent } from './agent.ts';
export { needsX509 } from './follow-x509.ts';
export type {
  FilesPort,
  IdentityPort,
  NotifierPort,
  TemplatePort,
  TokenPort,
  ValuesRoom,
  VaultPort,
  WriterPort,
  X509Files,
} from './ports.ts';
export { serveAgent } from './listener.ts';
export { GATE_SOCKET, StartGate } from './start-gate.ts';
export { savedBytes, StateFile } from './state-file.ts';
export { createStatusRecorder, type AgentStatus } from './status.ts';
export type { AgentParts } from './wire-agent.ts';
