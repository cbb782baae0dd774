/**
 * The state machines that the manual shows, by the name of the section.
 */
import { stateAfter, type Decision, type DeliveryState } from '../../src/agent/decide-delivery.ts';
import { NEW_AGENT, transition, type AgentEvent, type AgentState } from '../../src/agent/phase.ts';
import { ENTRY_TABLE } from '../../src/agent/entry-transitions.ts';
import { SESSION_TABLE } from '../../src/agent/session-transitions.ts';
import { arrowsOf, stateDiagram, type Machine } from './state-diagram.ts';
import { arrowsToDraw } from './state-table.ts';
import { VOLUME_MACHINE } from './volume-machine.ts';

/** Every event of an agent, and the start with every kind of files. */
export const AGENT_EVENTS: readonly AgentEvent[] = [
  { kind: 'start', files: 'none' },
  { kind: 'start', files: 'good' },
  { kind: 'start', files: 'revoked' },
  { kind: 'delivered' },
  { kind: 'linger' },
  { kind: 'stop' },
  { kind: 'revoke' },
];

/** `src/agent/phase.ts` */
export const AGENT_MACHINE: Machine<AgentState, AgentEvent> = {
  initial: [NEW_AGENT],
  events: AGENT_EVENTS,
  transition,
  nameOf: ({ name }) => name,
  labelOf: (event) => (event.kind === 'start' ? `start (${event.files})` : event.kind),
};

/** `src/agent/decide-delivery.ts` */
const DELIVERY_MACHINE: Machine<DeliveryState, Decision['kind']> = {
  initial: ['none', 'by-predecessor'],
  events: ['wait', 'fail', 'write'],
  transition: stateAfter,
  nameOf: (state) => state,
  labelOf: (kind) => kind,
};

/** Section of a document -> diagram. */
export function stateDiagrams(): ReadonlyMap<string, string> {
  return new Map([
    ['state-agent', stateDiagram(arrowsOf(AGENT_MACHINE))],
    ['state-value', stateDiagram(arrowsToDraw(ENTRY_TABLE, 'pending'))],
    ['state-delivery', stateDiagram(arrowsOf(DELIVERY_MACHINE))],
    ['state-volume', stateDiagram(arrowsOf(VOLUME_MACHINE))],
    ['state-session', stateDiagram(arrowsToDraw(SESSION_TABLE, 'none'))],
  ]);
}
