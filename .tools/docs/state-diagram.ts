/**
 * State diagrams of the manual, drawn from the transition functions of the code.
 */
import { block } from './markdown.ts';

/** One arrow of a diagram. */
export interface Arrow {
  /** Name of a state; undefined: the start. */
  readonly from: string | undefined;
  /** Name of a state; undefined: the end. */
  readonly to: string | undefined;
  readonly label?: string;
}

/** A machine with so few states that all of them can be visited. */
export interface Machine<State, Event> {
  readonly initial: readonly State[];
  /** One event of each kind, or more where the data of an event matter. */
  readonly events: readonly Event[];
  readonly transition: (state: State, event: Event) => State;
  readonly nameOf: (state: State) => string;
  readonly labelOf: (event: Event) => string;
}

/** Every state that a machine reaches, by breadth-first search. States are equal if their JSON is. */
export function reachableStates<State, Event>(machine: Machine<State, Event>): readonly State[] {
  const found = new Map(machine.initial.map((state) => [JSON.stringify(state), state]));
  for (const state of found.values()) {
    for (const event of machine.events) {
      const next = machine.transition(state, event);
      found.set(JSON.stringify(next), next); // a Map iterates over what is added meanwhile
    }
  }
  return [...found.values()];
}

/** The arrows of a machine, without those that lead back to the same name. */
export function arrowsOf<State, Event>(machine: Machine<State, Event>): readonly Arrow[] {
  const starts = machine.initial.map((state) => ({ from: undefined, to: machine.nameOf(state) }));
  const steps = reachableStates(machine).flatMap((state) =>
    machine.events.map((event) => ({
      from: machine.nameOf(state),
      to: machine.nameOf(machine.transition(state, event)),
      label: machine.labelOf(event),
    })),
  );
  return [...starts, ...steps.filter(({ from, to }) => from !== to)];
}

/** A Mermaid diagram; arrows between the same states are one, with their labels comma-separated. */
export function stateDiagram(arrows: readonly Arrow[]): string {
  const names = new Set(arrows.flatMap(({ from, to }) => [from ?? [], to ?? []].flat()));
  const aliases = [...names]
    .filter((name) => idOf(name) !== name)
    .map((name) => `  state "${name}" as ${idOf(name)}`);
  const labels = new Map<string, Set<string>>();
  for (const { from, to, label } of arrows) {
    const line = `${idOf(from)} --> ${idOf(to)}`;
    const all = labels.get(line) ?? new Set();
    labels.set(line, label === undefined ? all : all.add(label));
  }
  const lines = [...labels].map(([line, all]) => {
    return all.size === 0 ? `  ${line}` : `  ${line}: ${[...all].join(', ')}`;
  });
  return block(['stateDiagram-v2', '  direction LR', ...aliases, ...lines].join('\n'), 'mermaid');
}

/** Mermaid reads no hyphen and no space in the id of a state. */
function idOf(name: string | undefined): string {
  return name === undefined ? '[*]' : name.replaceAll(/\W/g, '_');
}
