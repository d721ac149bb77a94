export * from './as-graph.ts';
export * from './error.ts';
export { type Random, seeded } from './random.ts';
export * from './resilience.ts';
export {
  type Announcement,
  type HijackKind,
  Routing,
  attacker,
  hijackKinds,
  nobody,
  victim,
} from './routing.ts';
export * from './search.ts';
export * from './sites.ts';
export * from './synthetic.ts';
